/**
 * Convolution forward and backward as ONNX operators. Images are [channels, height, width, batch], weights
 * [out, in, kernel height, kernel width]. rules.ts calls; winograd.ts has the faster way for some shapes.
 *
 * With the batch innermost every step is a matrix product over [positions × batch] columns, copied in runs of the batch.
 * A convolution becomes three-dimensional, of kernel size 1 along the batch, which ONNX Runtime unfolds block by block.
 */
import { elements } from '../../../core/networks/network';
import { ConvOp, Convolution, outputSize } from './convolutionRule';
import { Graph, Value } from './graph';
import { suitsWinograd, winogradConvolution } from './winograd';

/**
 * Up to this size the unfolded input is computed once, kept for the backward pass, and multiplied by the weight directly.
 * Larger ones would cost more to write and read than to unfold again inside ONNX Runtime.
 */
const keptColumnsBytes = 16 * 2 ** 20;
/** The weight's gradient unfolds the input in blocks of rows of about this size. */
const columnBlockBytes = 32 * 2 ** 20;

/** The transforms of Winograd's algorithm cost as much as it saves where there are fewer input or output channels. */
const winogradChannels = 64;

export function convolution(graph: Graph, op: ConvOp, x: Value, weight: Value, bias?: Value): Convolution {
  const [channels, , , n] = x.shape as [number, number, number, number];
  if (graph.uses('winograd') && suitsWinograd(op) && Math.min(channels, op.outChannels) >= winogradChannels) {
    const result = winogradConvolution(graph, op, x, weight);
    return bias ? { ...result, y: perChannel(graph, result.y, undefined, bias) } : result;
  }
  const { kernel, stride, padding: p, outChannels } = op;
  const [oh, ow] = outputSize(op, x);
  const depth = channels * kernel[0] * kernel[1];
  const flat = graph.reshape(weight, [outChannels, depth]);
  const shape = [outChannels, oh, ow, n];
  const pointwise = kernel.join() === '1,1' && stride.join() === '1,1' && p.top + p.left + p.bottom + p.right === 0;
  if (pointwise || depth * oh * ow * n * 4 <= keptColumnsBytes) {
    const columns = pointwise
      ? graph.reshape(x, [channels, oh * ow * n])
      : unfold(graph, op, padded(graph, op, x), oh, ow);
    const product = graph.gemm(flat, columns, { bias: bias && graph.reshape(bias, [outChannels, 1]) });
    return {
      y: graph.reshape(product, shape),
      weightGradient: (dy) => {
        const gradients = graph.reshape(dy, [outChannels, oh * ow * n]);
        // The right-hand factor is repacked, so it is better the smaller one.
        if (outChannels < depth) {
          const product = graph.matmulOf({ value: columns }, { value: gradients, transposed: true });
          return graph.transpose(product, [1, 0]);
        }
        return graph.gemm(gradients, columns, { transB: true });
      },
      inputGradient: (dy) => inputGradient(graph, op, x, weight, dy),
    };
  }
  const volume = graph.reshape(x, [1, ...x.shape]);
  const kernels = graph.reshape(weight, [...weight.shape, 1]);
  const y = graph.node('Conv', bias ? [volume, kernels, bias] : [volume, kernels], [1, ...shape], {
    attributes: {
      kernel_shape: [...kernel, 1],
      strides: [...stride, 1],
      pads: [p.top, p.left, 0, p.bottom, p.right, 0],
    },
  });
  return {
    y: graph.reshape(y, shape),
    weightGradient: (dy) => blockedWeightGradient(graph, op, x, dy, depth),
    inputGradient: (dy) => inputGradient(graph, op, x, weight, dy),
  };
}

/**
 * x · scale + shift (+ addend), channel by channel, in one pass that takes a following ReLU along: a convolution of kernel
 * size 1 in as many groups as channels.
 * @param scale [channels], by default 1
 */
export function perChannel(graph: Graph, x: Value, scale: Value | undefined, shift: Value, addend?: Value): Value {
  const channels = x.shape[0]!;
  const rows = [1, channels, elements(x.shape.slice(1))];
  const factors = scale ?? graph.floats(new Float32Array(channels).fill(1));
  const inputs = [graph.reshape(x, rows), graph.reshape(factors, [channels, 1, 1]), graph.reshape(shift, [channels])];
  const attributes = { group: channels, kernel_shape: [1] };
  if (addend && !graph.uses('fused-operators')) return graph.add(perChannel(graph, x, scale, shift), addend);
  const y = addend
    ? graph.node('FusedConv', [...inputs, graph.reshape(addend, rows)], rows, { attributes, domain: 'com.microsoft' })
    : graph.node('Conv', inputs, rows, { attributes });
  return graph.reshape(y, x.shape);
}

