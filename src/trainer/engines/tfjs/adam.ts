/**
 * Adam (Kingma & Ba 2014, in the form of torch.optim.Adam) in TensorFlow.js's operations, or in the kernels that a
 * backend has for it. model.ts calls; where a step is one graph, stepGraph.ts updates by itself with the same scalars.
 */
import type { AdamOptions } from '../engine';
import type { Tensor, Tf } from './api';
import type { FusedKernels } from './kernels';
import type { DeviceState } from './state';

/** Of one update: step size and ε after the bias correction of the moments. */
export interface StepScalars {
  readonly stepSize: number;
  readonly epsilon: number;
}

/** Of one update: the decay rates, and step size and ε after the bias correction of the moments. */
export interface AdamScalars extends StepScalars {
  readonly beta1: number;
  readonly beta2: number;
}

/** Adam on one parameter; the results are new tensors. */
export interface AdamArithmetic {
  /** The first moment, from itself before and the gradient. */
  mean(before: Tensor, gradient: Tensor): Tensor;
  /** The second moment, from itself before and the squares of the gradient. */
  square(before: Tensor, squares: Tensor): Tensor;
  /** What is subtracted from the parameter. */
  change(mean: Tensor, square: Tensor): Tensor;
}

/** Kernels for an update, where the backend has them. */
export interface UpdateKernels {
  /** Adam's arithmetic in fewer kernels than TensorFlow.js has operations for it. */
  readonly adam?: (scalars: AdamScalars) => AdamArithmetic;
  readonly kernels?: Pick<FusedKernels, 'squaredNorm'>;
}

/** Adam's arithmetic in TensorFlow.js's own operations. To be called inside a tidy. */
function adamByOperations(tf: Tf, { beta1, beta2, stepSize, epsilon }: AdamScalars): AdamArithmetic {
  const [keep1, take1, keep2, take2] = [beta1, 1 - beta1, beta2, 1 - beta2].map((x) => tf.scalar(x)) as Scalars;
  const [size, eps] = [tf.scalar(stepSize), tf.scalar(epsilon)];
  const average = (before: Tensor, keep: Tensor, now: Tensor, take: Tensor) =>
    tf.tidy(() => tf.add(tf.mul(before, keep), tf.mul(now, take)));
  return {
    mean: (before, gradient) => average(before, keep1, gradient, take1),
    square: (before, squares) => average(before, keep2, squares, take2),
    change: (mean, square) =>
      tf.tidy(() => {
        const root = tf.tidy(() => tf.add(tf.sqrt(square), eps));
        return tf.div(tf.mul(mean, size), root);
      }),
  };
}
type Scalars = [Tensor, Tensor, Tensor, Tensor];

/**
 * The scalars of an update, in which the moments' bias is corrected.
 * @param step number of the update, from 1
 */
export function scalarsOf(
  { beta1, beta2, eps, epsilonHat }: AdamOptions,
  step: number,
  learningRate: number,
): StepScalars {
  // lr / (1 - β1ᵗ) · m / (√(v / (1 - β2ᵗ)) + ε), with the correction of √v moved to the scalars.
  const rootCorrection = Math.sqrt(1 - beta2 ** step);
  return {
    stepSize: (learningRate * rootCorrection) / (1 - beta1 ** step),
    epsilon: epsilonHat ? eps : eps * rootCorrection,
  };
}

/**
 * One update by Adam. Returns the squared norms of gradient, update and parameter before, one scalar each, trained
 * parameter by parameter.
 */
export function update(
  tf: Tf,
  ways: UpdateKernels,
  state: DeviceState,
  trained: readonly number[],
  gradients: readonly Tensor[],
  scalars: AdamScalars,
): Tensor[] {
  const adam = (ways.adam ?? ((all) => adamByOperations(tf, all)))(scalars);
  const squaredNorm = ways.kernels?.squaredNorm ?? ((tensor: Tensor) => tf.tidy(() => total(tf, tf.square(tensor))));
  const replaced = (before: Tensor, after: Tensor) => {
    before.dispose();
    return tf.keep(after);
  };
  // Small scopes: VGG-16 has one matrix of 411 MB, and every temporary of its size counts.
  return gradients.flatMap((gradient, i) => {
    const k = trained[i]!;
    const parameter = state.parameters[k]!;
    const [firstMoment, secondMoment] = [state.firstMoment[k]!, state.secondMoment[k]!];
    const mean = (state.firstMoment[k] = replaced(firstMoment, adam.mean(firstMoment, gradient)));
    const squares = tf.square(gradient);
    gradient.dispose();
    const square = (state.secondMoment[k] = replaced(secondMoment, adam.square(secondMoment, squares)));
    const gradientNorm = total(tf, squares);
    squares.dispose();
    const change = adam.change(mean, square);
    const norms = [gradientNorm, squaredNorm(change), squaredNorm(parameter)];
    state.parameters[k] = tf.keep(tf.sub(parameter, change));
    tf.dispose([parameter, change]);
    return norms;
  });
}

/**
 * Sum of all elements. Rows first where there are many: WebGPU's kernel sums a row with one workgroup, and a whole matrix
 * as one row would leave the rest of the GPU idle.
 */
function total(tf: Tf, tensor: Tensor): Tensor {
  const rows = tensor.size > 2 ** 16 && tensor.rank > 1;
  return tf.tidy(() => tf.sum(rows ? tf.sum(tensor, -1) : tensor));
}
