/**
 * Forward and backward of a step by TensorFlow.js's own differentiation, over every pass of a batch. model.ts calls it for
 * gradients, for steps, and for stepGraph.ts to record.
 */
import type { Network } from '../../../core/networks/network';
import type { LossName } from '../engine';
import { unbias } from '../step';
import type { Tensor, Tf } from './api';
import type { Lowering } from './lowering';
import type { Pass } from './passes';
import type { TrainingMode, TrainingRecord } from './rule';
import type { DeviceState } from './state';
import type { StepResults } from './stepGraph';

export class Backward {
  /** @param trained indices of the parameters that are trained */
  constructor(
    private readonly tf: Tf,
    private readonly network: Network,
    private readonly loss: LossName,
    private readonly lowering: Lowering,
    private readonly trained: readonly number[],
  ) {}

  /**
   * Forward and backward over every pass of a batch, without changing the state. Inside a tidy, which owns the results.
   * The gradients, of the trained parameters, are those of the sum of the losses over `divisor`; buffers are batch norm's
   * statistics as they would become.
   * @param passed called between passes with what there is of them by then
   */
  over(
    state: DeviceState,
    passes: readonly Pass[],
    divisor: number,
    passed: (kept: readonly Tensor[]) => void = () => {},
  ): StepResults {
    const { tf } = this;
    const kept: Tensor[] = [];
    try {
      return this.overPasses(state, passes, divisor, passed, (tensor) => (kept.push(tensor), tf.keep(tensor)));
    } catch (error) {
      // No tidy disposes these.
      tf.dispose(kept);
      dropTape(tf);
      throw error;
    }
  }

  private overPasses(
    state: DeviceState,
    passes: readonly Pass[],
    divisor: number,
    passed: (kept: readonly Tensor[]) => void,
    keep: TrainingMode['keep'],
  ): StepResults {
    const { tf, lowering, network } = this;
    const logits: Tensor[] = [];
    let reluMaxima: Tensor[] = [];
    let buffers = state.buffers.map((tensor) => tf.clone(tensor));
    let gradients: Tensor[] = [];
    for (const [index, { size, images, labels, masks }] of passes.entries()) {
      if (index > 0) passed([...logits, ...reluMaxima, ...buffers, ...gradients]);
      const record: TrainingRecord = { logits: [], reluMaxima: [], statistics: [] };
      const mode: TrainingMode = { record, keep, mask: (op) => masks.get(op.ordinal)! };
      const inputs = [lowering.images(images, size)];
      const given = lowering.advance(inputs, lowering.firstTrained, state.parameters, state.buffers, mode);
      const { value, grads } = tf.valueAndGrads((...trained: Tensor[]) => {
        const parameters = [...state.parameters];
        this.trained.forEach((k, i) => (parameters[k] = trained[i]!));
        const output = lowering.advance(given, network.nodes.length, parameters, state.buffers, mode).at(-1)!;
        record.logits.push(keep(tf.clone(output)));
        return tf.div(this.lossSum(output, labels), divisor);
      })(this.trained.map((k) => state.parameters[k]!));
      value.dispose();
      // What the forward pass kept out of the gradient's scope belongs to no tidy and is disposed by hand.
      logits.push(...record.logits);
      reluMaxima = merged(reluMaxima, record.reluMaxima, (a, b) => tf.maximum(a, b));
      gradients = merged(gradients, grads, (a, b) => tf.add(a, b));
      const moved = this.movedBuffers(buffers, record);
      buffers.forEach((tensor) => tensor.dispose());
      buffers = moved;
    }
    const all = logits.length === 1 ? tf.clone(logits[0]!) : tf.concat(logits, 0);
    const deadShares = reluMaxima.map((maxima) => tf.mean(tf.cast(tf.lessEqual(maxima, 0), 'float32')));
    tf.dispose([...logits, ...reluMaxima]);
    return { logits: all, deadShares, buffers, gradients };
  }

  /** Running statistics after a pass; disposes the statistics of the pass. */
  private movedBuffers(buffers: readonly Tensor[], record: TrainingRecord): Tensor[] {
    const { tf, network } = this;
    return tf.tidy(() => {
      const moved = buffers.map((tensor) => tf.clone(tensor));
      for (const { node, op, mean, variance, count } of record.statistics) {
        for (const [role, seen] of [
          ['running_mean', mean],
          ['running_var', tf.mul(variance, unbias(op, count))],
        ] as const) {
          const b = network.buffers.findIndex((buffer) => buffer.name === `${node.name}.${role}`);
          moved[b] = tf.add(tf.mul(moved[b]!, 1 - op.momentum), tf.mul(seen, op.momentum));
        }
        mean.dispose();
        variance.dispose();
      }
      return moved;
    });
  }

  /** Sum of the losses of a pass, differentiable. */
  private lossSum(logits: Tensor, labels: Int32Array | Float32Array): Tensor {
    const { tf } = this;
    if (this.loss === 'bce_with_logits') {
      // log(1 + exp(x)) - xy: its derivative is sigmoid(x) - y, and neither overflows.
      const targets = tf.tensor2d(labels, [labels.length, 1], 'float32');
      return tf.sum(tf.sub(tf.softplus(logits), tf.mul(logits, targets)));
    }
    const targets = tf.oneHot(tf.tensor1d(labels, 'int32'), this.network.outputs);
    return tf.neg(tf.sum(tf.mul(tf.logSoftmax(logits), tf.cast(targets, 'float32'))));
  }
}

/** Joins the tensors of one pass to those of the passes before, and disposes both. */
function merged(before: Tensor[], now: Tensor[], join: (a: Tensor, b: Tensor) => Tensor): Tensor[] {
  if (before.length === 0) return now;
  return before.map((a, k) => {
    const both = join(a, now[k]!);
    a.dispose();
    now[k]!.dispose();
    return both;
  });
}

/** Lets go of what TensorFlow.js keeps for a backward pass, which it does by itself only when one has come to its end. */
function dropTape(tf: Tf): void {
  const { state } = tf.engine();
  for (const { saved } of state.activeTape ?? []) tf.dispose(saved ?? []);
  state.activeTape = [];
}