const padded = (graph: Graph, { padding: p }: ConvOp, x: Value): Value =>
  graph.pad(x, [1, 2], [p.top, p.left], [p.bottom, p.right]);

/** The patches of a padded image as columns: [in × kernel height × kernel width, rows × columns × batch]. */
function unfold(graph: Graph, { kernel, stride }: ConvOp, image: Value, rows: number, columns: number): Value {
  const [channels, h, w, n] = image.shape as [number, number, number, number];
  const pixels: number[] = [];
  for (let a = 0; a < kernel[0]; a++) {
    for (let b = 0; b < kernel[1]; b++) {
      for (let i = 0; i < rows; i++) {
        for (let j = 0; j < columns; j++) pixels.push((i * stride[0] + a) * w + j * stride[1] + b);
      }
    }
  }
  const patches = graph.gather(graph.reshape(image, [channels, h * w, n]), pixels, 1);
  return graph.reshape(patches, [channels * kernel[0] * kernel[1], rows * columns * n]);
}

/** dy · columnsᵀ, a block of output rows at a time, so that the columns stay in the cache. */
function blockedWeightGradient(graph: Graph, op: ConvOp, x: Value, dy: Value, depth: number): Value {
  const [outChannels, oh, ow, n] = dy.shape as [number, number, number, number];
  const image = padded(graph, op, x);
  const blocks = Math.min(oh, Math.ceil((4 * depth * oh * ow * n) / columnBlockBytes));
  const rows = Math.ceil(oh / blocks);
  let sum: Value | undefined;
  for (let start = 0; start < oh; start += rows) {
    const count = Math.min(rows, oh - start);
    const top = start * op.stride[0];
    const strip = graph.slice(image, [1], [top], [top + (count - 1) * op.stride[0] + op.kernel[0]]);
    const gradients = graph.reshape(graph.slice(dy, [1], [start], [start + count]), [outChannels, count * ow * n]);
    sum = graph.gemm(gradients, unfold(graph, op, strip, count, ow), { transB: true, bias: sum });
  }
  return sum!;
}

/** What one axis of the input's gradient is made of: see {@link inputGradient}. */
interface Phase {
  /** Kernel positions that reach these pixels, last first. */
  readonly taps: readonly number[];
  /** Padding of dy, negative where its first or last rows reach no pixel of the phase. */
  readonly begin: number;
  readonly end: number;
}

/**
 * Pixel phase + stride · i of the input meets the kernel positions t with t ≡ phase + pad (mod stride), in output
 * i + (phase + pad - t) / stride: for each phase a convolution of stride 1.
 */
function phasesOf(inputs: number, outputs: number, kernel: number, stride: number, pad: number): Phase[] {
  const length = Math.ceil(inputs / stride);
  return Array.from({ length: stride }, (_, phase) => {
    const first = (phase + pad) % stride;
    const taps: number[] = [];
    for (let t = first; t < kernel; t += stride) taps.unshift(t);
    const shift = (phase + pad - first) / stride;
    return { taps, begin: taps.length - 1 - shift, end: length + shift - outputs };
  });
}

/** Up to so many input channels × kernel rows the input's gradient is folded. */
const fewRows = 64;

/**
 * Gradient for the input of a convolution with few input channels and stride 1. Unfolding dy for every kernel position
 * would cost more than the product with so few rows; so the product is taken for each kernel row by itself, unfolding the
 * kernel's columns only, and the results are added, each a row further down: written with one row more than they are
 * shifted over and read with that row less, they lie one above the other.
 */
function foldedInputGradient(graph: Graph, op: ConvOp, x: Value, weight: Value, dy: Value): Value {
  const [channels, h, w, n] = x.shape as [number, number, number, number];
  const [outChannels, oh] = dy.shape as [number, number];
  const { kernel, padding: p } = op;
  const [kh, kw] = kernel;
  const backwards = Array.from({ length: kh * kw }, (_, i) => i - (i % kw) + kw - 1 - (i % kw));
  const flat = graph.gather(graph.reshape(weight, [outChannels, channels, kh * kw]), backwards, 2);
  const turned = graph.transpose(graph.reshape(flat, [outChannels, channels, kh, kw]), [1, 2, 0, 3]);
  const [left, right] = [kw - 1 - p.left, kw - 1 - p.right];
  const part = graph.pad(dy, [2], [Math.min(left, 0)], [Math.min(right, 0)]);
  const byRow = graph.node(
    'Conv',
    [graph.reshape(part, [1, ...part.shape]), graph.reshape(turned, [channels * kh, outChannels, 1, kw, 1])],
    [1, channels * kh, oh, w, n],
    { attributes: { kernel_shape: [1, kw, 1], pads: [0, Math.max(left, 0), 0, 0, Math.max(right, 0), 0] } },
  );
  const height = oh + kh - 1;
  const spaced = graph.pad(graph.reshape(byRow, [channels * kh, oh, w * n]), [1], [0], [kh]);
  const shifted = graph.slice(graph.reshape(spaced, [channels, kh * (height + 1), w * n]), [1], [0], [kh * height]);
  const sum = graph.reduce('ReduceSum', graph.reshape(shifted, [channels, kh, height * w * n]), [1]);
  return graph.slice(graph.reshape(sum, [channels, height, w, n]), [1], [p.top], [p.top + h]);
}

