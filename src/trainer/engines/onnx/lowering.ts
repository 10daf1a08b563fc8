/**
 * Lowers a network to ONNX graphs: one for a training pass (forward and backward, gradients as outputs) and one for
 * evaluation, by the rules of rules.ts. model.ts calls it once per batch size and runs what comes out.
 *
 * Inside, the batch is the innermost dimension: images are [channels, height, width, batch], features [features, batch].
 * What a layer does to a channel is then done to one contiguous row, linear layers multiply by their weight as it lies in
 * memory, and flattening is free.
 */
import { Network, NetworkBuffer, OpOf } from '../../../core/networks/network';
import type { LossName, Optimization } from '../engine';
import { Graph, Value } from './graph';
import type { Forward, MaskInput, Training } from './rule';
import { ruleOf } from './rules';

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
  readonly peaks?: { readonly name: string; readonly channels: readonly number[] };
  /** Per batch norm node that is not frozen, joined: mean and biased variance of each channel over the batch. Absent without one. */
  readonly statistics?: { readonly name: string; readonly of: readonly MovedStatistics[] };
}

/** How running statistics follow those of a pass. */
export interface MovedStatistics {
  readonly node: string;
  readonly op: OpOf<'batchNorm'>;
  readonly channels: number;
  /** Values that each channel is normalised over. */
  readonly count: number;
}

export interface EvaluationGraph {
  readonly model: Uint8Array;
  readonly images: string;
  readonly logits: string;
}

/** Inputs of a graph, by name. */
type Inputs = ReadonlyMap<string, Value>;

function inputsOf(
  graph: Graph,
  tensors: readonly { readonly name: string; readonly shape: readonly number[] }[],
): Inputs {
  return new Map(tensors.map(({ name, shape }) => [name, graph.input(name, shape)] as const));
}

/** Every node of a network by its rule. */
function forward(
  graph: Graph,
  network: Network,
  size: number,
  parameters: Inputs,
  buffers: Inputs,
  training?: Training,
): Forward[] {
  const steps: Forward[] = [];
  for (const node of network.nodes) {
    graph.scope = node.name;
    const given = {
      ...{ graph, node, size, training },
      inputs: node.inputs.map((input) => steps[input]!.y),
      parameter: (role: string) => parameters.get(`${node.name}.${role}`),
      buffer: (role: string) => buffers.get(`${node.name}.${role}`)!,
    };
    steps.push(ruleOf(node.op).forward(node.op, given));
  }
  return steps;
}

export function evaluationGraph(network: Network, size: number, without?: readonly Optimization[]): EvaluationGraph {
  const graph = new Graph(`${network.name}, evaluation`, without);
  const parameters = inputsOf(graph, network.parameters);
  const buffers = inputsOf(graph, network.buffers);
  const { y } = forward(graph, network, size, parameters, buffers).at(-1)!;
  const logits = graph.output(graph.transpose(y, [1, 0]));
  return { model: graph.encode(), images: 'images', logits: logits.name };
}

export function trainingGraph(
  network: Network,
  size: number,
  loss: LossName,
  without?: readonly Optimization[],
  diagnostics = true,
): TrainingGraph {
  const graph = new Graph(`${network.name}, training`, without);
  const parameters = inputsOf(graph, network.parameters);
  const buffers = inputsOf(graph, network.buffers.filter(isFrozen(network)));
  const training: Training = { diagnostics, masks: [], peaks: [], statistics: [] };
  const steps = forward(graph, network, size, parameters, buffers, training);

  graph.scope = 'loss';
  const targets = graph.input('targets', [size, network.outputs]);
  const scale = graph.input('scale', [1]);
  const logits = graph.transpose(steps.at(-1)!.y, [1, 0]);
  const probabilities =
    loss === 'bce_with_logits'
      ? graph.unary('Sigmoid', logits)
      : graph.node('Softmax', [logits], logits.shape, { attributes: { axis: 1 } });
  const dLogits = graph.mul(graph.sub(probabilities, targets), scale);
  const gradients = backward(graph, network, steps, graph.transpose(dLogits, [1, 0]));

  graph.scope = 'outputs';
  const output = (value: Value) => graph.output(value).name;
  const joined = (values: readonly Value[]) => output(graph.concat(values, 0));
  const { masks, peaks, statistics } = training;
  const outputs = {
    logits: output(logits),
    gradients: network.parameters.map((p) => (p.frozen ? undefined : graph.output(gradients.get(p.name)!))),
    buffers: [...buffers.keys()],
    ...(peaks.length > 0 && { peaks: { name: joined(peaks), channels: peaks.map(({ shape }) => shape[0]!) } }),
    ...(statistics.length > 0 && {
      statistics: {
        name: joined(statistics.flatMap(({ mean, variance }) => [mean, variance])),
        of: statistics.map(({ node, op, mean, count }) => ({ node: node.name, op, channels: mean.shape[0]!, count })),
      },
    }),
  };
  return {
    model: graph.encode(),
    peakBytes: graph.peakBytes(),
    images: 'images',
    targets: targets.name,
    scale: scale.name,
    masks,
    ...outputs,
  };
}

/** Gradients of the parameters that are trained, by name, from that of the last node. */
function backward(graph: Graph, network: Network, steps: readonly Forward[], last: Value): Map<string, Value> {
  const trained = trainedNodes(network);
  const gradientOf = new Map([[network.nodes.length - 1, last]]);
  const gradients = new Map<string, Value>();
  for (let index = network.nodes.length - 1; index > 0; index--) {
    const node = network.nodes[index]!;
    const dy = gradientOf.get(index);
    if (!dy || !trained[index]) continue;
    graph.scope = `${node.name} backward`;
    const needsInput = node.inputs.some((input) => trained[input]);
    const { inputs, weight, bias } = steps[index]!.backward(dy, needsInput);
    if (weight) gradients.set(`${node.name}.weight`, weight);
    if (bias) gradients.set(`${node.name}.bias`, bias);
    inputs?.forEach((value, i) => {
      const input = node.inputs[i]!;
      const before = gradientOf.get(input);
      gradientOf.set(input, before ? graph.add(before, value) : value);
    });
  }
  return gradients;
}

/** Whether a trained parameter lies at or above a node: only then does anyone want the gradient of its output. */
function trainedNodes({ nodes, parameters }: Network): readonly boolean[] {
  const owners = new Set(parameters.filter((p) => !p.frozen).map((p) => p.node));
  const trained: boolean[] = [];
  nodes.forEach(({ inputs }, index) => trained.push(owners.has(index) || inputs.some((input) => trained[input])));
  return trained;
}

/** Whether a buffer is that of a frozen batch norm. */
const isFrozen =
  ({ nodes }: Network) =>
  ({ node }: NetworkBuffer): boolean => {
    const { op } = nodes[node]!;
    return op.kind === 'batchNorm' && op.frozen === true;
  };
