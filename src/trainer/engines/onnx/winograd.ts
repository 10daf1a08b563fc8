/**
 * Convolutions of 3×3 and 5×5 kernels with stride 1 by Winograd's minimal filtering (Lavin & Gray 2015, "Fast Algorithms
 * for Convolutional Neural Networks"): on tiles of 6×6 pixels a 3×3 kernel takes 2.25 multiplications for each output
 * instead of 9, a 5×5 kernel 9 instead of 25. Forward and both gradients; convolution.ts decides where it pays.
 *
 * Rounding is about 1e-5 of the largest output, ten times that of the direct product.
 */
import { ConvOp, Convolution, outputSize } from './convolutionRule';
import { Graph, Value } from './graph';

/** Pixels of a tile per axis: outputs of the tile + kernel size - 1. */
const tile = 6;
const frequencies = tile * tile;

type Matrix = readonly (readonly number[])[];

/** Interpolation points; the sixth is infinity. */
const points = [0, 1, -1, 2, -2];

/** Bᵀ of Lavin & Gray's F(4×4, 3×3), which these points give for any kernel size: pixels of a tile to frequencies. */
const pixelsToFrequencies: Matrix = [
  [4, 0, -5, 0, 1, 0],
  [0, -4, -4, 1, 1, 0],
  [0, 4, -4, -1, 1, 0],
  [0, -2, -1, 2, 1, 0],
  [0, 2, -1, -2, 1, 0],
  [0, 4, 0, -5, 0, 1],
];

/** G: the kernel's polynomial at every point, over the point's distances to the others. [frequencies, kernel] */
function kernelToFrequencies(kernel: number): Matrix {
  const powers = Array.from({ length: kernel }, (_, i) => i);
  const finite = points.map((p) => {
    const distances = points.reduce((product, q) => (q === p ? product : product * (p - q)), 1);
    return powers.map((i) => p ** i / distances);
  });
  return [...finite, powers.map((i) => Number(i === kernel - 1))];
}

/** Aᵀ: frequencies to the outputs of a tile. [outputs, frequencies] */
function frequenciesToOutputs(outputs: number): Matrix {
  return Array.from({ length: outputs }, (_, i) => [...points.map((p) => p ** i), Number(i === outputs - 1)]);
}

const transposed = (m: Matrix): Matrix => m[0]!.map((_, j) => m.map((row) => row[j]!));

/** The two-dimensional transform of row-major squares: m on rows and on columns. */
function squared(m: Matrix): Matrix {
  return m.flatMap((a) => m.map((b) => a.flatMap((x) => b.map((y) => x * y))));
}

const constant = (graph: Graph, m: Matrix): Value => graph.floats(m.flat(), [m.length, m[0]!.length]);

export function suitsWinograd({ kernel, stride }: ConvOp): boolean {
  return (kernel.join() === '3,3' || kernel.join() === '5,5') && stride.join() === '1,1';
}

/**
 * @param x [channels, height, width, batch]
 * @param weight [out, in, kernel, kernel]
 */
export function winogradConvolution(graph: Graph, op: ConvOp, x: Value, weight: Value): Convolution {
  const { padding: p, kernel, outChannels } = op;
  const [channels, h, w, n] = x.shape as [number, number, number, number];
  const size = kernel[0];
  const outputs = tile - size + 1;
  const toFrequencies = kernelToFrequencies(size);
  const [oh, ow] = outputSize(op, x);
  const input = tilesToFrequencies(graph, x, pixelsToFrequencies, outputs, [p.top, p.left], [oh, ow]);
  const matrix = graph.reshape(weight, [outChannels * channels, size * size]);
  const kernels = kernelFrequencies(graph, matrix, toFrequencies, outChannels);
  const product = graph.matmulOf({ value: kernels }, { value: input, rowsFirst: true });
  const y = frequenciesToImage(graph, product, frequenciesToOutputs(outputs), [oh, ow], n);
  return {
    y,
    // Each output's gradient goes to the frequencies that it came from, and on to the kernel by Gᵀ.
    weightGradient: (dy) => {
      const spread = tilesToFrequencies(
        graph,
        dy,
        transposed(frequenciesToOutputs(outputs)),
        outputs,
        [0, 0],
        [oh, ow],
      );
      const gradient = graph.matmulOf(
        { value: spread, rowsFirst: true },
        { value: input, rowsFirst: true, transposed: true },
      );
      const flat = graph.reshape(gradient, [frequencies, outChannels * channels]);
      const back = constant(graph, squared(toFrequencies));
      return graph.reshape(graph.matmulOf({ value: flat, transposed: true }, { value: back }), [
        outChannels,
        channels * size * size,
      ]);
    },
    // The convolution of dy with the kernel turned by 180 degrees and its channels exchanged.
    inputGradient: (dy) => {
      const pads = [size - 1 - p.top, size - 1 - p.left] as const;
      const gradients = tilesToFrequencies(graph, dy, pixelsToFrequencies, outputs, pads, [h, w]);
      const turned = toFrequencies.map((row) => row.toReversed());
      const kernels = kernelFrequencies(graph, matrix, turned, outChannels);
      const product = graph.matmulOf({ value: kernels, transposed: true }, { value: gradients, rowsFirst: true });
      return frequenciesToImage(graph, product, frequenciesToOutputs(outputs), [h, w], n);
    },
  };
}

