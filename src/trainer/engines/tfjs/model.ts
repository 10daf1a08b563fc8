/**
 * A network that TensorFlow.js trains: its parameters, Adam's moments and batch norm's statistics on a backend, and the step
 * that trains them. engine.ts makes them.
 */
import { Network, Tensors } from '../../../core/networks/network';
import {
  Batch,
  EvaluationResult,
  Model,
  ModelOptions,
  ModelState,
  StepDiagnostics,
  StepPosition,
  StepResult,
} from '../engine';
import type { Message } from '../../../core/messages/message';
import { passWarnings } from '../memory';
import { summarize } from '../step';
import { scalarsOf, StepScalars, update } from './adam';
import type { Tensor, Tf } from './api';
import { Backward } from './backward';
import { Lowering } from './lowering';
import { checkLargestTensor, defaultMicroBatch, stepBytes } from './memory';
import type { TfjsEngineOptions } from './options';
import { changing, partsOf, Pass, passesOf } from './passes';
import { DeviceState, held } from './state';
import { StepGraph } from './stepGraph';

/** A run has two sizes of batch: that of the experiment, and what is left at the end of an epoch. */
const mostGraphs = 4;

export class TfjsModel implements Model {
  readonly microBatch: number;
  readonly warnings: readonly Message[];
  private readonly lowering: Lowering;
  private readonly backward: Backward;
  /** Indices of the parameters that are trained. */
  private readonly trained: readonly number[];
  private state: DeviceState | undefined;
  /** The step as a graph, by size of batch; undefined where none could be made. */
  private readonly graphs = new Map<number, StepGraph | undefined>();
  /** The graph whose session has what training changes; the tensors in `state` are disposed then. */
  private inSession: StepGraph | undefined;

  constructor(
    private readonly tf: Tf,
    readonly network: Network,
    private readonly options: ModelOptions,
    private readonly engine: TfjsEngineOptions,
  ) {
    checkLargestTensor(network, engine);
    const { batchSize } = options;
    this.microBatch = options.microBatch ?? defaultMicroBatch(network, batchSize, engine);
    this.warnings = [
      ...(engine.warnings ?? []),
      ...(options.microBatch === undefined
        ? passWarnings(network, batchSize, this.microBatch, (size) => stepBytes(network, size), engine.memory)
        : []),
    ];
    this.lowering = new Lowering(tf, network, engine.kernels);
    this.trained = network.parameters.flatMap((p, k) => (p.frozen ? [] : [k]));
    this.backward = new Backward(tf, network, options.loss, this.lowering, this.trained);
  }

  async load(state: ModelState): Promise<void> {
    const { parameters, buffers } = this.network;
    const { optimizer } = state;
    if (this.inSession) this.loaded();
    this.release();
    const { tf, lowering } = this;
    const onDevice = (tensors: Tensors) => parameters.map((p) => lowering.toDevice(p, tensors.get(p.name)!));
    // In a tidy, which keeps nothing of a state that does not fit the memory as a whole.
    this.state = tf.tidy(() => {
      const values = onDevice(state.parameters);
      const zeros = () => values.map((tensor) => tf.zerosLike(tensor));
      return {
        parameters: values,
        buffers: buffers.map((b) => lowering.toDevice(b, state.buffers.get(b.name)!)),
        firstMoment: optimizer ? onDevice(optimizer.firstMoment) : zeros(),
        secondMoment: optimizer ? onDevice(optimizer.secondMoment) : zeros(),
        step: optimizer?.step ?? 0,
      };
    });
  }

  async save(withMoments = true): Promise<ModelState> {
    const state = this.loaded();
    const buffers: Tensors = new Map();
    for (const [k, buffer] of this.network.buffers.entries()) {
      buffers.set(buffer.name, (await state.buffers[k]!.data<'float32'>()).slice());
    }
    return {
      parameters: await this.named(state.parameters),
      buffers,
      optimizer: withMoments
        ? {
            step: state.step,
            firstMoment: await this.named(state.firstMoment),
            secondMoment: await this.named(state.secondMoment),
          }
        : undefined,
    };
  }

  async trainStep(batch: Batch, at: StepPosition, learningRate: number): Promise<StepResult> {
    const passes = this.passes(batch, at);
    const graph = this.enteredGraph(passes, batch.size);
    const scalars = scalarsOf(this.options.optimizer, ++this.present().step, learningRate);
    const { logits, figures } = graph
      ? graph.run(passes.flatMap(changing), scalars)
      : await this.step(passes, batch.size, scalars);
    const summary = summarize(logits, batch, this.network.outputs, this.options.loss);
    return {
      loss: summary.lossSum / batch.size,
      correct: summary.correct,
      diagnostics: this.diagnostics(figures, summary.std),
    };
  }

  private passes(batch: Batch, at: StepPosition): Pass[] {
    return passesOf(this.network, this.options, batch, at, this.microBatch);
  }

