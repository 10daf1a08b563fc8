/** Batch norm over images, size × height × width × channels. rules.ts calls. */
import type * as tfjs from '@tensorflow/tfjs-core';
import type { OpOf } from '../../../core/networks/network';
import type { Tensor, Tensor4D } from './api';
import type { Given, TrainingMode } from './rule';

/** By running statistics: in evaluation, and in training where it is frozen. */
export function batchNormByRunning({ eps }: OpOf<'batchNorm'>, { tf, inputs, parameter, buffer }: Given): Tensor {
  const [mean, variance] = [buffer('running_mean'), buffer('running_var')] as [tfjs.Tensor1D, tfjs.Tensor1D];
  const [weight, bias] = [parameter('weight'), parameter('bias')] as [tfjs.Tensor1D, tfjs.Tensor1D];
  return tf.batchNorm(inputs[0] as Tensor4D, mean, variance, bias, weight, eps);
}

/**
 * Batch norm over the statistics of the pass (Ioffe & Szegedy 2015) with its gradient written out: differentiating
 * through tf.moments would take three times the operations and keep five tensors of the image's size instead of one.
 */
export function batchNormByBatch(op: OpOf<'batchNorm'>, given: Given, { record, keep }: TrainingMode): Tensor {
  const { tf, kernels, node, parameter } = given;
  const { eps } = op;
  const [x] = given.inputs as [Tensor];
  const axes = [0, 1, 2];
  const count = x.size / x.shape[3]!;
  return tf.customGrad((...args) => {
    const [input, scale, shift] = args as Tensor[];
    const save = args[3] as tfjs.GradSaveFunc;
    if (kernels) {
      const { output, mean, variance, saved } = kernels.batchNorm(input!, scale!, shift!, eps);
      record.statistics.push({ node, op, mean: keep(mean), variance: keep(variance), count });
      save([input!, scale!, ...saved]);
      return {
        value: output,
        gradFunc: (dy: Tensor, [input, scale, ...saved]: Tensor[]) =>
          kernels.batchNormGradient(dy, input!, scale!, saved, eps),
      };
    }
    const mean = keep(tf.mean(input!, axes));
    const centred = tf.sub(input!, mean);
    const variance = keep(tf.mean(tf.square(centred), axes));
    record.statistics.push({ node, op, mean, variance, count });
    const inverse = tf.rsqrt(tf.add(variance, eps));
    const normal = tf.mul(centred, inverse);
    const value = tf.add(tf.mul(normal, scale!), shift!);
    // Last, for nobody disposes what is saved by a forward pass that fails later.
    save([normal, inverse, scale!]);
    return {
      value,
      gradFunc: (dy: Tensor, [normal, inverse, scale]: Tensor[]) => {
        const dShift = tf.sum(dy, axes);
        const dScale = tf.sum(tf.mul(dy, normal!), axes);
        const centredDy = tf.sub(tf.sub(dy, tf.div(dShift, count)), tf.mul(normal!, tf.div(dScale, count)));
        return [tf.mul(centredDy, tf.mul(scale!, inverse!)), dScale, dShift];
      },
    };
  })(x, parameter('weight'), parameter('bias'));
}
