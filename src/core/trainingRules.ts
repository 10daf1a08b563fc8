/**
 * Rules of the training loop that an estimate of its time has to know, too: how many examples are evaluated at once, and
 * how often checkpoints are written. The trainer's loop follows them; estimates.ts reckons with them.
 */

/**
 * Examples per evaluation in the training loop: a forward pass holds little, so a megapixel or so of inputs keeps the
 * engine busy without holding much memory.
 */
export const evaluationBatchSize = (batchSize: number, inputElements: number): number =>
  Math.max(batchSize, Math.min(500, Math.floor(2 ** 22 / inputElements)));

/** Checkpoints take at most this share of the time, but for those after the first and the last epoch. */
export const checkpointShare = 0.05;

/** How many checkpoints are written where epochs and a checkpoint take so many seconds each. */
export function checkpointsWritten(epochs: number, epoch: number, checkpoint: number): number {
  const between = Math.max(1, Math.ceil(checkpoint / (checkpointShare * epoch)));
  return 1 + Math.ceil((epochs - 1) / between);
}

/** Examples that a run evaluates in all: where there is no test set, the validation set is evaluated once more. */
export const evaluatedAtTheEnd = ({ validation, test }: { readonly validation: number; readonly test: number }) =>
  test || validation;
