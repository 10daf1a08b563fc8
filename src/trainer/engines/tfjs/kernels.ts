/**
 * Kernels of native TensorFlow that TensorFlow.js has no operation for: each does in one pass over the memory what takes
 * several operations otherwise. provider.ts hands them to the engine; rules.ts, batchNorm.ts, lowering.ts and adam.ts
 * call them where they are there, and every other backend does without.
 */
import { nodeBackend } from './nodeBackend';
import type { Tensor, Tf } from './api';

export interface FusedKernels {
  /** The gradient before a ReLU: `dy` where its output is positive, else 0. */
  reluGradient(dy: Tensor, output: Tensor): Tensor;
  /** Batch norm over the statistics of the pass (NHWC); the variance is the biased one. The caller owns every tensor. */
  batchNorm(x: Tensor, scale: Tensor, shift: Tensor, eps: number): NormalizedBatch;
  /** Gradients of its input, scale and shift, from what it saved. */
  batchNormGradient(dy: Tensor, x: Tensor, scale: Tensor, saved: readonly Tensor[], eps: number): Tensor[];
  /** Sum of the squares of all values, a scalar. */
  squaredNorm(x: Tensor): Tensor;
  /**
   * A copy in memory of TensorFlow's own. A tensor made from an array shares JavaScript's, which no thread but
   * JavaScript's may let go of.
   */
  copy(x: Tensor): Tensor;
}

export interface NormalizedBatch {
  readonly output: Tensor;
  /** [channels] */
  readonly mean: Tensor;
  readonly variance: Tensor;
  /** What TensorFlow keeps for the gradient. */
  readonly saved: readonly Tensor[];
}

export function fusedKernels(tf: Tf): FusedKernels {
  const backend = nodeBackend(tf);
  const { binding } = backend;
  const type = (name: string) => ({ name, type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT });
  const normAttributes = (eps: number) => [
    type('T'),
    type('U'),
    { name: 'epsilon', type: binding.TF_ATTR_FLOAT, value: eps },
    { name: 'data_format', type: binding.TF_ATTR_STRING, value: 'NHWC' },
    { name: 'is_training', type: binding.TF_ATTR_BOOL, value: true },
  ];
  return {
    reluGradient: (dy, output) => backend.executeMultipleOutputs('ReluGrad', [type('T')], [dy, output], 1)[0]!,
    squaredNorm: (x) => tf.tidy(() => tf.mul(backend.executeMultipleOutputs('L2Loss', [type('T')], [x], 1)[0]!, 2)),
    copy: (x) => backend.executeMultipleOutputs('DeepCopy', [type('T')], [x], 1)[0]!,
    batchNorm(x, scale, shift, eps) {
      // Without running statistics to update, TensorFlow wants them to be empty.
      const none = tf.tensor1d([], 'float32');
      const inputs = [x, scale, shift, none, none];
      const [output, mean, unbiased, ...saved] = backend.executeMultipleOutputs(
        'FusedBatchNormV3',
        normAttributes(eps),
        inputs,
        6,
      ) as [Tensor, Tensor, Tensor, ...Tensor[]];
      const count = x.size / x.shape[3]!;
      const variance = tf.mul(unbiased, (count - 1) / count);
      tf.dispose([none, unbiased]);
      return { output, mean, variance, saved };
    },
    batchNormGradient(dy, x, scale, saved, eps) {
      const inputs = [dy, x, scale, ...saved];
      const [dx, dScale, dShift, ...rest] = backend.executeMultipleOutputs(
        'FusedBatchNormGradV3',
        normAttributes(eps),
        inputs,
        5,
      ) as [Tensor, Tensor, Tensor, ...Tensor[]];
      tf.dispose(rest);
      return [dx, dScale, dShift];
    },
  };
}
