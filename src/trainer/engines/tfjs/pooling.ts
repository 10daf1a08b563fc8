/**
 * Average pooling over images, size × height × width × channels, with the constants that it multiplies by. rules.ts has it
 * among its rules.
 */
import { pad } from './padding';
import type { Rule } from './rule';
import type { Tensor4D } from './api';

export const avgPool: Rule<'avgPool'> = {
  /** Where padding does not count: by what the means over whole windows are to be multiplied, [1, rows, columns, 1]. */
  constant(tf, op, node, from) {
    if (op.countIncludePad) return undefined;
    const { padding, kernel, stride } = op;
    const [, height, width] = from as [number, number, number];
    const inside = (size: number, start: number, k: number) => Math.min(start + k, size) - Math.max(start, 0);
    const [, outHeight, outWidth] = node.shape as [number, number, number];
    const factors = new Float32Array(outHeight * outWidth);
    for (let row = 0; row < outHeight; row++)
      for (let column = 0; column < outWidth; column++) {
        const rows = inside(height, row * stride[0] - padding.top, kernel[0]);
        const columns = inside(width, column * stride[1] - padding.left, kernel[1]);
        factors[row * outWidth + column] = (kernel[0] * kernel[1]) / (rows * columns);
      }
    return tf.tensor4d(factors, [1, outHeight, outWidth, 1]);
  },

  forward(op, { tf, inputs: [x], constant: correction }) {
    // tfjs's CPU gradient divides by the whole window under 'same' padding, so zeros are always added here.
    const mean = tf.avgPool(pad(tf, x as Tensor4D, op.padding, 0), [...op.kernel], [...op.stride], 'valid');
    return correction ? tf.mul(mean, correction) : mean;
  },
};

export const adaptiveAvgPool: Rule<'adaptiveAvgPool'> = {
  /** The weight of each pixel in each cell, [pixels, cells]. */
  constant(tf, op, _, from) {
    const [, height, width] = from as [number, number, number];
    const [outHeight, outWidth] = op.output;
    // Windows of one size that tile the image are plain average pooling.
    if (height % outHeight === 0 && width % outWidth === 0) return undefined;
    const range = (cell: number, size: number, cells: number): [number, number] => [
      Math.floor((cell * size) / cells),
      Math.ceil(((cell + 1) * size) / cells),
    ];
    const weights = new Float32Array(height * width * outHeight * outWidth);
    for (let row = 0; row < outHeight; row++)
      for (let column = 0; column < outWidth; column++) {
        const [top, bottom] = range(row, height, outHeight);
        const [left, right] = range(column, width, outWidth);
        const share = 1 / ((bottom - top) * (right - left));
        for (let h = top; h < bottom; h++)
          for (let w = left; w < right; w++)
            weights[(h * width + w) * outHeight * outWidth + row * outWidth + column] = share;
      }
    return tf.tensor2d(weights, [height * width, outHeight * outWidth]);
  },

  forward(op, { tf, inputs, constant: weights }) {
    const x = inputs[0] as Tensor4D;
    const [size, height, width, channels] = x.shape;
    const [outHeight, outWidth] = op.output;
    if (!weights) {
      const window: [number, number] = [height / outHeight, width / outWidth];
      return window[0] * window[1] === 1 ? tf.clone(x) : tf.avgPool(x, window, window, 'valid');
    }
    // Every cell as a weighted sum of all pixels: one product of [size·channels, pixels] and [pixels, cells].
    const planes = tf.reshape(tf.transpose(x, [0, 3, 1, 2]), [size * channels, height * width]);
    const cells = tf.reshape(tf.matMul(planes, weights), [size, channels, outHeight, outWidth]);
    return tf.transpose(cells, [0, 2, 3, 1]);
  },
};
