/**
 * Lowers a network to ONNX graphs: one for a training pass (forward and backward, gradients as outputs) and one for
 * evaluation. model.ts calls it once per batch size and runs what comes out.
 *
 * Inside, the batch is the innermost dimension: images are [channels, height, width, batch], features [features, batch].
 * What a layer does to a channel is then done to one contiguous row, linear layers multiply by their weight as it lies in
 * memory, and flattening is free.
 */
import { elements, Network, Node, Shape } from '../../../core/networks/network';
import type { LossName, Optimization } from '../engine';
import { convolution, perChannel } from './convolution';
import { Graph, Value } from './graph';
import { adaptiveAvgPool, avgPool, Differentiable, maxPool } from './pooling';

interface MaskInput {
  readonly name: string;
  readonly ordinal: number;
  /** Of one example. */
  readonly shape: Shape;
}

/** A graph with the names by which model.ts feeds and fetches; parameters and buffers are fed by their own names. */
export interface TrainingGraph {
  readonly model: Uint8Array;
  /** What the values inside take at once. */
  readonly peakBytes: number;
  /** [size, channels, height, width]. */
  readonly images: string;
  /** [size, outputs]: one-hot classes, or the labels 0 and 1 for one logit. */
  readonly targets: string;
  /** Scalar by which the gradient of the sum of the losses is multiplied: 1 / examples of the step. */
  readonly scale: string;
  /** Inputs [size, ...shape], one per dropout node with p > 0. */
  readonly masks: readonly MaskInput[];
  /** [size, outputs]. */
  readonly logits: string;
  /** In the order of Network.parameters, none for a frozen one; as many values as they have, in shapes of the graph's own. */
  readonly gradients: readonly ({ readonly name: string; readonly shape: readonly number[] } | undefined)[];
  /** Inputs: the running statistics of frozen batch norms, by the names of their buffers. */
  readonly buffers: readonly string[];
  /** Per relu node, joined: the largest output of each channel over the batch. Absent without a relu, or unasked. */
  readonly peaks?: string;
  /** Per batch norm node that is not frozen, joined: mean and biased variance of each channel over the batch. Absent without one. */
  readonly statistics?: string;
}

export interface EvaluationGraph {
  readonly model: Uint8Array;
  readonly images: string;
  readonly logits: string;
}

export function trainingGraph(
  network: Network,
  size: number,
  loss: LossName,
  without?: readonly Optimization[],
  diagnostics = true,
): TrainingGraph {
  return new TrainingLowering(network, size, loss, without, diagnostics).lower();
}

export function evaluationGraph(network: Network, size: number, without?: readonly Optimization[]): EvaluationGraph {
  const graph = new Graph(`${network.name}, evaluation`, without);
  const parameters = parameterInputs(graph, network);
  const buffers = new Map(network.buffers.map((b) => [b.name, graph.input(b.name, b.shape)] as const));
  const values: Value[] = [];
  for (const node of network.nodes) {
    graph.scope = node.name;
    const inputs = node.inputs.map((input) => values[input]!);
    const [x] = inputs as [Value];
    const parameter = (role: string) => parameters.get(`${node.name}.${role}`);
    const { op } = node;
    if (op.kind === 'input') values.push(batchInnermost(graph, graph.input('images', [size, ...node.shape])));
    else if (op.kind === 'batchNorm') {
      values.push(normalized(graph, x, op.eps, parameter, (role) => buffers.get(`${node.name}.${role}`)!).y);
    } else if (op.kind === 'dropout') values.push(x);
    else values.push(forward(graph, node, inputs, parameter).y);
  }
  const logits = graph.output(graph.transpose(values.at(-1)!, [1, 0]));
  return { model: graph.encode(), images: 'images', logits: logits.name };
}

function parameterInputs(graph: Graph, network: Network): Map<string, Value> {
  return new Map(network.parameters.map((p) => [p.name, graph.input(p.name, p.shape)] as const));
}

/** Batch norm by its running statistics, and the factor of each channel. */
function normalized(
  graph: Graph,
  x: Value,
  eps: number,
  parameter: Parameters,
  buffer: (role: 'running_mean' | 'running_var') => Value,
): { y: Value; scale: Value } {
  const root = graph.unary('Sqrt', graph.add(buffer('running_var'), graph.scalar(eps)));
  const scale = graph.binary('Div', parameter('weight')!, root);
  const shift = graph.sub(parameter('bias')!, graph.mul(buffer('running_mean'), scale));
  return { y: perChannel(graph, x, scale, shift), scale };
}

/** [batch, …] to […, batch]. */
function batchInnermost(graph: Graph, x: Value): Value {
  const [n, ...rest] = x.shape as [number, ...number[]];
  return graph.reshape(graph.transpose(graph.reshape(x, [n, elements(rest)]), [1, 0]), [...rest, n]);
}

type Parameters = (role: 'weight' | 'bias') => Value | undefined;

/** What a node computes, in training and evaluation alike, and its backward rules for its inputs and parameters. */
interface Forward {
  readonly y: Value;
  readonly backward: (dy: Value, needsInput: boolean) => Backward;
}

