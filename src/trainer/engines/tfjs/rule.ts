/**
 * What the lowering of one kind of operation is: its rule, whose forward pass is differentiable. rules.ts has one for each
 * kind, lowering.ts applies them.
 */
import type { Node, Op, OpOf, Shape } from '../../../core/networks/network';
import type { Tensor, Tf } from './api';
import type { FusedKernels } from './kernels';

export interface Rule<Kind extends Op['kind'] = Op['kind']> {
  /**
   * What the rule computes with beside parameters, made once for a network; default: nothing.
   * @param from shape of the input
   */
  constant?(tf: Tf, op: OpOf<Kind>, node: Node, from: Shape): Tensor | undefined;
  /** Inside a tidy. The gradient is TensorFlow.js's own, but where a rule writes another with `tf.customGrad`. */
  forward(op: OpOf<Kind>, given: Given): Tensor;
}

/** What a rule is given beside its operation. */
export interface Given {
  readonly tf: Tf;
  readonly node: Node;
  readonly inputs: readonly Tensor[];
  readonly parameter: (role: 'weight' | 'bias') => Tensor;
  /** Running statistics. */
  readonly buffer: (role: 'running_mean' | 'running_var') => Tensor;
  readonly constant?: Tensor;
  readonly kernels?: FusedKernels;
  /** Absent in evaluation. */
  readonly training?: TrainingMode;
}

/** What a pass in training mode leaves behind; the caller owns the tensors. */
export interface TrainingRecord {
  /** size × outputs. */
  readonly logits: Tensor[];
  /** Per relu node, [channels]: the largest output over examples and positions. */
  readonly reluMaxima: Tensor[];
  /** Per batch norm node that is not frozen. */
  readonly statistics: Statistics[];
}

export interface TrainingMode {
  /** Mask of a dropout node for the pass, in PyTorch's layout. */
  readonly mask: (op: OpOf<'dropout'>) => Float32Array;
  readonly record: TrainingRecord;
  /** Takes a tensor out of every tidy, for the record. */
  readonly keep: <Kept extends Tensor>(tensor: Kept) => Kept;
}

/** What running statistics take in after a pass: [channels] each, the variance biased. */
export interface Statistics {
  readonly node: Node;
  readonly op: OpOf<'batchNorm'>;
  readonly mean: Tensor;
  readonly variance: Tensor;
  /** Values that each channel is normalised over. */
  readonly count: number;
}
