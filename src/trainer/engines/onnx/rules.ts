/**
 * One rule for each kind of operation, forward and backward together. Those that take more than a few operators have files
 * of their own. lowering.ts applies them.
 */
import { elements, Op } from '../../../core/networks/network';
import { batchNormByBatch, batchNormByRunning } from './batchNorm';
import { convolution } from './convolution';
import { batchInnermost, Graph, rowsOf, Value } from './graph';
import { adaptiveAvgPool, avgPool, Differentiable, maxPool } from './pooling';
import type { Forward, Given, Rule } from './rule';

const rules: { readonly [Kind in Op['kind']]: Rule<Kind> } = {
  input: {
    forward: (_, { graph, node, size }) => ({
      y: batchInnermost(graph, graph.input('images', [size, ...node.shape])),
      backward: () => ({}),
    }),
  },
  conv: {
    forward(op, { graph, inputs: [x], parameter }) {
      const { y, weightGradient, inputGradient } = convolution(graph, op, x!, parameter('weight')!, parameter('bias'));
      return {
        y,
        backward: (dy, needsInput) => ({
          weight: weightGradient(dy),
          bias: op.bias ? rowSums(graph, dy) : undefined,
          inputs: needsInput ? [inputGradient(dy)] : undefined,
        }),
      };
    },
  },
  linear: {
    forward(op, { graph, inputs: [x], parameter }) {
      const weight = parameter('weight')!;
      const bias = op.bias ? graph.reshape(parameter('bias')!, [op.outFeatures, 1]) : undefined;
      return {
        y: graph.gemm(weight, x!, { bias }),
        backward: (dy, needsInput) => ({
          weight: graph.gemm(dy, x!, { transB: true }),
          bias: op.bias ? rowSums(graph, dy) : undefined,
          inputs: needsInput ? [graph.gemm(weight, dy, { transA: true })] : undefined,
        }),
      };
    },
  },
  batchNorm: {
    forward(op, given) {
      const { graph, node, inputs, parameter, training } = given;
      if (!training || op.frozen) return batchNormByRunning(op, given);
      const { mean, variance, count, ...step } = batchNormByBatch(graph, op, inputs[0]!, parameter);
      training.statistics.push({ node, op, mean, variance, count });
      return step;
    },
  },
  relu: {
    forward(_, { graph, inputs: [x], training }) {
      const y = graph.unary('Relu', x!);
      if (training?.diagnostics) training.peaks.push(graph.reduce('ReduceMax', rowsOf(graph, y), [1]));
      return { y, backward: (dy) => ({ inputs: [reluBackward(graph, y, dy)] }) };
    },
  },
  maxPool: {
    forward: (op, given) => ofOneInput(maxPool(given.graph, op, given.inputs[0]!, imageSize(given))),
  },
  avgPool: {
    forward: (op, given) => ofOneInput(avgPool(given.graph, op, given.inputs[0]!, imageSize(given))),
  },
  adaptiveAvgPool: {
    forward: (op, { graph, inputs: [x] }) => ofOneInput(adaptiveAvgPool(graph, op, x!)),
  },
  dropout: {
    forward(op, { graph, node, size, inputs: [x], training }) {
      if (!training || op.p === 0) return { y: x!, backward: (dy) => ({ inputs: [dy] }) };
      const given = graph.input(`mask_${op.ordinal}`, [size, ...node.shape]);
      const mask = batchInnermost(graph, given);
      training.masks.push({ name: given.name, ordinal: op.ordinal, shape: node.shape });
      return { y: graph.mul(x!, mask), backward: (dy) => ({ inputs: [graph.mul(dy, mask)] }) };
    },
  },
  flatten: {
    forward: (_, { graph, inputs: [x] }) =>
      ofOneInput({
        y: graph.reshape(x!, [elements(x!.shape.slice(0, -1)), x!.shape.at(-1)!]),
        backward: (dy) => graph.reshape(dy, x!.shape),
      }),
  },
  add: {
    forward: (_, { graph, inputs: [a, b] }) => ({
      y: graph.add(a!, b!),
      backward: (dy) => ({ inputs: [dy, dy] }),
    }),
  },
};

/** The rule for an operation. The compiler does not see that an operation and the rule of its kind fit. */
export const ruleOf = (op: Op): Rule => rules[op.kind] as Rule;

const ofOneInput = ({ y, backward }: Differentiable): Forward => ({
  y,
  backward: (dy, needsInput) => (needsInput ? { inputs: [backward(dy)] } : {}),
});

/** Output rows and columns. */
const imageSize = ({ node }: Given) => node.shape.slice(1) as unknown as readonly [number, number];

/** dy where y > 0, else 0. 3e38 · y is at least 1 for every normal y > 0; a comparison and Where take longer. */
function reluBackward(graph: Graph, y: Value, dy: Value): Value {
  const open = graph.unary('HardSigmoid', y, { alpha: { float: 3e38 }, beta: { float: 0 } });
  return graph.mul(dy, open);
}

const rowSums = (graph: Graph, x: Value): Value => graph.reduce('ReduceSum', rowsOf(graph, x), [1]);
