/** Padding of images, size × height × width × channels, before convolution and pooling. rules.ts and pooling.ts call. */
import type { OpOf, Padding } from '../../../core/networks/network';
import type { Tensor, Tensor4D, Tf } from './api';

/** The image and the padding to ask for: TensorFlow's 'same' where it means the same, else 'valid' on a larger image. */
export function padded(
  tf: Tf,
  x: Tensor,
  op: OpOf<'conv'> | OpOf<'maxPool'>,
  value: number,
): { image: Tensor4D; pad: 'same' | 'valid' } {
  const image = x as Tensor4D;
  const { padding, kernel, stride } = op;
  if (padding.top + padding.left + padding.bottom + padding.right === 0) return { image, pad: 'valid' };
  const same = (size: number, axis: 0 | 1, before: number, after: number) => {
    const total = Math.max((Math.ceil(size / stride[axis]) - 1) * stride[axis] + kernel[axis] - size, 0);
    return before === Math.floor(total / 2) && after === total - before;
  };
  const [, height, width] = image.shape;
  if (same(height, 0, padding.top, padding.bottom) && same(width, 1, padding.left, padding.right)) {
    return { image, pad: 'same' };
  }
  return { image: pad(tf, image, padding, value), pad: 'valid' };
}

export function pad(tf: Tf, x: Tensor4D, { top, left, bottom, right }: Padding, value: number): Tensor4D {
  if (top + left + bottom + right === 0) return x;
  return tf.pad(x, [[0, 0], [top, bottom], [left, right], [0, 0]], value); // prettier-ignore
}
