/**
 * A network's parameters, Adam's moments and batch norm's statistics on a TensorFlow.js backend, and the step that trains
 * them. `tfjsEngine` wraps a loaded TensorFlow.js as an engine; provider.ts does so with native TensorFlow, the tests with
 * the backend in plain JavaScript.
 */
import { elements, Network, parameterCount, Tensors } from '../../../core/networks/network';
import { EngineParts, engineOf } from '../contract';
import {
  Batch,
  Engine,
  EvaluationResult,
  Model,
  ModelOptions,
  ModelState,
  StepDiagnostics,
  StepPosition,
  StepResult,
} from '../engine';
import { Message, message, UserError } from '../../../core/messages/message';
import { passWarnings } from '../memory';
import { dropoutMasks, summarize } from '../step';
import type { FusedKernels } from './kernels';
import type { Values } from './nodeBackend';
import type { Tensor, Tf } from './api';
import { Program, TrainingMode, TrainingRecord } from './program';
import { StepGraph, StepResults, StepScalars } from './stepGraph';

export interface TfjsEngineOptions extends Pick<EngineParts, 'name' | 'device' | 'versions' | 'trouble' | 'close'> {
  /** Bytes that a training step may fill; decides the default size of a pass. */
  readonly memory: number;
  /** Bytes of the largest tensor that the device takes; default: no limit. */
  readonly largestTensor?: number;
  /** What every run is to be told of the engine. */
  readonly warnings?: readonly Message[];
  /** Faster ways to the same results, where the backend has them. */
  readonly kernels?: FusedKernels;
  /** Whether a whole step can be one graph, which native TensorFlow alone has. */
  readonly graphs?: boolean;
  /** Adam's arithmetic in fewer kernels than TensorFlow.js has operations for it. */
  readonly adam?: (scalars: AdamScalars) => AdamArithmetic;
}

/** Of one update: the decay rates, and step size and ε after the bias correction of the moments. */
export interface AdamScalars extends StepScalars {
  readonly beta1: number;
  readonly beta2: number;
}

/** Adam on one parameter; the results are new tensors. */
export interface AdamArithmetic {
  /** The first moment, from itself before and the gradient. */
  mean(before: Tensor, gradient: Tensor): Tensor;
  /** The second moment, from itself before and the squares of the gradient. */
  square(before: Tensor, squares: Tensor): Tensor;
  /** What is subtracted from the parameter. */
  change(mean: Tensor, square: Tensor): Tensor;
}

/** Adam's arithmetic in TensorFlow.js's own operations. To be called inside a tidy. */
function adamByOperations(tf: Tf, { beta1, beta2, stepSize, epsilon }: AdamScalars): AdamArithmetic {
  const [keep1, take1, keep2, take2] = [beta1, 1 - beta1, beta2, 1 - beta2].map((x) => tf.scalar(x)) as Scalars;
  const [size, eps] = [tf.scalar(stepSize), tf.scalar(epsilon)];
  const average = (before: Tensor, keep: Tensor, now: Tensor, take: Tensor) =>
    tf.tidy(() => tf.add(tf.mul(before, keep), tf.mul(now, take)));
  return {
    mean: (before, gradient) => average(before, keep1, gradient, take1),
    square: (before, squares) => average(before, keep2, squares, take2),
    change: (mean, square) =>
      tf.tidy(() => {
        const root = tf.tidy(() => tf.add(tf.sqrt(square), eps));
        return tf.div(tf.mul(mean, size), root);
      }),
  };
}
type Scalars = [Tensor, Tensor, Tensor, Tensor];

/**
 * What a step holds at its largest, in sizes of the network's outputs (all nodes of one example) and of its parameters.
 * Measured as tf.memory().numBytes on the JavaScript backend: 1.9 to 2.2 outputs (LeNet-5, AlexNet, ResNet-18 and -50; a
 * third is kept for what the libraries allocate themselves), and 6.6 parameters (AlexNet, while Adam updates its largest
 * matrix).
 */
const outputsHeld = 3;
const parametersHeld = 7;

