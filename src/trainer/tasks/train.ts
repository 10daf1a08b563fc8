/** Trains: passes a run's events on, a batch of them at a time, and says how the run ended. */
import type { RunEvent } from '../../core/contracts/events';
import type { TrainRequest } from '../../core/contracts/tasks';
import { parseResolved } from '../../core/experiment';
import { run } from '../training/run';
import type { TaskSurroundings } from './task';

/** Events are sent at most this often, so that a fast network does not drown its reader in messages. */
const sendIntervalMs = 80;

/** @throws UserError where the run failed, the signal's reason where it was stopped; both are told as an event before */
export async function train(
  request: TrainRequest,
  { version, signal, progress, update, stopTakes }: TaskSurroundings<'train'>,
): Promise<undefined> {
  const experiment = parseResolved(request.experiment, request.experiment?.id ?? 'experiment');
  let pending: RunEvent[] = [];
  let timer: NodeJS.Timeout | undefined;
  const flush = () => {
    clearTimeout(timer);
    timer = undefined;
    if (pending.length > 0) update({ type: 'events', events: pending });
    pending = [];
  };
  try {
    await run(
      { ...request, experiment },
      {
        version,
        signal,
        progress,
        emit: (events) => {
          pending.push(...events);
          timer ??= setTimeout(flush, sendIntervalMs);
        },
        stopTakes,
        runFolder: (folder) => update({ type: 'run', folder }),
      },
    );
  } finally {
    flush();
  }
}
