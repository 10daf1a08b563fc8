/**
 * What every way to compute a convolution takes and gives: its output and the rules of its backward pass. convolution.ts
 * and winograd.ts are such ways.
 */
import type { OpOf } from '../../../core/networks/network';
import { Value } from './graph';

export type ConvOp = OpOf<'conv'>;

/** A convolution's output and its backward rules. */
export interface Convolution {
  readonly y: Value;
  /** [out, in × kernel height × kernel width] */
  readonly weightGradient: (dy: Value) => Value;
  readonly inputGradient: (dy: Value) => Value;
}

/** Output rows and columns. */
export function outputSize({ kernel, stride, padding: p }: ConvOp, x: Value): readonly [number, number] {
  const [h, w] = x.shape.slice(1) as [number, number];
  return [
    Math.floor((h + p.top + p.bottom - kernel[0]) / stride[0]) + 1,
    Math.floor((w + p.left + p.right - kernel[1]) / stride[1]) + 1,
  ];
}
