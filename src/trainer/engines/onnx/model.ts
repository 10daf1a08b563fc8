/**
 * A network that ONNX Runtime trains: its parameters and Adam's moments in one memory, batch norm's running statistics,
 * and the sessions that compute passes over it, compiled when a batch size is first met. provider.ts makes them.
 */
import type * as Ort from 'onnxruntime-node';
import { Message, message, UserError } from '../../../core/messages/message';
import { elements, Network, parameterCount, Tensors } from '../../../core/networks/network';
import {
  Batch,
  EvaluationResult,
  Model,
  ModelOptions,
  ModelState,
  Optimization,
  StepPosition,
  StepResult,
} from '../engine';
import { MachineMemory, passSize } from '../memory';
import { dropoutMasks, summarize, unbias } from '../step';
import { AdamMemory, SquaredNorms } from './adam';
import { EvaluationGraph, evaluationGraph, MovedStatistics, trainingGraph, TrainingGraph } from './lowering';
import type { Runtime } from './runtime';

/** A compiled graph with the tensors it reads and writes; their buffers are reused from pass to pass. */
interface Session {
  readonly session: Ort.InferenceSession;
  readonly feeds: Record<string, Ort.Tensor>;
  readonly fetches: Record<string, Ort.Tensor>;
}

interface TrainingSession extends Session {
  readonly graph: TrainingGraph;
  readonly targets: Float32Array;
  readonly scale: Float32Array;
  readonly logits: Float32Array;
  readonly peaks?: Float32Array;
  readonly statistics?: Float32Array;
}

interface EvaluationSession extends Session {
  readonly graph: EvaluationGraph;
  readonly logits: Float32Array;
}

/** What a step leaves behind, over all its passes. */
interface Pass {
  readonly logits: Float32Array;
  readonly deadShare: Float64Array;
}

export class OnnxModel implements Model {
  readonly microBatch: number;
  readonly warnings: readonly Message[];
  private readonly memory: AdamMemory;
  /** Running statistics, in the order of Network.buffers. */
  private readonly buffers: Float32Array[];
  private step = 0;
  private readonly training = new Map<number, TrainingSession>();
  /** The graph written last, so that the one whose memory was reckoned is not written again. */
  private written: { readonly size: number; readonly graph: TrainingGraph } | undefined;
  private evaluation: EvaluationSession | undefined;
  private readonly evaluationSize: number;

  constructor(
    private readonly runtime: Runtime,
    readonly network: Network,
    private readonly options: ModelOptions,
    machine: MachineMemory,
    private readonly without?: readonly Optimization[],
  ) {
    const { batchSize } = options;
    const { bytes = Infinity } = runtime.memory;
    const { microBatch, warnings } =
      options.microBatch === undefined
        ? passSize(network, batchSize, (size) => this.bytesOf(this.graphOf(size)), {
            total: machine.total,
            available: Math.min(machine.available, bytes),
          })
        : { microBatch: Math.min(options.microBatch, batchSize), warnings: [] };
    this.microBatch = microBatch;
    this.warnings = warnings;
    if (bytes < Infinity) checkMemory(network, microBatch, this.bytesOf(this.graphOf(microBatch)), bytes);
    this.memory = new AdamMemory(
      network.parameters.map((p) => elements(p.shape)),
      this.microBatch < options.batchSize,
      (k) => !network.parameters[k]!.frozen,
      options.diagnostics,
    );
    this.buffers = network.buffers.map((b) => new Float32Array(elements(b.shape)));
    this.evaluationSize = defaultEvaluationSize(network, options.batchSize);
  }