interface Backward {
  /** Per input of the node. */
  readonly inputs?: readonly Value[];
  readonly weight?: Value;
  readonly bias?: Value;
}

function forward(graph: Graph, node: Node, inputs: readonly Value[], parameter: Parameters): Forward {
  const { op } = node;
  const [x] = inputs as [Value];
  const pooled = ({ y, backward }: Differentiable): Forward => ({
    y,
    backward: (dy, needsInput) => (needsInput ? { inputs: [backward(dy)] } : {}),
  });
  const size = node.shape.slice(1) as unknown as readonly [number, number];
  switch (op.kind) {
    case 'conv': {
      const { y, weightGradient, inputGradient } = convolution(graph, op, x, parameter('weight')!, parameter('bias'));
      return {
        y,
        backward: (dy, needsInput) => ({
          weight: weightGradient(dy),
          bias: op.bias ? rowSums(graph, dy) : undefined,
          inputs: needsInput ? [inputGradient(dy)] : undefined,
        }),
      };
    }
    case 'linear': {
      const weight = parameter('weight')!;
      const bias = op.bias ? graph.reshape(parameter('bias')!, [op.outFeatures, 1]) : undefined;
      return {
        y: graph.gemm(weight, x, { bias }),
        backward: (dy, needsInput) => ({
          weight: graph.gemm(dy, x, { transB: true }),
          bias: op.bias ? rowSums(graph, dy) : undefined,
          inputs: needsInput ? [graph.gemm(weight, dy, { transA: true })] : undefined,
        }),
      };
    }
    case 'relu': {
      const y = graph.unary('Relu', x);
      return { y, backward: (dy) => ({ inputs: [reluBackward(graph, y, dy)] }) };
    }
    case 'maxPool':
      return pooled(maxPool(graph, op, x, size));
    case 'avgPool':
      return pooled(avgPool(graph, op, x, size));
    case 'adaptiveAvgPool':
      return pooled(adaptiveAvgPool(graph, op, x));
    case 'flatten':
      return pooled({
        y: graph.reshape(x, [elements(x.shape.slice(0, -1)), x.shape.at(-1)!]),
        backward: (dy) => graph.reshape(dy, x.shape),
      });
    case 'add':
      return { y: graph.add(x, inputs[1]!), backward: (dy) => ({ inputs: [dy, dy] }) };
    default:
      throw new Error(`no rule for ${op.kind}`);
  }
}

/** dy where y > 0, else 0. 3e38 · y is at least 1 for every normal y > 0; a comparison and Where take longer. */
function reluBackward(graph: Graph, y: Value, dy: Value): Value {
  const open = graph.unary('HardSigmoid', y, { alpha: { float: 3e38 }, beta: { float: 0 } });
  return graph.mul(dy, open);
}

/** A channel or feature in each row. */
function rowsOf(graph: Graph, x: Value): Value {
  return graph.reshape(x, [x.shape[0]!, elements(x.shape.slice(1))]);
}

const rowSums = (graph: Graph, x: Value): Value => graph.reduce('ReduceSum', rowsOf(graph, x), [1]);

class TrainingLowering {
  private readonly graph: Graph;
  private readonly parameters: Map<string, Value>;
  private readonly masks: MaskInput[] = [];
  private readonly peaks: Value[] = [];
  private readonly statistics: Value[] = [];
  /** Running statistics of frozen batch norms. */
  private readonly buffers = new Map<string, Value>();

  constructor(
    private readonly network: Network,
    private readonly size: number,
    private readonly loss: LossName,
    without: readonly Optimization[] | undefined,
    private readonly diagnostics: boolean,
  ) {
    this.graph = new Graph(`${network.name}, training`, without);
    this.parameters = parameterInputs(this.graph, network);
    for (const { name, shape, node } of network.buffers) {
      const { op } = network.nodes[node]!;
      if (op.kind === 'batchNorm' && op.frozen) this.buffers.set(name, this.graph.input(name, shape));
    }
  }

