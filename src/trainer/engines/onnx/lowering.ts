/**
 * Lowers a network to ONNX graphs: one for a training pass (forward and backward, gradients as outputs) and one for
 * evaluation. model.ts calls it once per batch size and runs what comes out.
 */
import { elements, Network, Node } from '../../../networks/network';
import { LossName } from '../engine';
import { convolution, inputGradient, weightGradient } from './convolution';
import { Graph, Value } from './graph';
import { adaptiveAvgPool, avgPool, Differentiable, maxPool } from './pooling';

/** A graph with the names by which model.ts feeds and fetches; parameters and buffers are fed by their own names. */
export interface TrainingGraph {
  readonly model: Uint8Array;
  /** [size, channels, height, width]. */
  readonly images: string;
  /** [size, outputs]: one-hot classes, or the labels 0 and 1 for one logit. */
  readonly targets: string;
  /** Scalar by which the gradient of the sum of the losses is multiplied: 1 / examples of the step. */
  readonly scale: string;
  /** Inputs [size, ...shape], one per dropout node with p > 0, in order. */
  readonly masks: readonly { readonly name: string; readonly node: Node }[];
  /** [size, outputs]. */
  readonly logits: string;
  /** In the order of Network.parameters, in their shapes. */
  readonly gradients: readonly string[];
  /** Per relu node, joined: the largest output of each channel over the batch. Absent without a relu. */
  readonly peaks?: string;
  /** Per batch norm node, joined: mean and biased variance of each channel over the batch. Absent without one. */
  readonly statistics?: string;
}

export interface EvaluationGraph {
  readonly model: Uint8Array;
  readonly images: string;
  readonly logits: string;
}

export function trainingGraph(network: Network, size: number, loss: LossName): TrainingGraph {
  return new TrainingLowering(network, size, loss).lower();
}

export function evaluationGraph(network: Network, size: number): EvaluationGraph {
  const graph = new Graph(`${network.name}, evaluation`);
  const parameters = parameterInputs(graph, network);
  const buffers = new Map(network.buffers.map((b) => [b.name, graph.input(b.name, b.shape)] as const));
  const values: Value[] = [];
  for (const node of network.nodes) {
    const inputs = node.inputs.map((input) => values[input]!);
    const [x] = inputs as [Value];
    const parameter = (role: string) => parameters.get(`${node.name}.${role}`);
    const { op } = node;
    if (op.kind === 'input') values.push(graph.input('images', [size, ...node.shape]));
    else if (op.kind === 'batchNorm') {
      const [mean, variance] = [buffers.get(`${node.name}.running_mean`), buffers.get(`${node.name}.running_var`)];
      values.push(
        graph.node('BatchNormalization', [x, parameter('weight'), parameter('bias'), mean, variance], x.shape, {
          attributes: { epsilon: { float: op.eps } },
        }),
      );
    } else if (op.kind === 'dropout') values.push(x);
    else values.push(forward(graph, node, inputs, parameter).y);
  }
  const logits = graph.output(values.at(-1)!);
  return { model: graph.encode(), images: 'images', logits: logits.name };
}

function parameterInputs(graph: Graph, network: Network): Map<string, Value> {
  return new Map(network.parameters.map((p) => [p.name, graph.input(p.name, p.shape)] as const));
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
      const weight = parameter('weight')!;
      return {
        y: convolution(graph, op, x, weight, parameter('bias')),
        backward: (dy, needsInput) => ({
          weight: weightGradient(graph, op, x, weight, dy),
          bias: op.bias ? graph.reduce('ReduceSum', dy, [0, 2, 3]) : undefined,
          inputs: needsInput ? [inputGradient(graph, op, x, weight, dy)] : undefined,
        }),
      };
    }
    case 'linear': {
      const weight = parameter('weight')!;
      return {
        y: graph.gemm(x, weight, { transB: true, bias: parameter('bias') }),
        backward: (dy, needsInput) => ({
          weight: graph.gemm(dy, x, { transA: true }),
          bias: op.bias ? graph.reduce('ReduceSum', dy, [0]) : undefined,
          inputs: needsInput ? [graph.gemm(dy, weight)] : undefined,
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
        y: graph.reshape(x, [x.shape[0]!, elements(x.shape.slice(1))]),
        backward: (dy) => graph.reshape(dy, x.shape),
      });
    case 'add':
      return { y: graph.add(x, inputs[1]!), backward: (dy) => ({ inputs: [dy, dy] }) };
    default:
      throw new Error(`no rule for ${op.kind}`);
  }
}

/** dy where y > 0, else 0. y · 3e38 is at least 1 for every normal y > 0; a Where costs twice as much. */
function reluBackward(graph: Graph, y: Value, dy: Value): Value {
  const open = graph.binary('Min', graph.mul(y, graph.scalar(3e38)), graph.scalar(1));
  return graph.mul(dy, open);
}