/** [out × in, kernel²] to [frequencies, out, in] */
function kernelFrequencies(graph: Graph, matrix: Value, transform: Matrix, outChannels: number): Value {
  const transformed = graph.gemm(constant(graph, squared(transform)), matrix, { transB: true });
  return graph.reshape(transformed, [frequencies, outChannels, matrix.shape[0]! / outChannels]);
}

/**
 * Cuts an image into tiles `step` pixels apart, as large as the transform's columns, and transforms each.
 * Pixels outside the image are zeros.
 *
 * @param pads rows above the image and columns left of it
 * @param covered rows and columns of outputs that the tiles must cover, `step` to a tile
 * @returns [channels, frequencies, tiles × batch]
 */
function tilesToFrequencies(
  graph: Graph,
  image: Value,
  transform: Matrix,
  step: number,
  pads: readonly [number, number],
  covered: readonly [number, number],
): Value {
  const [channels, h, w, n] = image.shape as [number, number, number, number];
  const pixels = transform[0]!.length;
  const [down, across] = covered.map((outputs) => Math.ceil(outputs / step)) as [number, number];
  const bottom = (down - 1) * step + pixels - h - pads[0];
  const right = (across - 1) * step + pixels - w - pads[1];
  const begin = pads.map((pad) => Math.min(pad, 0));
  const end = [bottom, right].map((pad) => Math.min(pad, 0));
  const inside = graph.pad(image, [1, 2], begin, end);
  const volume = graph.reshape(inside, [channels, 1, ...inside.shape.slice(1)]);
  const kernels = graph.reshape(constant(graph, squared(transform)), [frequencies, 1, pixels, pixels, 1]);
  // A convolution from every channel alone to its frequencies.
  const transformed = graph.node('Conv', [volume, kernels], [channels, frequencies, down, across, n], {
    attributes: {
      kernel_shape: [pixels, pixels, 1],
      strides: [step, step, 1],
      pads: [Math.max(pads[0], 0), Math.max(pads[1], 0), 0, Math.max(bottom, 0), Math.max(right, 0), 0],
    },
  });
  return graph.reshape(transformed, [channels, frequencies, down * across * n]);
}

/** [frequencies, channels, tiles × batch] to [channels, height, width, batch]. */
function frequenciesToImage(
  graph: Graph,
  values: Value,
  transform: Matrix,
  [h, w]: readonly [number, number],
  n: number,
): Value {
  const channels = values.shape[1]!;
  const outputs = transform.length;
  const [down, across] = [Math.ceil(h / outputs), Math.ceil(w / outputs)];
  const rows = graph.reshape(values, [frequencies, channels * down * across * n]);
  const pixels = graph.matmul(constant(graph, squared(transform)), rows);
  const tiles = graph.reshape(pixels, [outputs, outputs, channels, down, across, n]);
  const image = graph.transpose(tiles, [2, 3, 0, 4, 1, 5]);
  return graph.slice(graph.reshape(image, [channels, down * outputs, across * outputs, n]), [1, 2], [0, 0], [h, w]);
}
