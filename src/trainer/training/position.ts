/**
 * What a checkpoint may say of where the loop stands. It is read back from a file, so it is checked like any other input:
 * a position that no run can have would finish at once, or train on other sums, without a word.
 */
import * as z from 'zod';

const whole = (least: number) => z.number().int().min(least);
const sums = z.object({
  examples: whole(0),
  loss: z.number(),
  correct: whole(0),
  steps: whole(0),
  seconds: z.number().min(0),
  logitStd: z.number(),
  gradientSquares: z.array(z.number()),
  updateRatios: z.array(z.number()),
  deadShares: z.array(z.number()),
  windowLoss: z.number(),
  windowSteps: whole(0),
});
const schema = z.object({
  epoch: whole(1),
  step: whole(0),
  seconds: z.number().min(0),
  best: z.object({ epoch: whole(1), validationAccuracy: z.number().min(0).max(1) }).optional(),
  told: z.array(z.object({ type: z.literal('epoch'), epoch: whole(1) }).loose()).optional(),
  beside: z.object({ experiment: z.string(), events: z.object({ bytes: whole(0), sha256: z.string() }) }).optional(),
  sums,
});

/** Whether a run of so many epochs and steps can stand there: in an epoch, or behind the last one. */
export function isPositionOf(value: unknown, epochs: number, stepsPerEpoch: number): boolean {
  const { success, data } = schema.safeParse(value);
  if (!success || data.epoch > epochs + 1 || data.step > stepsPerEpoch) return false;
  if (data.sums.steps !== data.step) return false;
  // From the second epoch on, one of those before is the best.
  return data.epoch === 1 ? data.best === undefined : data.best !== undefined && data.best.epoch < data.epoch;
}