  async load(state: ModelState): Promise<void> {
    const { network, memory } = this;
    const { optimizer } = state;
    network.parameters.forEach(({ name }, k) => {
      memory.parameters[k]!.set(state.parameters.get(name)!);
      if (optimizer) {
        memory.firstMoment[k]!.set(optimizer.firstMoment.get(name)!);
        memory.secondMoment[k]!.set(optimizer.secondMoment.get(name)!);
      } else {
        memory.firstMoment[k]!.fill(0);
        memory.secondMoment[k]!.fill(0);
      }
    });
    network.buffers.forEach(({ name }, k) => this.buffers[k]!.set(state.buffers.get(name)!));
    this.step = optimizer?.step ?? 0;
  }

  async save(withMoments = true): Promise<ModelState> {
    const { network, memory } = this;
    const named = (views: readonly Float32Array[]): Tensors =>
      new Map(network.parameters.map(({ name }, k) => [name, views[k]!.slice()] as const));
    return {
      parameters: named(memory.parameters),
      buffers: new Map(network.buffers.map(({ name }, k) => [name, this.buffers[k]!.slice()] as const)),
      optimizer: withMoments
        ? { step: this.step, firstMoment: named(memory.firstMoment), secondMoment: named(memory.secondMoment) }
        : undefined,
    };
  }

  async trainStep(batch: Batch, at: StepPosition, learningRate: number): Promise<StepResult> {
    const { logits, deadShare } = await this.backward(batch, at, (of, values) => this.moveBuffers(of, values));
    this.step++;
    const norms = this.memory.update(this.options.optimizer, this.step, learningRate);
    const { lossSum, correct, std } = summarize(logits, batch, this.network.outputs, this.options.loss);
    return {
      loss: lossSum / batch.size,
      correct,
      diagnostics: { ...ratios(norms), deadShare, logitStd: std },
    };
  }

  async gradients(batch: Batch, at: StepPosition): Promise<{ loss: number; logits: Float32Array; gradients: Tensors }> {
    const { logits } = await this.backward(batch, at, () => undefined);
    const { lossSum } = summarize(logits, batch, this.network.outputs, this.options.loss);
    const gradients: Tensors = new Map();
    this.network.parameters.forEach(({ name, frozen }, k) => {
      if (!frozen) gradients.set(name, this.memory.gradients[k]!.slice());
    });
    return { loss: lossSum / batch.size, logits, gradients };
  }

  async evaluate(batch: Batch): Promise<EvaluationResult> {
    const { network, evaluationSize } = this;
    this.evaluation ??= await this.openEvaluation(evaluationSize);
    const { session, feeds, fetches, graph, logits: part } = this.evaluation;
    const logits = new Float32Array(batch.size * network.outputs);
    const width = elements(network.inputShape);
    for (let start = 0; start < batch.size; start += evaluationSize) {
      const size = Math.min(evaluationSize, batch.size - start);
      let images = batch.images.subarray(start * width, (start + size) * width);
      if (size < evaluationSize) {
        // Examples do not see one another in evaluation, so a short part is filled up with zeros.
        const filled = new Float32Array(evaluationSize * width);
        filled.set(images);
        images = filled;
      }
      feeds[graph.images] = this.tensor(images, [evaluationSize, ...network.inputShape]);
      await this.runtime.run(session, feeds, fetches);
      logits.set(part.subarray(0, size * network.outputs), start * network.outputs);
    }
    return { lossSum: summarize(logits, batch, network.outputs, this.options.loss).lossSum, logits };
  }

  async dispose(): Promise<void> {
    const sessions = [...this.training.values(), ...(this.evaluation ? [this.evaluation] : [])];
    this.training.clear();
    this.evaluation = undefined;
    await Promise.all(sessions.map(({ session }) => session.release()));
  }

