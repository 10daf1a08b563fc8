/** Pooling forward and backward as ONNX operators, over images [batch, channels, height, width]. lowering.ts calls. */
import { Op } from '../../../networks/network';
import { Graph, Value } from './graph';

type OpOf<Kind extends Op['kind']> = Extract<Op, { kind: Kind }>;

/** An output and the rule that turns its gradient into the input's. */
export interface Differentiable {
  readonly y: Value;
  readonly backward: (dy: Value) => Value;
}

export function maxPool(graph: Graph, op: OpOf<'maxPool'>, x: Value, size: readonly [number, number]): Differentiable {
  const { padding: p } = op;
  const attributes = { kernel_shape: op.kernel, strides: op.stride, pads: [p.top, p.left, p.bottom, p.right] };
  const shape = [...x.shape.slice(0, 2), ...size];
  const [y, indices] = graph.nodeOf('MaxPool', [x], [{ shape }, { shape, type: 'int64' }], attributes) as [
    Value,
    Value,
  ];
  return {
    y,
    // The index is that of the first largest value of a window in the flattened x: where PyTorch's gradient goes too.
    backward: (dy) => {
      const count = x.shape.reduce((product, n) => product * n, 1);
      const zeros = graph.node('ConstantOfShape', [graph.integers([count])], [count]);
      const outputs = shape.reduce((product, n) => product * n, 1);
      const flat = graph.node(
        'ScatterElements',
        [zeros, graph.reshape(indices, [outputs]), graph.reshape(dy, [outputs])],
        [count],
        { attributes: { axis: 0, reduction: 'add' } },
      );
      return graph.reshape(flat, x.shape);
    },
  };
}

/** Which inputs a row (or column) of the output averages, as a matrix [outputs, inputs]: the mean is separable. */
type Averaging = readonly Float32Array[];

/** Windows of a kernel; padding counts in the mean or does not. */
function windows(
  outputs: number,
  inputs: number,
  kernel: number,
  stride: number,
  pad: number,
  counted: boolean,
): Averaging {
  return Array.from({ length: outputs }, (_, o) => {
    const row = new Float32Array(inputs);
    const start = o * stride - pad;
    const [from, to] = [Math.max(start, 0), Math.min(start + kernel, inputs)];
    return row.fill(1 / (counted ? kernel : to - from), from, to);
  });
}

/** PyTorch's adaptive windows: output o averages the inputs floor(o·in/out) to ceil((o+1)·in/out). */
function adaptiveWindows(outputs: number, inputs: number): Averaging {
  return Array.from({ length: outputs }, (_, o) => {
    const from = Math.floor((o * inputs) / outputs);
    const to = Math.ceil(((o + 1) * inputs) / outputs);
    return new Float32Array(inputs).fill(1 / (to - from), from, to);
  });
}

function matrix(graph: Graph, rows: Averaging, transposed: boolean): Value {
  const [n, m] = [rows.length, rows[0]!.length];
  const values = new Float32Array(n * m);
  rows.forEach((row, i) => row.forEach((v, j) => (values[transposed ? j * n + i : i * m + j] = v)));
  return graph.floats(values, transposed ? [m, n] : [n, m]);
}

const average = (graph: Graph, x: Value, rows: Averaging, columns: Averaging): Value =>
  graph.matmul(matrix(graph, rows, false), graph.matmul(x, matrix(graph, columns, true)));

const averageBackward = (graph: Graph, dy: Value, rows: Averaging, columns: Averaging): Value =>
  graph.matmul(matrix(graph, rows, true), graph.matmul(dy, matrix(graph, columns, false)));

export function avgPool(graph: Graph, op: OpOf<'avgPool'>, x: Value, size: readonly [number, number]): Differentiable {
  const { padding: p, kernel, stride } = op;
  const [h, w] = x.shape.slice(2) as [number, number];
  const shape = [...x.shape.slice(0, 2), ...size];
  const y = graph.node('AveragePool', [x], shape, {
    attributes: {
      kernel_shape: kernel,
      strides: stride,
      pads: [p.top, p.left, p.bottom, p.right],
      count_include_pad: Number(op.countIncludePad),
    },
  });
  const tiled = kernel.join() === stride.join() && [p.top, p.left, p.bottom, p.right].every((n) => n === 0);
  return {
    y,
    backward: (dy) => {
      if (tiled) {
        const share = graph.mul(dy, graph.scalar(1 / (kernel[0] * kernel[1])));
        const covered = [...x.shape.slice(0, 2), size[0] * kernel[0], size[1] * kernel[1]];
        const grown = repeat(graph, share, covered);
        return graph.padImage(grown, [0, 0, h - covered[2]!, w - covered[3]!]);
      }
      const rows = windows(size[0], h, kernel[0], stride[0], p.top, op.countIncludePad);
      const columns = windows(size[1], w, kernel[1], stride[1], p.left, op.countIncludePad);
      return averageBackward(graph, dy, rows, columns);
    },
  };
}

/** Repeats every pixel to fill a whole multiple of the image's size. */
export function repeat(graph: Graph, x: Value, shape: readonly number[]): Value {
  if (shape.join() === x.shape.join()) return x;
  return graph.node('Resize', [x, undefined, undefined, graph.integers(shape)], shape, {
    attributes: { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' },
  });
}

export function adaptiveAvgPool(graph: Graph, op: OpOf<'adaptiveAvgPool'>, x: Value): Differentiable {
  const [h, w] = x.shape.slice(2) as [number, number];
  const outer = x.shape.slice(0, 2);
  const [oh, ow] = op.output;
  if (oh === h && ow === w) return { y: x, backward: (dy) => dy };
  if (oh === 1 && ow === 1) {
    return {
      y: graph.node('GlobalAveragePool', [x], [...outer, 1, 1]),
      backward: (dy) => repeat(graph, graph.mul(dy, graph.scalar(1 / (h * w))), x.shape),
    };
  }
  const [rows, columns] = [adaptiveWindows(oh, h), adaptiveWindows(ow, w)];
  return { y: average(graph, x, rows, columns), backward: (dy) => averageBackward(graph, dy, rows, columns) };
}