/**
 * Gradient for the input: one convolution of dy with a part of the rotated kernel for each residue of the pixel's place
 * modulo the stride, woven together. No product with a zero is computed, whatever the stride.
 */
function inputGradient(graph: Graph, op: ConvOp, x: Value, weight: Value, dy: Value): Value {
  if (op.stride.join() === '1,1' && x.shape[0]! * op.kernel[0] <= fewRows) {
    return foldedInputGradient(graph, op, x, weight, dy);
  }
  const [channels, h, w, n] = x.shape as [number, number, number, number];
  const [outChannels, oh, ow] = dy.shape as [number, number, number];
  const { stride, kernel, padding: p } = op;
  const vertical = phasesOf(h, oh, kernel[0], stride[0], p.top);
  const horizontal = phasesOf(w, ow, kernel[1], stride[1], p.left);
  const [height, width] = [Math.ceil(h / stride[0]), Math.ceil(w / stride[1])];
  const flat = graph.reshape(weight, [outChannels, channels, kernel[0] * kernel[1]]);
  const parts = vertical.map((v) =>
    horizontal.map((u) => {
      const shape = [channels, height, width, n];
      const area = v.taps.length * u.taps.length;
      if (area === 0) return undefined;
      if (area === 1) {
        // One kernel position is a matrix product; ONNX Runtime transposes the weight on the way.
        const position = v.taps[0]! * kernel[1] + u.taps[0]!;
        const slice = area === flat.shape[2] ? flat : graph.gather(flat, [position], 2);
        const moved = graph.pad(dy, [1, 2], [v.begin, u.begin], [v.end, u.end]);
        const matrix = graph.reshape(moved, [outChannels, height * width * n]);
        return graph.reshape(
          graph.gemm(graph.reshape(slice, [outChannels, channels]), matrix, { transA: true }),
          shape,
        );
      }
      const positions = v.taps.flatMap((a) => u.taps.map((b) => a * kernel[1] + b));
      const turned = graph.transpose(graph.gather(flat, positions, 2), [1, 0, 2]);
      const clip = (pads: number) => Math.min(pads, 0);
      const [top, left, bottom, right] = [v.begin, u.begin, v.end, u.end];
      const part = graph.pad(dy, [1, 2], [clip(top), clip(left)], [clip(bottom), clip(right)]);
      const y = graph.node(
        'Conv',
        [
          graph.reshape(part, [1, ...part.shape]),
          graph.reshape(turned, [channels, outChannels, v.taps.length, u.taps.length, 1]),
        ],
        [1, ...shape],
        {
          attributes: {
            kernel_shape: [v.taps.length, u.taps.length, 1],
            pads: [Math.max(top, 0), Math.max(left, 0), 0, Math.max(bottom, 0), Math.max(right, 0), 0],
          },
        },
      );
      return graph.reshape(y, shape);
    }),
  );
  return graph.slice(weave(graph, parts, [channels, height, width, n]), [1, 2], [0, 0], [h, w]);
}

/**
 * Interleaves images: pixel (i, j) of parts[a][b] goes to (i · rows of parts + a, j · columns of parts + b).
 * A missing part stands for zeros; `shape` is that of one part.
 */
export function weave(
  graph: Graph,
  parts: readonly (readonly (Value | undefined)[])[],
  shape: readonly number[],
): Value {
  const [channels, h, w, n] = shape as [number, number, number, number];
  const [sh, sw] = [parts.length, parts[0]!.length];
  const woven = [channels, h * sh, w * sw, n];
  const present = parts.flat().filter((part) => part !== undefined);
  if (present.length === 1 && parts[0]![0]) {
    const alone = graph.reshape(present[0]!, [channels, h, 1, w, 1, n]);
    return graph.reshape(graph.pad(alone, [2, 4], [0, 0], [sh - 1, sw - 1]), woven);
  }
  const zeros = () => graph.mul(graph.reshape(present[0]!, [channels, h, w, 1, n]), graph.scalar(0));
  const rows = parts.map((row) => {
    const columns = row.map((part) => (part ? graph.reshape(part, [channels, h, w, 1, n]) : zeros()));
    return graph.reshape(graph.concat(columns, 3), [channels, h, 1, w * sw, n]);
  });
  return graph.reshape(graph.concat(rows, 2), woven);
}