  lower(): TrainingGraph {
    const { graph, network, size } = this;
    const steps: Forward[] = [];
    // Whether a trained parameter lies at or above a node: only then does anyone want the gradient of its output.
    const trained: boolean[] = [];
    const owners = new Set(network.parameters.filter((p) => !p.frozen).map((p) => p.node));
    for (const [index, node] of network.nodes.entries()) {
      graph.scope = node.name;
      steps.push(
        this.node(
          node,
          node.inputs.map((input) => steps[input]!.y),
        ),
      );
      trained.push(owners.has(index) || node.inputs.some((input) => trained[input]));
    }

    graph.scope = 'loss';
    const targets = graph.input('targets', [size, network.outputs]);
    const scale = graph.input('scale', [1]);
    const logits = graph.transpose(steps.at(-1)!.y, [1, 0]);
    const probabilities =
      this.loss === 'bce_with_logits'
        ? graph.unary('Sigmoid', logits)
        : graph.node('Softmax', [logits], logits.shape, { attributes: { axis: 1 } });
    const gradientOf = new Map<number, Value>();
    const dLogits = graph.mul(graph.sub(probabilities, targets), scale);
    gradientOf.set(network.nodes.length - 1, graph.transpose(dLogits, [1, 0]));
    const gradients = new Map<string, Value>();
    for (let index = network.nodes.length - 1; index > 0; index--) {
      const node = network.nodes[index]!;
      const dy = gradientOf.get(index);
      if (!dy || !trained[index]) continue;
      graph.scope = `${node.name} backward`;
      const { inputs, weight, bias } = steps[index]!.backward(
        dy,
        node.inputs.some((input) => trained[input]),
      );
      if (weight) gradients.set(`${node.name}.weight`, weight);
      if (bias) gradients.set(`${node.name}.bias`, bias);
      inputs?.forEach((value, i) => {
        const input = node.inputs[i]!;
        const before = gradientOf.get(input);
        gradientOf.set(input, before ? graph.add(before, value) : value);
      });
    }

    graph.scope = 'outputs';
    const output = (value: Value) => graph.output(value).name;
    const joined = (values: readonly Value[]) => (values.length > 0 ? output(graph.concat(values, 0)) : undefined);
    const names = {
      logits: output(logits),
      gradients: network.parameters.map((p) => (p.frozen ? undefined : graph.output(gradients.get(p.name)!))),
      buffers: [...this.buffers.keys()],
      peaks: joined(this.peaks),
      statistics: joined(this.statistics),
    };
    return {
      model: graph.encode(),
      peakBytes: graph.peakBytes(),
      images: 'images',
      targets: targets.name,
      scale: scale.name,
      masks: this.masks,
      ...names,
    };
  }

  private node(node: Node, inputs: readonly Value[]): Forward {
    const { graph } = this;
    const { op } = node;
    const parameter: Parameters = (role) => this.parameters.get(`${node.name}.${role}`);
    const [x] = inputs as [Value];
    if (op.kind === 'input') {
      return { y: batchInnermost(graph, graph.input('images', [this.size, ...node.shape])), backward: () => ({}) };
    }
    if (op.kind === 'batchNorm' && op.frozen) {
      const buffer = (role: string) => this.buffers.get(`${node.name}.${role}`)!;
      const { y, scale } = normalized(graph, x, op.eps, parameter, buffer);
      const zeros = () => graph.floats(new Float32Array(node.shape[0]!));
      return { y, backward: (dy, needed) => (needed ? { inputs: [perChannel(graph, dy, scale, zeros())] } : {}) };
    }
    if (op.kind === 'batchNorm') return this.batchNorm(x, op.eps, parameter);
    if (op.kind === 'dropout') {
      if (op.p === 0) return { y: x, backward: (dy) => ({ inputs: [dy] }) };
      const given = graph.input(`mask_${op.ordinal}`, [this.size, ...node.shape]);
      const mask = batchInnermost(graph, given);
      this.masks.push({ name: given.name, ordinal: op.ordinal, shape: node.shape });
      return { y: graph.mul(x, mask), backward: (dy) => ({ inputs: [graph.mul(dy, mask)] }) };
    }
    const result = forward(graph, node, inputs, parameter);
    if (op.kind === 'relu' && this.diagnostics) {
      this.peaks.push(graph.reduce('ReduceMax', rowsOf(graph, result.y), [1]));
    }
    return result;
  }

  /** Normalises with the batch's own statistics (Ioffe & Szegedy 2015). */
  private batchNorm(x: Value, eps: number, parameter: Parameters): Forward {
    const { graph } = this;
    const rows = rowsOf(graph, x);
    const [channels, count] = rows.shape as [number, number];
    const mean = graph.reduce('ReduceMean', rows, [1]);
    const centred = graph.sub(rows, graph.reshape(mean, [channels, 1]));
    const variance = graph.reduce('ReduceMean', graph.mul(centred, centred), [1]);
    this.statistics.push(mean, variance);
    const inverse = graph.unary('Reciprocal', graph.unary('Sqrt', graph.add(variance, graph.scalar(eps))));
    const scale = graph.mul(parameter('weight')!, inverse);
    return {
      y: graph.reshape(perChannel(graph, centred, scale, parameter('bias')!), x.shape),
      // With z = centred · inverse: dx = scale · (dy - mean(dy) - z · mean(dy · z)).
      backward: (dy) => {
        const gradient = rowsOf(graph, dy);
        const sum = graph.reduce('ReduceSum', gradient, [1]);
        const dot = graph.mul(graph.reduce('ReduceSum', graph.mul(gradient, centred), [1]), inverse);
        const share = graph.mul(scale, graph.scalar(-1 / count));
        const common = perChannel(graph, centred, graph.mul(share, graph.mul(dot, inverse)), graph.mul(share, sum));
        const zeros = graph.floats(new Float32Array(channels));
        return {
          weight: dot,
          bias: sum,
          inputs: [graph.reshape(perChannel(graph, gradient, scale, zeros, common), x.shape)],
        };
      },
    };
  }
}
