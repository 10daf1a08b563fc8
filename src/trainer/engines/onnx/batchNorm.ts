/** Batch norm forward and backward as ONNX operators, over images [channels, height, width, batch]. rules.ts calls. */
import type { OpOf } from '../../../core/networks/network';
import { perChannel } from './convolution';
import { Graph, rowsOf, Value } from './graph';
import type { Forward, Given } from './rule';

type Parameter = Given['parameter'];

/** By running statistics: in evaluation, and in training where it is frozen. */
export function batchNormByRunning(op: OpOf<'batchNorm'>, { graph, inputs, parameter, buffer }: Given): Forward {
  const [x] = inputs as [Value];
  const root = graph.unary('Sqrt', graph.add(buffer('running_var'), graph.scalar(op.eps)));
  const scale = graph.binary('Div', parameter('weight')!, root);
  const shift = graph.sub(parameter('bias')!, graph.mul(buffer('running_mean'), scale));
  const zeros = () => graph.floats(new Float32Array(x.shape[0]!));
  return {
    y: perChannel(graph, x, scale, shift),
    backward: (dy, needed) => (needed ? { inputs: [perChannel(graph, dy, scale, zeros())] } : {}),
  };
}

/** By the batch's own statistics (Ioffe & Szegedy 2015), which are given beside the output. */
export function batchNormByBatch(
  graph: Graph,
  { eps }: OpOf<'batchNorm'>,
  x: Value,
  parameter: Parameter,
): Forward & { readonly mean: Value; readonly variance: Value; readonly count: number } {
  const rows = rowsOf(graph, x);
  const [channels, count] = rows.shape as [number, number];
  const mean = graph.reduce('ReduceMean', rows, [1]);
  const centred = graph.sub(rows, graph.reshape(mean, [channels, 1]));
  const variance = graph.reduce('ReduceMean', graph.mul(centred, centred), [1]);
  const inverse = graph.unary('Reciprocal', graph.unary('Sqrt', graph.add(variance, graph.scalar(eps))));
  const scale = graph.mul(parameter('weight')!, inverse);
  return {
    ...{ mean, variance, count },
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