  /** A step operation by operation; the figures are those of {@link StepGraph.run}. */
  private async step(
    passes: readonly Pass[],
    size: number,
    scalars: StepScalars,
  ): Promise<{ logits: Float32Array; figures: Float32Array }> {
    const { tf } = this;
    const state = this.loaded();
    const { beta1, beta2 } = this.options.optimizer;
    const results = tf.tidy(() => {
      const { logits, deadShares, buffers, gradients } = this.backward.over(state, passes, size);
      state.buffers.forEach((tensor) => tensor.dispose());
      state.buffers = buffers.map((tensor) => tf.keep(tensor));
      const adam = { beta1, beta2, ...scalars };
      const norms = update(tf, this.engine, state, this.trained, gradients, adam);
      return { logits, figures: tf.stack([...norms, ...deadShares]) };
    });
    try {
      // Both at once, so that a step waits for the device once.
      const [logits, figures] = await Promise.all([
        results.logits.data<'float32'>(),
        results.figures.data<'float32'>(),
      ]);
      return { logits, figures };
    } finally {
      tf.dispose([results.logits, results.figures]);
    }
  }

  async gradients(batch: Batch, at: StepPosition): Promise<{ loss: number; logits: Float32Array; gradients: Tensors }> {
    const { tf } = this;
    const pass = tf.tidy(() => {
      const { logits, gradients } = this.backward.over(this.loaded(), this.passes(batch, at), batch.size);
      return { logits, gradients };
    });
    try {
      const logits = (await pass.logits.data<'float32'>()).slice();
      const { lossSum } = summarize(logits, batch, this.network.outputs, this.options.loss);
      return { loss: lossSum / batch.size, logits, gradients: await this.named(pass.gradients, this.trained) };
    } finally {
      tf.dispose([pass.logits, ...pass.gradients]);
    }
  }

  async evaluate(batch: Batch): Promise<EvaluationResult> {
    const { tf, lowering, network } = this;
    const { parameters, buffers } = this.loaded();
    const logits = new Float32Array(batch.size * network.outputs);
    for (const { start, size, images } of partsOf(network, batch, this.microBatch)) {
      const part = tf.tidy(() => lowering.forward(parameters, buffers, lowering.images(images, size)));
      try {
        logits.set(await part.data<'float32'>(), start * network.outputs);
      } finally {
        part.dispose();
      }
    }
    return { lossSum: summarize(logits, batch, network.outputs, this.options.loss).lossSum, logits };
  }

  async dispose(): Promise<void> {
    for (const graph of this.graphs.values()) graph?.dispose();
    this.inSession = undefined;
    this.release();
    this.lowering.dispose();
  }

  /**
   * The graph of a step with the state in its session, or undefined where TensorFlow takes no graph. The first step of a
   * size is computed once more for it, and thrown away, so that what a step gives does not depend on which one was first.
   */
  private enteredGraph(passes: readonly Pass[], size: number): StepGraph | undefined {
    const { tf, graphs, engine } = this;
    if (!engine.graphs) return undefined;
    if (!graphs.has(size)) graphs.set(size, graphs.size < mostGraphs ? this.recorded(passes, size) : undefined);
    const graph = graphs.get(size);
    if (!graph || graph === this.inSession) return graph;
    const tensors = held(this.loaded(), this.trained).map(({ tensors, k }) => tensors[k]!);
    try {
      graph.enter(tensors);
    } catch {
      graph.dispose();
      graphs.set(size, undefined);
      return undefined;
    }
    tf.dispose(tensors);
    this.inSession = graph;
    return graph;
  }

  private recorded(passes: readonly Pass[], size: number): StepGraph | undefined {
    const state = this.loaded();
    const { beta1, beta2 } = this.options.optimizer;
    try {
      return new StepGraph(this.tf, {
        parameters: state.parameters,
        buffers: state.buffers,
        trained: this.trained,
        beta1,
        beta2,
        changing: passes.flatMap(changing),
        compute: (passed, gradientScale) => this.backward.over(state, passes, size / gradientScale, passed),
      });
    } catch {
      // Where memory is wanting, the step by itself will say so.
      return undefined;
    }
  }

  private diagnostics(figures: Float32Array, logitStd: number): StepDiagnostics {
    const { length } = this.network.parameters;
    const gradientNorm = new Float64Array(length);
    const updateRatio = new Float64Array(length);
    for (const [i, k] of this.trained.entries()) {
      const [gradient, change, parameter] = figures.subarray(3 * i, 3 * i + 3) as unknown as [number, number, number];
      gradientNorm[k] = Math.sqrt(gradient);
      updateRatio[k] = parameter === 0 ? 0 : Math.sqrt(change / parameter);
    }
    return {
      gradientNorm,
      updateRatio,
      deadShare: Float64Array.from(figures.subarray(3 * this.trained.length)),
      logitStd,
    };
  }

  /** @param which the parameters that the tensors belong to, by index; default: all */
  private async named(tensors: readonly Tensor[], which?: readonly number[]): Promise<Tensors> {
    const named: Tensors = new Map();
    for (const [i, tensor] of tensors.entries()) {
      const parameter = this.network.parameters[which?.[i] ?? i]!;
      named.set(parameter.name, await this.lowering.fromDevice(parameter, tensor));
    }
    return named;
  }

  private present(): DeviceState {
    return this.state!;
  }

  /** The state as tensors of TensorFlow.js; takes it out of a graph's session. */
  private loaded(): DeviceState {
    const state = this.present();
    if (this.inSession) {
      const tensors = this.inSession.leave();
      held(state, this.trained).forEach(({ tensors: of, k }, i) => (of[k] = tensors[i]!));
      this.inSession = undefined;
    }
    return state;
  }

  private release(): void {
    if (!this.state) return;
    const { parameters, buffers, firstMoment, secondMoment } = this.state;
    this.tf.dispose([...parameters, ...buffers, ...firstMoment, ...secondMoment]);
    this.state = undefined;
  }
}