  /** Forward and backward over every pass of a batch; leaves the gradients of the mean loss in the memory. */
  private async backward(
    batch: Batch,
    at: StepPosition,
    onStatistics: (of: readonly MovedStatistics[], values: Float32Array) => void,
  ): Promise<Pass> {
    const { network, microBatch } = this;
    const width = elements(network.inputShape);
    const logits = new Float32Array(batch.size * network.outputs);
    let peaks: Float32Array | undefined;
    let channels: readonly number[] = [];
    const masks = dropoutMasks(this.network, this.options.seed, at, batch.size);
    for (let start = 0; start < batch.size; start += microBatch) {
      const size = Math.min(microBatch, batch.size - start);
      const pass = this.training.get(size) ?? (await this.openTraining(size));
      const { graph, feeds } = pass;
      const images = batch.images.subarray(start * width, (start + size) * width);
      feeds[graph.images] = this.tensor(images, [size, ...network.inputShape]);
      fillTargets(pass.targets, batch.labels.subarray(start, start + size), network.outputs);
      pass.scale[0] = 1 / batch.size;
      graph.masks.forEach(({ name, ordinal, shape }) => {
        const features = elements(shape);
        const mask = masks.get(ordinal)!.subarray(start * features, (start + size) * features);
        feeds[name] = this.tensor(mask, [size, ...shape]);
      });
      await this.runtime.run(pass.session, feeds, this.fetchesOf(pass, start === 0));
      if (start > 0) this.memory.accumulate();
      logits.set(pass.logits, start * network.outputs);
      peaks = peaks ? peaks.map((peak, c) => Math.max(peak, pass.peaks![c]!)) : pass.peaks?.slice();
      if (pass.statistics) onStatistics(graph.statistics!.of, pass.statistics);
      channels = graph.peaks?.channels ?? [];
    }
    return { logits, deadShare: deadShares(channels, peaks ?? new Float32Array()) };
  }

  /** The first pass of a step writes the gradients, later ones beside them, to be added. */
  private fetchesOf({ graph, fetches }: TrainingSession, first: boolean): Record<string, Ort.Tensor> {
    const into = first ? this.memory.gradients : this.memory.partial;
    graph.gradients.forEach((gradient, k) => {
      if (gradient) fetches[gradient.name] = this.tensor(into[k]!, gradient.shape);
    });
    return fetches;
  }

  private graphOf(size: number): TrainingGraph {
    if (this.written?.size !== size) {
      const { loss, diagnostics } = this.options;
      this.written = { size, graph: trainingGraph(this.network, size, loss, this.without, diagnostics) };
    }
    return this.written.graph;
  }

  /** Bytes that a step takes with passes over this graph. */
  private bytesOf({ peakBytes }: TrainingGraph): number {
    const { process, parameters, values } = this.runtime.memory;
    return process + parameters * 4 * parameterCount(this.network) + values * peakBytes;
  }

  private async openTraining(size: number): Promise<TrainingSession> {
    const { network } = this;
    const graph = this.graphOf(size);
    this.written = undefined;
    await this.makeRoom(graph);
    const session = await this.runtime.createSession(graph.model);
    const targets = new Float32Array(size * network.outputs);
    const scale = new Float32Array(1);
    const logits = new Float32Array(size * network.outputs);
    const peaks = graph.peaks && new Float32Array(sum(graph.peaks.channels));
    const statistics = graph.statistics && new Float32Array(2 * sum(graph.statistics.of.map((of) => of.channels)));
    const feeds = this.parameterFeeds();
    network.buffers.forEach(({ name, shape }, k) => {
      if (graph.buffers.includes(name)) feeds[name] = this.tensor(this.buffers[k]!, shape);
    });
    feeds[graph.targets] = this.tensor(targets, [size, network.outputs]);
    feeds[graph.scale] = this.tensor(scale, [1]);
    const fetches = { [graph.logits]: this.tensor(logits, [size, network.outputs]) };
    if (peaks) fetches[graph.peaks!.name] = this.tensor(peaks, [peaks.length]);
    if (statistics) fetches[graph.statistics!.name] = this.tensor(statistics, [statistics.length]);
    const opened = { session, graph, feeds, fetches, targets, scale, logits, peaks, statistics };
    this.training.set(size, opened);
    return opened;
  }

