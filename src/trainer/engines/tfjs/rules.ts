/**
 * One rule for each kind of operation; those that take more than a few operations have files of their own. lowering.ts
 * applies them. Images are size × height × width × channels, features size × features.
 */
import type * as tfjs from '@tensorflow/tfjs-core';
import type { Op } from '../../../core/networks/network';
import type { Tensor, Tensor4D, Tf } from './api';
import { batchNormByBatch, batchNormByRunning } from './batchNorm';
import { padded } from './padding';
import { adaptiveAvgPool, avgPool } from './pooling';
import type { Given, Rule } from './rule';

/** Max pooling's padding. Infinity would do on a CPU, but shader languages have no literal for it. */
const lowest = -3.4028234663852886e38;

const rules: { readonly [Kind in Op['kind']]: Rule<Kind> } = {
  input: {
    forward() {
      throw new Error('only the first node can be the input');
    },
  },
  conv: {
    forward(op, { tf, inputs: [x], parameter }) {
      const { image, pad } = padded(tf, x!, op, 0);
      const product = tf.conv2d(image, parameter('weight') as Tensor4D, [...op.stride], pad);
      return op.bias ? tf.add(product, parameter('bias')) : product;
    },
  },
  linear: {
    forward(op, { tf, inputs: [x], parameter }) {
      const product = tf.matMul(x!, parameter('weight'), false, true);
      return op.bias ? tf.add(product, parameter('bias')) : product;
    },
  },
  batchNorm: {
    forward(op, given) {
      const { training } = given;
      return training && !op.frozen ? batchNormByBatch(op, given, training) : batchNormByRunning(op, given);
    },
  },
  relu: {
    forward(_, given) {
      const { tf, training } = given;
      const output = relu(given);
      if (training) {
        const axes = output.shape.map((_, axis) => axis).slice(0, -1);
        training.record.reluMaxima.push(training.keep(tf.tidy(() => tf.max(output, axes))));
      }
      return output;
    },
  },
  maxPool: {
    forward(op, { tf, inputs: [x] }) {
      const { image, pad } = padded(tf, x!, op, lowest);
      return tf.maxPool(image, [...op.kernel], [...op.stride], pad);
    },
  },
  avgPool,
  adaptiveAvgPool,
  dropout: {
    forward: (op, { tf, inputs: [x], training }) =>
      training && op.p > 0 ? tf.mul(x!, mask(tf, x!, training.mask(op))) : tf.clone(x!),
  },
  flatten: {
    forward(_, { tf, inputs: [x] }) {
      const [size, height, width, channels] = x!.shape as [number, number, number, number];
      const inOrder = height * width === 1 || channels === 1;
      return tf.reshape(inOrder ? x! : tf.transpose(x!, [0, 3, 1, 2]), [size, channels * height * width]);
    },
  },
  add: {
    forward: (_, { tf, inputs: [a, b] }) => tf.add(a!, b!),
  },
};

/** The rule for an operation. The compiler does not see that an operation and the rule of its kind fit. */
export const ruleOf = (op: Op): Rule => rules[op.kind] as Rule;

/**
 * max(x, 0), which passes no gradient where x is 0, as in PyTorch. tfjs's own rule multiplies by `step`, for which
 * native TensorFlow builds a whole tensor of ones in JavaScript and copies it to the device.
 */
function relu({ tf, kernels, inputs: [x] }: Given): Tensor {
  return tf.customGrad((input, save) => {
    const output = tf.relu(input as Tensor);
    (save as tfjs.GradSaveFunc)([output]);
    return {
      value: output,
      gradFunc: (dy: Tensor, [saved]: Tensor[]) =>
        kernels ? kernels.reluGradient(dy, saved!) : tf.mul(dy, tf.cast(tf.greater(saved!, 0), 'float32')),
    };
  })(x!);
}

/** A mask in PyTorch's layout as a tensor like another. */
function mask(tf: Tf, like: Tensor, values: Float32Array): Tensor {
  if (like.rank !== 4) return tf.tensor(values, like.shape, 'float32');
  const [size, height, width, channels] = like.shape as [number, number, number, number];
  return tf.transpose(tf.tensor4d(values, [size, channels, height, width]), [0, 2, 3, 1]);
}
