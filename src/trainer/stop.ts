/**
 * How everything in the trainer is cancelled: one AbortSignal for the process, whose reason is a {@link Stop} that says who
 * asked. main.ts aborts it; whatever takes long looks at it between two pieces of work.
 */
import type { StoppedEvent } from '../core/contracts/events';

/** The reason of an aborted signal, thrown on the way out. */
export class Stop extends Error {
  constructor(readonly by: StoppedEvent['reason']) {
    super(`stopped: ${by}`);
  }
}

/** Lets messages in, by which somebody may ask to stop. @throws the signal's reason where it is aborted */
export async function breathe(signal: AbortSignal): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  signal.throwIfAborted();
}