class TrainingLowering {
  private readonly graph: Graph;
  private readonly parameters: Map<string, Value>;
  private readonly masks: { name: string; node: Node }[] = [];
  private readonly peaks: Value[] = [];
  private readonly statistics: Value[] = [];

  constructor(
    private readonly network: Network,
    private readonly size: number,
    private readonly loss: LossName,
  ) {
    this.graph = new Graph(`${network.name}, training`);
    this.parameters = parameterInputs(this.graph, network);
  }

  lower(): TrainingGraph {
    const { graph, network, size } = this;
    const steps: Forward[] = [];
    // Whether a parameter lies at or above a node: only then does anyone want the gradient of its output.
    const trained: boolean[] = [];
    for (const node of network.nodes) {
      steps.push(
        this.node(
          node,
          node.inputs.map((input) => steps[input]!.y),
        ),
      );
      const own = ['conv', 'linear', 'batchNorm'].includes(node.op.kind);
      trained.push(own || node.inputs.some((input) => trained[input]));
    }

    const targets = graph.input('targets', [size, network.outputs]);
    const scale = graph.input('scale', [1]);
    const logits = steps.at(-1)!.y;
    const probabilities =
      this.loss === 'bce_with_logits'
        ? graph.unary('Sigmoid', logits)
        : graph.node('Softmax', [logits], logits.shape, { attributes: { axis: 1 } });
    const gradientOf = new Map<number, Value>();
    gradientOf.set(network.nodes.length - 1, graph.mul(graph.sub(probabilities, targets), scale));
    const gradients = new Map<string, Value>();
    for (let index = network.nodes.length - 1; index > 0; index--) {
      const node = network.nodes[index]!;
      const dy = gradientOf.get(index);
      if (!dy || !trained[index]) continue;
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

    const output = (value: Value) => graph.output(value).name;
    const joined = (values: readonly Value[]) => (values.length > 0 ? output(graph.concat(values, 0)) : undefined);
    const names = {
      logits: output(logits),
      gradients: network.parameters.map((p) => output(gradients.get(p.name)!)),
      peaks: joined(this.peaks),
      statistics: joined(this.statistics),
    };
    return {
      model: graph.encode(),
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
      return { y: graph.input('images', [this.size, ...node.shape]), backward: () => ({}) };
    }
    if (op.kind === 'batchNorm') return this.batchNorm(x, op.eps, parameter);
    if (op.kind === 'dropout') {
      if (op.p === 0) return { y: x, backward: (dy) => ({ inputs: [dy] }) };
      const mask = graph.input(`mask_${op.ordinal}`, x.shape);
      this.masks.push({ name: mask.name, node });
      return { y: graph.mul(x, mask), backward: (dy) => ({ inputs: [graph.mul(dy, mask)] }) };
    }
    const result = forward(graph, node, inputs, parameter);
    if (op.kind === 'relu') {
      const channels = result.y.shape.map((_, axis) => axis).filter((axis) => axis !== 1);
      this.peaks.push(graph.reduce('ReduceMax', result.y, channels));
    }
    return result;
  }

  /** Normalises with the batch's own statistics (Ioffe & Szegedy 2015). */
  private batchNorm(x: Value, eps: number, parameter: Parameters): Forward {
    const { graph } = this;
    const [n, channels, h, w] = x.shape as [number, number, number, number];
    const count = n * h * w;
    const perChannel = (value: Value) => graph.reshape(value, [channels, 1, 1]);
    const weight = perChannel(parameter('weight')!);
    const mean = graph.reduce('ReduceMean', x, [0, 2, 3]);
    const centred = graph.sub(x, perChannel(mean));
    const variance = graph.reduce('ReduceMean', graph.mul(centred, centred), [0, 2, 3]);
    this.statistics.push(mean, variance);
    const root = graph.unary('Sqrt', graph.add(variance, graph.scalar(eps)));
    const inverse = perChannel(graph.unary('Reciprocal', root));
    const normal = graph.mul(centred, inverse);
    return {
      y: graph.add(graph.mul(normal, weight), perChannel(parameter('bias')!)),
      backward: (dy) => {
        const sum = graph.reduce('ReduceSum', dy, [0, 2, 3]);
        const dot = graph.reduce('ReduceSum', graph.mul(dy, normal), [0, 2, 3]);
        const share = graph.scalar(1 / count);
        const common = graph.add(
          graph.mul(normal, perChannel(graph.mul(dot, share))),
          perChannel(graph.mul(sum, share)),
        );
        return {
          weight: dot,
          bias: sum,
          inputs: [graph.mul(graph.sub(dy, common), graph.mul(weight, inverse))],
        };
      },
    };
  }
}