/** An engine over a TensorFlow.js whose backend is set and ready. */
export function tfjsEngine(tf: Tf, options: TfjsEngineOptions): Engine {
  const { name, device, versions, trouble, close } = options;
  return engineOf({
    ...{ name, device, versions, trouble, close },
    build: (network, modelOptions) => new TfjsModel(tf, network, modelOptions, options),
  });
}

/** Everything that training changes, on the device, in the order of Network.parameters and Network.buffers. */
interface DeviceState {
  parameters: Tensor[];
  buffers: Tensor[];
  firstMoment: Tensor[];
  secondMoment: Tensor[];
  step: number;
}

/** Examples of a batch that pass through the network together. */
interface Pass {
  readonly size: number;
  readonly images: Float32Array;
  /** Class indices, or for one logit 0 and 1 as floats. */
  readonly labels: Int32Array | Float32Array;
  /** By the dropout node's ordinal. */
  readonly masks: ReadonlyMap<number, Float32Array>;
}

/** A run has two sizes of batch: that of the experiment, and what is left at the end of an epoch. */
const mostGraphs = 4;

class TfjsModel implements Model {
  readonly microBatch: number;
  readonly warnings: readonly Message[];
  private readonly program: Program;
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
    this.program = new Program(tf, network, engine.kernels);
    this.trained = network.parameters.flatMap((p, k) => (p.frozen ? [] : [k]));
  }

  async load(state: ModelState): Promise<void> {
    const { parameters, buffers } = this.network;
    const { optimizer } = state;
    if (this.inSession) this.loaded();
    this.release();
    const { tf, program } = this;
    const onDevice = (tensors: Tensors) => parameters.map((p) => program.toDevice(p, tensors.get(p.name)!));
    // In a tidy, which keeps nothing of a state that does not fit the memory as a whole.
    this.state = tf.tidy(() => {
      const values = onDevice(state.parameters);
      const zeros = () => values.map((tensor) => tf.zerosLike(tensor));
      return {
        parameters: values,
        buffers: buffers.map((b) => program.toDevice(b, state.buffers.get(b.name)!)),
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
    const scalars = this.nextUpdate(learningRate);
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

  /** A step operation by operation; the figures are those of {@link StepGraph.run}. */
  private async step(
    passes: readonly Pass[],
    size: number,
    scalars: StepScalars,
  ): Promise<{ logits: Float32Array; figures: Float32Array }> {
    const { tf } = this;
    const state = this.loaded();
    const results = tf.tidy(() => {
      const { logits, deadShares, buffers, gradients } = this.backward(passes, size);
      state.buffers.forEach((tensor) => tensor.dispose());
      state.buffers = buffers.map((tensor) => tf.keep(tensor));
      return { logits, figures: tf.stack([...this.update(state, gradients, scalars), ...deadShares]) };
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
      const { logits, gradients } = this.backward(this.passes(batch, at), batch.size);
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
    const { tf, program, network } = this;
    const { parameters, buffers } = this.loaded();
    const logits = new Float32Array(batch.size * network.outputs);
    for (const { start, size, images } of this.parts(batch)) {
      const part = tf.tidy(() => program.forward(parameters, buffers, program.images(images, size)));
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
    this.program.dispose();
  }

  /**
   * Forward and backward over every pass of a batch, without changing the state. Inside a tidy, which owns the results.
   * The gradients, of the trained parameters, are those of the sum of the losses over `divisor`; buffers are batch norm's
   * statistics as they would become.
   * @param passed called between passes with what there is of them by then
   */
  private backward(
    passes: readonly Pass[],
    divisor: number,
    passed: (kept: readonly Tensor[]) => void = () => {},
  ): StepResults {
    const { tf } = this;
    const kept: Tensor[] = [];
    try {
      return this.overPasses(passes, divisor, passed, (tensor) => (kept.push(tensor), tf.keep(tensor)));
    } catch (error) {
      // No tidy disposes these.
      tf.dispose(kept);
      dropTape(tf);
      throw error;
    }
  }

  private overPasses(
    passes: readonly Pass[],
    divisor: number,
    passed: (kept: readonly Tensor[]) => void,
    keep: TrainingMode['keep'],
  ): StepResults {
    const { tf, program, network } = this;
    const state = this.loaded();
    const logits: Tensor[] = [];
    let reluMaxima: Tensor[] = [];
    let buffers = state.buffers.map((tensor) => tf.clone(tensor));
    let gradients: Tensor[] = [];
    for (const [index, { size, images, labels, masks }] of passes.entries()) {
      if (index > 0) passed([...logits, ...reluMaxima, ...buffers, ...gradients]);
      const record: TrainingRecord = { logits: [], reluMaxima: [], statistics: [] };
      const mode: TrainingMode = { record, keep, mask: (op) => masks.get(op.ordinal)! };
      const inputs = [program.images(images, size)];
      const given = program.advance(inputs, program.firstTrained, state.parameters, state.buffers, mode);
      const { value, grads } = tf.valueAndGrads((...trained: Tensor[]) => {
        const parameters = [...state.parameters];
        this.trained.forEach((k, i) => (parameters[k] = trained[i]!));
        const output = program.advance(given, network.nodes.length, parameters, state.buffers, mode).at(-1)!;
        record.logits.push(keep(tf.clone(output)));
        return tf.div(this.lossSum(output, labels), divisor);
      })(this.trained.map((k) => state.parameters[k]!));
      value.dispose();
      // What the forward pass kept out of the gradient's scope belongs to no tidy and is disposed by hand.
      logits.push(...record.logits);
      reluMaxima = merged(reluMaxima, record.reluMaxima, (a, b) => tf.maximum(a, b));
      gradients = merged(gradients, grads, (a, b) => tf.add(a, b));
      const moved = this.movedBuffers(buffers, record);
      buffers.forEach((tensor) => tensor.dispose());
      buffers = moved;
    }
    const all = logits.length === 1 ? tf.clone(logits[0]!) : tf.concat(logits, 0);
    const deadShares = reluMaxima.map((maxima) => tf.mean(tf.cast(tf.lessEqual(maxima, 0), 'float32')));
    tf.dispose([...logits, ...reluMaxima]);
    return { logits: all, deadShares, buffers, gradients };
  }

  /** The passes of a batch in training mode. */
  private passes(batch: Batch, at: StepPosition): Pass[] {
    const { network } = this;
    const masks = dropoutMasks(network, this.options.seed, at, batch.size);
    return [...this.parts(batch)].map(({ start, size, images }) => {
      const labels = batch.labels.subarray(start, start + size);
      return {
        size,
        images,
        labels: this.options.loss === 'bce_with_logits' ? Float32Array.from(labels) : Int32Array.from(labels),
        masks: new Map(
          [...masks].map(([ordinal, mask]) => {
            const width = mask.length / batch.size;
            return [ordinal, mask.subarray(start * width, (start + size) * width)] as const;
          }),
        ),
      };
    });
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
    const { parameters, buffers } = this.loaded();
    const { beta1, beta2 } = this.options.optimizer;
    try {
      return new StepGraph(this.tf, {
        parameters,
        buffers,
        trained: this.trained,
        beta1,
        beta2,
        changing: passes.flatMap(changing),
        compute: (passed, gradientScale) => this.backward(passes, size / gradientScale, passed),
      });
    } catch {
      // Where memory is wanting, the step by itself will say so.
      return undefined;
    }
  }

  /** Running statistics after a pass; disposes the statistics of the pass. */
  private movedBuffers(buffers: readonly Tensor[], record: TrainingRecord): Tensor[] {
    const { tf, network } = this;
    const nodes = network.nodes.filter(({ op }) => op.kind === 'batchNorm' && !op.frozen);
    return tf.tidy(() => {
      const moved = buffers.map((tensor) => tf.clone(tensor));
      nodes.forEach(({ name, op }, k) => {
        if (op.kind !== 'batchNorm') return;
        const { mean, variance, count } = record.statistics[k]!;
        // One value alone has no unbiased variance; it counts as 0, which is what its biased variance is.
        const unbias = op.unbiasedRunningVariance ? count / Math.max(count - 1, 1) : 1;
        for (const [role, seen] of [
          ['running_mean', mean],
          ['running_var', tf.mul(variance, unbias)],
        ] as const) {
          const b = network.buffers.findIndex((buffer) => buffer.name === `${name}.${role}`);
          moved[b] = tf.add(tf.mul(moved[b]!, 1 - op.momentum), tf.mul(seen, op.momentum));
        }
        mean.dispose();
        variance.dispose();
      });
      return moved;
    });
  }

  /** Sum of the losses of a pass, differentiable. */
  private lossSum(logits: Tensor, labels: Int32Array | Float32Array): Tensor {
    const { tf } = this;
    if (this.options.loss === 'bce_with_logits') {
      // log(1 + exp(x)) - xy: its derivative is sigmoid(x) - y, and neither overflows.
      const targets = tf.tensor2d(labels, [labels.length, 1], 'float32');
      return tf.sum(tf.sub(tf.softplus(logits), tf.mul(logits, targets)));
    }
    const targets = tf.oneHot(tf.tensor1d(labels, 'int32'), this.network.outputs);
    return tf.neg(tf.sum(tf.mul(tf.logSoftmax(logits), tf.cast(targets, 'float32'))));
  }

  /** Counts an update by Adam (Kingma & Ba 2014, in the form of torch.optim.Adam): the moments' bias is corrected here. */
  private nextUpdate(learningRate: number): StepScalars {
    const { beta1, beta2, eps, epsilonHat } = this.options.optimizer;
    const step = ++this.present().step;
    // lr / (1 - β1ᵗ) · m / (√(v / (1 - β2ᵗ)) + ε), with the correction of √v moved to the scalars.
    const rootCorrection = Math.sqrt(1 - beta2 ** step);
    return {
      stepSize: (learningRate * rootCorrection) / (1 - beta1 ** step),
      epsilon: epsilonHat ? eps : eps * rootCorrection,
    };
  }

  /**
   * One update by Adam. Returns the squared norms of gradient, update and parameter before, one scalar each, trained
   * parameter by parameter.
   */
  private update(state: DeviceState, gradients: readonly Tensor[], scalars: StepScalars): Tensor[] {
    const { tf } = this;
    const { beta1, beta2 } = this.options.optimizer;
    const adam = (this.engine.adam ?? ((all) => adamByOperations(tf, all)))({ beta1, beta2, ...scalars });
    const squaredNorm =
      this.engine.kernels?.squaredNorm ?? ((tensor: Tensor) => tf.tidy(() => this.total(tf.square(tensor))));
    const replaced = (before: Tensor, after: Tensor) => {
      before.dispose();
      return tf.keep(after);
    };
    // Small scopes: VGG-16 has one matrix of 411 MB, and every temporary of its size counts.
    return gradients.flatMap((gradient, i) => {
      const k = this.trained[i]!;
      const parameter = state.parameters[k]!;
      const [firstMoment, secondMoment] = [state.firstMoment[k]!, state.secondMoment[k]!];
      const mean = (state.firstMoment[k] = replaced(firstMoment, adam.mean(firstMoment, gradient)));
      const squares = tf.square(gradient);
      gradient.dispose();
      const square = (state.secondMoment[k] = replaced(secondMoment, adam.square(secondMoment, squares)));
      const gradientNorm = this.total(squares);
      squares.dispose();
      const change = adam.change(mean, square);
      const norms = [gradientNorm, squaredNorm(change), squaredNorm(parameter)];
      state.parameters[k] = tf.keep(tf.sub(parameter, change));
      tf.dispose([parameter, change]);
      return norms;
    });
  }

  /**
   * Sum of all elements. Rows first where there are many: WebGPU's kernel sums a row with one workgroup, and a whole matrix
   * as one row would leave the rest of the GPU idle.
   */
  private total(tensor: Tensor): Tensor {
    const { tf } = this;
    const rows = tensor.size > 2 ** 16 && tensor.rank > 1;
    return tf.tidy(() => tf.sum(rows ? tf.sum(tensor, -1) : tensor));
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

  private *parts(batch: Batch): Generator<{ start: number; size: number; images: Float32Array }> {
    const width = elements(this.network.inputShape);
    for (let start = 0; start < batch.size; start += this.microBatch) {
      const size = Math.min(this.microBatch, batch.size - start);
      yield { start, size, images: batch.images.subarray(start * width, (start + size) * width) };
    }
  }

  /** @param which the parameters that the tensors belong to, by index; default: all */
  private async named(tensors: readonly Tensor[], which?: readonly number[]): Promise<Tensors> {
    const named: Tensors = new Map();
    for (const [i, tensor] of tensors.entries()) {
      const parameter = this.network.parameters[which?.[i] ?? i]!;
      named.set(parameter.name, await this.program.fromDevice(parameter, tensor));
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

/** What of a pass is another in each step. */
const changing = ({ images, labels, masks }: Pass): Values[] => [images, labels, ...masks.values()];

/** Lets go of what TensorFlow.js keeps for a backward pass, which it does by itself only when one has come to its end. */
function dropTape(tf: Tf): void {
  const { state } = tf.engine();
  for (const { saved } of state.activeTape ?? []) tf.dispose(saved ?? []);
  state.activeTape = [];
}

/** Where the tensors that a step reads or changes are kept, in the order of {@link StepGraph.enter}. */
function held(
  { parameters, buffers, firstMoment, secondMoment }: DeviceState,
  trained: readonly number[],
): { readonly tensors: Tensor[]; readonly k: number }[] {
  const all = (tensors: Tensor[]) => tensors.map((_, k) => ({ tensors, k }));
  const ofTrained = (tensors: Tensor[]) => trained.map((k) => ({ tensors, k }));
  return [...all(parameters), ...all(buffers), ...ofTrained(firstMoment), ...ofTrained(secondMoment)];
}

/** Joins the tensors of one pass to those of the passes before, and disposes both. */
function merged(before: Tensor[], now: Tensor[], join: (a: Tensor, b: Tensor) => Tensor): Tensor[] {
  if (before.length === 0) return now;
  return before.map((a, k) => {
    const both = join(a, now[k]!);
    a.dispose();
    now[k]!.dispose();
    return both;
  });
}

/** The largest pass that fits the memory and the device, so that the passes of a full batch are of nearly equal size. */
function defaultMicroBatch(network: Network, batchSize: number, { memory, largestTensor }: TfjsEngineOptions): number {
  const fixed = stepBytes(network, 0);
  const largest = Math.max(...network.nodes.map((node) => 4 * elements(node.shape)));
  const fits = Math.min((memory - fixed) / (stepBytes(network, 1) - fixed), (largestTensor ?? Infinity) / largest);
  return Math.ceil(batchSize / Math.ceil(batchSize / Math.max(1, Math.floor(fits))));
}

function stepBytes(network: Network, size: number): number {
  const values = network.nodes.reduce((sum, node) => sum + elements(node.shape), 0);
  return 4 * (parametersHeld * parameterCount(network) + outputsHeld * size * values);
}

/** @throws UserError when one parameter, or one output for a single example, is larger than the device takes */
function checkLargestTensor(network: Network, { largestTensor = Infinity, device }: TfjsEngineOptions): void {
  for (const { name, shape } of [...network.parameters, ...network.nodes]) {
    const bytes = 4 * elements(shape);
    if (bytes <= largestTensor) continue;
    const megabytes = (size: number) => Math.ceil(size / 2 ** 20);
    throw new UserError(
      message('tensorTooLarge', {
        network: network.name,
        tensor: name,
        needed: megabytes(bytes),
        device: device.name,
        limit: Math.floor(largestTensor / 2 ** 20),
      }),
      message('tensorTooLargeAdvice'),
    );
  }
}