  /** Gives up other sessions where memory is limited and would not hold them beside one more. */
  private async makeRoom(graph: TrainingGraph): Promise<void> {
    const { bytes = Infinity } = this.runtime.memory;
    const taken = () =>
      [...this.training.values(), { graph }].reduce((sum, other) => sum + this.bytesOf(other.graph), 0);
    for (const [size, { session }] of this.training) {
      if (taken() <= bytes) return;
      this.training.delete(size);
      await session.release();
    }
  }

  private async openEvaluation(size: number): Promise<EvaluationSession> {
    const { network } = this;
    const graph = evaluationGraph(network, size, this.without);
    const session = await this.runtime.createSession(graph.model);
    const feeds = this.parameterFeeds();
    network.buffers.forEach(({ name, shape }, k) => (feeds[name] = this.tensor(this.buffers[k]!, shape)));
    const logits = new Float32Array(size * network.outputs);
    const fetches = { [graph.logits]: this.tensor(logits, [size, network.outputs]) };
    return { session, graph, feeds, fetches, logits };
  }

  private parameterFeeds(): Record<string, Ort.Tensor> {
    const { parameters } = this.network;
    return Object.fromEntries(
      parameters.map((p, k) => [p.name, this.tensor(this.memory.parameters[k]!, p.shape)] as const),
    );
  }

  private tensor(values: Float32Array, shape: readonly number[]): Ort.Tensor {
    return new this.runtime.ort.Tensor('float32', values, shape);
  }

  /** Running statistics take in those of a pass, which lie joined in `values`. */
  private moveBuffers(statistics: readonly MovedStatistics[], values: Float32Array): void {
    let at = 0;
    for (const { node, op, channels, count } of statistics) {
      for (const [role, factor] of [
        ['running_mean', 1],
        ['running_var', unbias(op, count)],
      ] as const) {
        const running = this.buffers[this.network.buffers.findIndex((b) => b.name === `${node}.${role}`)]!;
        for (let c = 0; c < channels; c++) {
          running[c] = running[c]! * (1 - op.momentum) + values[at + c]! * factor * op.momentum;
        }
        at += channels;
      }
    }
  }
}

/** Share of each relu node's channels whose peak is 0; `channels` counts them node by node. */
function deadShares(channels: readonly number[], peaks: Float32Array): Float64Array {
  let at = 0;
  return Float64Array.from(channels, (count) => {
    let dead = 0;
    for (const end = at + count; at < end; at++) if (peaks[at] === 0) dead++;
    return dead / count;
  });
}

/** @throws UserError when a pass cannot fit into the memory that the runtime can address */
function checkMemory(network: Network, size: number, needed: number, bytes: number): void {
  if (needed <= bytes) return;
  const gigabytes = (needed / 2 ** 30).toFixed(1);
  throw new UserError(
    message('onnxWebMemory', { network: network.name, size, needed: gigabytes }),
    message('onnxWebMemoryAdvice'),
  );
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, n) => total + n, 0);

function ratios(norms: readonly SquaredNorms[]): { gradientNorm: Float64Array; updateRatio: Float64Array } {
  return {
    gradientNorm: Float64Array.from(norms, ({ gradient }) => Math.sqrt(gradient)),
    updateRatio: Float64Array.from(norms, (n) => (n.parameter === 0 ? 0 : Math.sqrt(n.update / n.parameter))),
  };
}

function fillTargets(targets: Float32Array, labels: Int32Array, outputs: number): void {
  if (outputs === 1) return targets.set(labels);
  targets.fill(0);
  labels.forEach((label, n) => (targets[n * outputs + label] = 1));
}

/** Parts of evaluation: at least the training batch, more where images are small, within 64 MiB for the largest value. */
function defaultEvaluationSize(network: Network, batchSize: number): number {
  const largest = Math.max(...network.nodes.map((node) => elements(node.shape)));
  return Math.min(256, Math.max(1, Math.min(batchSize, 32), Math.floor(2 ** 24 / largest)));
}
