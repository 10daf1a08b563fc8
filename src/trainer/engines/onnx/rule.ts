/**
 * What the lowering of one kind of operation is: its rule, forward and backward together. rules.ts has one for each kind,
 * lowering.ts applies them.
 */
import type { Node, Op, OpOf, Shape } from '../../../core/networks/network';
import type { Graph, Value } from './graph';

export interface Rule<Kind extends Op['kind'] = Op['kind']> {
  /** Writes what the operation computes into the graph. */
  forward(op: OpOf<Kind>, given: Given): Forward;
}

/** What a rule is given beside its operation. */
export interface Given {
  readonly graph: Graph;
  readonly node: Node;
  /** Examples of a pass. */
  readonly size: number;
  readonly inputs: readonly Value[];
  readonly parameter: (role: 'weight' | 'bias') => Value | undefined;
  /** Running statistics; in training those of a frozen batch norm. */
  readonly buffer: (role: 'running_mean' | 'running_var') => Value;
  /** Absent in evaluation. */
  readonly training?: Training;
}

/** What rules ask for and leave behind in training, beside gradients. */
export interface Training {
  /** Whether steps look at dead ReLUs. */
  readonly diagnostics: boolean;
  /** Inputs [size, ...shape], one per dropout node with p > 0. */
  readonly masks: MaskInput[];
  /** Per relu node: the largest output of each channel over the batch. */
  readonly peaks: Value[];
  /** Per batch norm node that is not frozen. */
  readonly statistics: Statistics[];
}

export interface MaskInput {
  readonly name: string;
  readonly ordinal: number;
  /** Of one example. */
  readonly shape: Shape;
}

/** What running statistics take in after a pass: [channels] each, the variance biased. */
export interface Statistics {
  readonly node: Node;
  readonly op: OpOf<'batchNorm'>;
  readonly mean: Value;
  readonly variance: Value;
  /** Values that each channel is normalised over. */
  readonly count: number;
}

/** What a node computes, and its backward rules for its inputs and parameters. */
export interface Forward {
  readonly y: Value;
  readonly backward: (dy: Value, needsInput: boolean) => Backward;
}

export interface Backward {
  /** Per input of the node. */
  readonly inputs?: readonly Value[];
  readonly weight?: Value;
  readonly bias?: Value;
}
