/**
 * What every engine does alike around its own arithmetic: checks what it is given, draws dropout masks, reads figures off
 * the logits, and tells a want of memory from other failures. Each engine's model calls it; so does the loop's evaluation.
 */
import { message, UserError } from '../../core/messages/message';
import { elements, Network, OpOf, Tensors } from '../../core/networks/network';
import { fillDropoutMask } from '../../core/random';
import type { Batch, LossName, ModelOptions, ModelState, StepPosition } from './engine';

/** Holds a state to its network. @throws Error that names the tensor that is missing, unknown or of another length */
export function checkState(network: Network, { parameters, buffers, optimizer }: ModelState): void {
  checkTensors('parameter', network.parameters, parameters);
  checkTensors('buffer', network.buffers, buffers);
  if (!optimizer) return;
  checkTensors('first moment', network.parameters, optimizer.firstMoment);
  checkTensors('second moment', network.parameters, optimizer.secondMoment);
}

function checkTensors(
  what: string,
  expected: readonly { readonly name: string; readonly shape: readonly number[] }[],
  tensors: Tensors,
): void {
  for (const { name, shape } of expected) {
    const values = tensors.get(name);
    if (!values) throw new Error(`The ${what} ${name} is missing.`);
    if (values.length !== elements(shape)) {
      throw new Error(`The ${what} ${name} has ${values.length} values instead of ${shape.join('×')}.`);
    }
  }
  const names = new Set(expected.map(({ name }) => name));
  for (const name of tensors.keys()) {
    if (!names.has(name)) throw new Error(`The network has no ${what} called ${name}.`);
  }
}

const memoryRanOut =
  /\bOOM\b|out of memory|bad[ _]alloc|failed to allocate|allocation failed|could not allocate|WebAssembly\.Memory\(\)/i;

/**
 * What a failed computation means to the user: that memory ran out, where the library says so (TensorFlow's "OOM when
 * allocating tensor", ONNX Runtime's "Failed to allocate memory", C++'s "bad_alloc" or on Windows "bad allocation", a
 * JavaScript array's "allocation failed", whatever a WebAssembly memory is refused for), or else the error as it is.
 */
export function computationError(error: unknown, batchSize: number): unknown {
  if (error instanceof UserError || !memoryRanOut.test(String(error))) return error;
  return new UserError(message('engineOutOfMemory', { batchSize }), message('engineOutOfMemoryAdvice'), {
    cause: error,
  });
}

/** @throws RangeError for a batch that is empty, larger than the model was compiled for, or longer than its arrays */
export function checkBatch(batch: Batch, network: Network, { batchSize }: ModelOptions): void {
  const { size } = batch;
  if (size < 1 || size > batchSize) {
    throw new RangeError(`a batch of ${size} examples does not fit batchSize ${batchSize}`);
  }
  checkArrays(batch, network);
}

/** @throws RangeError for a batch that has more examples than its arrays hold */
export function checkArrays({ images, labels, size }: Batch, { inputShape }: Network): void {
  const whole = Math.min(Math.floor(images.length / elements(inputShape)), labels.length);
  if (size > whole) throw new RangeError(`a batch of ${size} examples has images and labels of ${whole}`);
}

/**
 * Dropout masks of a whole batch, so that they do not depend on the size of a pass: size × features values for each
 * dropout node with p > 0, by the node's ordinal.
 */
export function dropoutMasks(
  network: Network,
  seed: number,
  at: StepPosition,
  size: number,
): Map<number, Float32Array> {
  const masks = new Map<number, Float32Array>();
  for (const { op, shape } of network.nodes) {
    if (op.kind !== 'dropout' || op.p === 0) continue;
    const mask = new Float32Array(size * elements(shape));
    fillDropoutMask(mask, seed, at, op.ordinal, op.p);
    masks.set(op.ordinal, mask);
  }
  return masks;
}

/**
 * What running variances take of a batch's biased variance over `count` values. One value alone has no unbiased variance; it
 * counts as 0, which is what its biased variance is.
 */
export const unbias = ({ unbiasedRunningVariance }: OpOf<'batchNorm'>, count: number): number =>
  unbiasedRunningVariance ? count / Math.max(count - 1, 1) : 1;

/** Class that the logits of one example, `outputs` values from index `first`, speak for: arg max, or logit > 0 of one. */
export function predictedClass(logits: Float32Array, first: number, outputs: number): number {
  if (outputs === 1) return logits[first]! > 0 ? 1 : 0;
  let best = first;
  for (let i = first + 1; i < first + outputs; i++) if (logits[i]! > logits[best]!) best = i;
  return best - first;
}

/** Figures of a batch's logits (size × outputs), in float64. */
export interface LogitSummary {
  /** Sum over the examples of the loss, in nats. */
  readonly lossSum: number;
  /** Number of examples classified rightly. */
  readonly correct: number;
  /** Standard deviation of all logits. */
  readonly std: number;
}

export function summarize(
  logits: Float32Array,
  { labels, size }: Batch,
  outputs: number,
  loss: LossName,
): LogitSummary {
  let [lossSum, correct, sum] = [0, 0, 0];
  for (let n = 0; n < size; n++) {
    const label = labels[n]!;
    const first = n * outputs;
    const predicted = predictedClass(logits, first, outputs);
    if (predicted === label) correct++;
    for (let i = first; i < first + outputs; i++) sum += logits[i]!;
    if (loss === 'bce_with_logits') {
      // log(1 + exp(x)) - x · label, in the form that does not overflow.
      const x = logits[first]!;
      lossSum += Math.max(x, 0) - x * label + Math.log1p(Math.exp(-Math.abs(x)));
    } else {
      const largest = logits[first + predicted]!;
      let total = 0;
      for (let i = first; i < first + outputs; i++) total += Math.exp(logits[i]! - largest);
      lossSum += Math.log(total) + largest - logits[first + label]!;
    }
  }
  const count = size * outputs;
  const mean = sum / count;
  let squares = 0;
  for (let i = 0; i < count; i++) squares += (logits[i]! - mean) ** 2;
  return { lossSum, correct, std: Math.sqrt(squares / count) };
}
