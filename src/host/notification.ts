/**
 * A trainer's task that the user waits for: a notification tells what it is doing and can cancel it. The views of engines
 * (engineTree.ts) and datasets (datasets.ts) and the setup of TensorFlow (tensorflowSetup.ts) show theirs so.
 */
import type { Request, TaskName } from '../core/contracts/tasks';
import { startTask, TrainerEnd, TrainerListener, TrainerOptions } from '../trainerClient';
import { t } from './localize';
import { withNotification } from './show';

/**
 * Does a task under a notification; cancelling it asks the trainer to stop.
 * @param title above what the trainer says that it is doing
 * @returns how it ended; that it failed is for the caller to tell
 */
export function underNotification<T extends TaskName>(
  title: string,
  task: T,
  request: Request<T>,
  options: TrainerOptions,
  listener: Omit<TrainerListener<T>, 'onProgress'>,
  { cancellable = true } = {},
): Thenable<TrainerEnd<T>> {
  return withNotification(title, cancellable, (tell, token) => {
    const trainer = startTask(task, request, options, {
      ...listener,
      onProgress: (status) => tell(t(status)),
    });
    token.onCancellationRequested(() => void trainer.stop());
    return trainer.ended;
  });
}
