/**
 * Convolution forward and backward as ONNX operators. Images are [batch, channels, height, width], weights
 * [out, in, kernel height, kernel width], as in PyTorch. lowering.ts is the caller.
 */
import { Op } from '../../../networks/network';
import { Graph, Value } from './graph';

export type ConvOp = Extract<Op, { kind: 'conv' }>;

const padsOf = ({ padding: p }: ConvOp) => [p.top, p.left, p.bottom, p.right] as const;

export function convolution(graph: Graph, op: ConvOp, x: Value, weight: Value, bias?: Value): Value {
  const [n, , h, w] = x.shape as [number, number, number, number];
  const [top, left, bottom, right] = padsOf(op);
  const shape = [
    n,
    op.outChannels,
    Math.floor((h + top + bottom - op.kernel[0]) / op.stride[0]) + 1,
    Math.floor((w + left + right - op.kernel[1]) / op.stride[1]) + 1,
  ];
  return graph.node('Conv', bias ? [x, weight, bias] : [x, weight], shape, {
    attributes: { kernel_shape: op.kernel, strides: op.stride, pads: padsOf(op) },
  });
}

/** Rows and columns at the bottom and right of the padded input that no window covers. */
function leftover(op: ConvOp, x: Value, dy: Value): readonly [number, number] {
  const [h, w] = x.shape.slice(2) as [number, number];
  const [oh, ow] = dy.shape.slice(2) as [number, number];
  const { padding: p } = op;
  return [
    h + p.top + p.bottom - (oh - 1) * op.stride[0] - op.kernel[0],
    w + p.left + p.right - (ow - 1) * op.stride[1] - op.kernel[1],
  ];
}

/** Gradient for the input. */
export function inputGradient(graph: Graph, op: ConvOp, x: Value, weight: Value, dy: Value): Value {
  const [kh, kw] = op.kernel;
  const [top, left, bottom, right] = padsOf(op);
  const pads = [kh - 1 - top, kw - 1 - left, kh - 1 - bottom, kw - 1 - right];
  if (op.stride.every((s) => s === 1) && pads.every((n) => n >= 0)) {
    const [o, c] = weight.shape as [number, number];
    let rotated = graph.reshape(weight, [o, c, kh * kw]);
    if (kh * kw > 1) {
      const backwards = graph.integers(Array.from({ length: kh * kw }, (_, i) => kh * kw - 1 - i));
      rotated = graph.node('Gather', [rotated, backwards], rotated.shape, { attributes: { axis: 2 } });
    }
    rotated = graph.reshape(graph.transpose(rotated, [1, 0, 2]), [c, o, kh, kw]);
    return graph.node('Conv', [dy, rotated], x.shape, { attributes: { kernel_shape: op.kernel, pads } });
  }
  return graph.node('ConvTranspose', [dy, weight], x.shape, {
    attributes: {
      kernel_shape: op.kernel,
      strides: op.stride,
      pads: padsOf(op),
      output_padding: leftover(op, x, dy),
    },
  });
}

/**
 * Gradient for the weight: a convolution of the input with dy as its kernel, whose few outputs are the weight's kernel
 * positions. Batch and channels change places, and the forward strides become dilations.
 *
 * Written as such it is slow: every image of it has only kernel height × kernel width outputs, too few columns for a
 * matrix product. As a three-dimensional convolution with the input's channels as the third, innermost dimension (kernel
 * size 1 there) the outputs are kernel height × kernel width × channels, and the product runs at the forward pace.
 */
export function weightGradient(graph: Graph, op: ConvOp, x: Value, weight: Value, dy: Value): Value {
  const [restH, restW] = leftover(op, x, dy);
  const { padding: p, kernel, stride } = op;
  const [n, channels, height, width] = x.shape as [number, number, number, number];
  const [, filters, oh, ow] = dy.shape as [number, number, number, number];
  // Rows that no window covers are taken off the padding first, then off the image.
  const [h, w] = [height - Math.max(restH - p.bottom, 0), width - Math.max(restW - p.right, 0)];
  const [bottom, right] = [Math.max(p.bottom - restH, 0), Math.max(p.right - restW, 0)];
  const image = graph.slice(x, [2, 3], [0, 0], [h, w]);
  const kernels = graph.transpose(dy, [1, 0, 2, 3]);
  if (channels < fewChannels) {
    const swapped = graph.node(
      'Conv',
      [graph.transpose(image, [1, 0, 2, 3]), kernels],
      [channels, filters, ...kernel],
      { attributes: { kernel_shape: [oh, ow], dilations: stride, pads: [p.top, p.left, bottom, right] } },
    );
    return graph.transpose(swapped, [1, 0, 2, 3]);
  }
  const volume = graph.reshape(graph.transpose(image, [0, 2, 3, 1]), [1, n, h, w, channels]);
  const gradient = graph.node(
    'Conv',
    [volume, graph.reshape(kernels, [filters, n, oh, ow, 1])],
    [1, filters, ...kernel, channels],
    {
      attributes: {
        kernel_shape: [oh, ow, 1],
        dilations: [...stride, 1],
        pads: [p.top, p.left, 0, bottom, right, 0],
      },
    },
  );
  return graph.transpose(graph.reshape(gradient, [filters, ...kernel, channels]), [0, 3, 1, 2]);
}

/** Below this many input channels the innermost dimension is too short to be worth the detour. */
const fewChannels = 8;
