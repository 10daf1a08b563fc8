/** Pooling forward and backward as ONNX operators, over images [channels, height, width, batch]. rules.ts calls. */
import type { OpOf } from '../../../core/networks/network';
import { weave } from './convolution';
import { Graph, Value } from './graph';

/** An output and the rule that turns its gradient into the input's. */
export interface Differentiable {
  readonly y: Value;
  readonly backward: (dy: Value) => Value;
}

/** Below every finite number that a network computes; minus infinity would make the difference to itself NaN. */
const lowest = -3e38;

export function maxPool(graph: Graph, op: OpOf<'maxPool'>, x: Value, size: readonly [number, number]): Differentiable {
  const { padding: p, kernel, stride } = op;
  const [channels, h, w, n] = x.shape as [number, number, number, number];
  const shape = [channels, ...size, n];
  const volume = graph.node('MaxPool', [graph.reshape(x, [1, ...x.shape])], [1, ...shape], {
    attributes: {
      kernel_shape: [...kernel, 1],
      strides: [...stride, 1],
      pads: [p.top, p.left, 0, p.bottom, p.right, 0],
    },
  });
  const y = graph.reshape(volume, shape);
  return { y, backward: (dy) => maxPoolBackward(graph, op, x, y, dy, [h, w]) };
}

/**
 * Window position by window position: where the input there equals the maximum it takes what is left of dy, so that the
 * first of equal values gets all of it, as in PyTorch. ONNX Runtime's own indices cost several times as much.
 */
function maxPoolBackward(
  graph: Graph,
  { padding: p, kernel, stride }: OpOf<'maxPool'>,
  x: Value,
  y: Value,
  dy: Value,
  [h, w]: readonly [number, number],
): Value {
  const [channels, oh, ow, n] = y.shape as [number, number, number, number];
  const image = graph.pad(x, [1, 2], [p.top, p.left], [p.bottom, p.right], lowest);
  // Every padded pixel that a window reaches belongs to one cell of stride × stride pixels and one phase within it.
  const reach = (outputs: number, axis: 0 | 1) =>
    Math.ceil(((outputs - 1) * stride[axis] + kernel[axis]) / stride[axis]);
  const cells = [reach(oh, 0), reach(ow, 1)] as const;
  const contributions: Value[][][] = Array.from({ length: stride[0] }, () =>
    Array.from({ length: stride[1] }, () => []),
  );
  let left = dy;
  for (let a = 0; a < kernel[0]; a++) {
    for (let b = 0; b < kernel[1]; b++) {
      const last = a === kernel[0] - 1 && b === kernel[1] - 1;
      let share = left;
      if (!last) {
        const there = graph.slice(
          image,
          [1, 2],
          [a, b],
          [a + (oh - 1) * stride[0] + 1, b + (ow - 1) * stride[1] + 1],
          stride,
        );
        // 1 where the difference is 0, and 0 where it is negative, even by the smallest normal number.
        const isMaximum = graph.unary('HardSigmoid', graph.sub(there, y), {
          alpha: { float: 3e38 },
          beta: { float: 1 },
        });
        share = graph.mul(left, isMaximum);
        left = graph.sub(left, share);
      }
      const [down, right] = [Math.floor(a / stride[0]), Math.floor(b / stride[1])];
      contributions[a % stride[0]]![b % stride[1]]!.push(
        graph.pad(share, [1, 2], [down, right], [cells[0] - oh - down, cells[1] - ow - right]),
      );
    }
  }
  const parts = contributions.map((row) =>
    row.map((values) => (values.length > 0 ? values.reduce((sum, value) => graph.add(sum, value)) : undefined)),
  );
  const woven = weave(graph, parts, [channels, ...cells, n]);
  const [height, width] = woven.shape.slice(1) as [number, number];
  return graph.pad(woven, [1, 2], [-p.top, -p.left], [h + p.top - height, w + p.left - width]);
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

/** Averages rows and columns, or spreads gradients back over them. */
function average(graph: Graph, x: Value, rows: Averaging, columns: Averaging, backward: boolean): Value {
  const [channels, h, w, n] = x.shape as [number, number, number, number];
  const matrix = (averaging: Averaging) => {
    const [m, k] = [averaging.length, averaging[0]!.length];
    const values = new Float32Array(m * k);
    averaging.forEach((row, i) => row.forEach((v, j) => (values[backward ? j * m + i : i * k + j] = v)));
    return graph.floats(values, backward ? [k, m] : [m, k]);
  };
  const [down, across] = [matrix(rows), matrix(columns)];
  const [oh, ow] = [down.shape[0]!, across.shape[0]!];
  const tall = graph.matmul(down, graph.reshape(x, [channels, h, w * n]));
  const both = graph.matmul(across, graph.reshape(tall, [channels * oh, w, n]));
  return graph.reshape(both, [channels, oh, ow, n]);
}

export function avgPool(graph: Graph, op: OpOf<'avgPool'>, x: Value, size: readonly [number, number]): Differentiable {
  const { padding: p, kernel, stride } = op;
  const [channels, h, w, n] = x.shape as [number, number, number, number];
  const rows = windows(size[0], h, kernel[0], stride[0], p.top, op.countIncludePad);
  const columns = windows(size[1], w, kernel[1], stride[1], p.left, op.countIncludePad);
  const tiled = kernel.join() === stride.join() && [p.top, p.left, p.bottom, p.right].every((pad) => pad === 0);
  if (!tiled) {
    return {
      y: average(graph, x, rows, columns, false),
      backward: (dy) => average(graph, dy, rows, columns, true),
    };
  }
  const area = kernel[0] * kernel[1];
  // A convolution of every channel with one constant kernel; ONNX Runtime's AveragePool takes five times as long.
  const y = graph.node(
    'Conv',
    [
      graph.reshape(x, [channels, 1, h, w, n]),
      graph.floats(new Float32Array(area).fill(1 / area), [1, 1, ...kernel, 1]),
    ],
    [channels, 1, ...size, n],
    { attributes: { kernel_shape: [...kernel, 1], strides: [...stride, 1] } },
  );
  return {
    y: graph.reshape(y, [channels, ...size, n]),
    backward: (dy) => {
      const share = graph.mul(dy, graph.scalar(1 / area));
      const cells = graph.reshape(share, [channels, size[0], 1, size[1], 1, n]);
      const grown = graph.expand(cells, [channels, size[0], kernel[0], size[1], kernel[1], n]);
      const [covered, across] = [size[0] * kernel[0], size[1] * kernel[1]];
      const image = graph.reshape(grown, [channels, covered, across, n]);
      return graph.pad(image, [1, 2], [0, 0], [h - covered, w - across]);
    },
  };
}

export function adaptiveAvgPool(graph: Graph, op: OpOf<'adaptiveAvgPool'>, x: Value): Differentiable {
  const [channels, h, w, n] = x.shape as [number, number, number, number];
  const [oh, ow] = op.output;
  if (oh === h && ow === w) return { y: x, backward: (dy) => dy };
  if (oh === 1 && ow === 1) {
    const mean = graph.reduce('ReduceMean', graph.reshape(x, [channels, h * w, n]), [1]);
    return {
      y: graph.reshape(mean, [channels, 1, 1, n]),
      backward: (dy) => graph.expand(graph.mul(dy, graph.scalar(1 / (h * w))), x.shape),
    };
  }
  const [rows, columns] = [adaptiveWindows(oh, h), adaptiveWindows(ow, w)];
  return {
    y: average(graph, x, rows, columns, false),
    backward: (dy) => average(graph, dy, rows, columns, true),
  };
}
