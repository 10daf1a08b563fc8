/**
 * Has a trainer do what is no training (measure, estimate, see to a dataset, set TensorFlow up), with what it is doing on
 * the last line of the terminal. The commands call it.
 */
import * as path from 'node:path';
import type { Message } from '../core/messages/message';
import type { Request, TaskName } from '../core/contracts/tasks';
import { startTask, TrainerEnd, TrainerListener } from '../trainerClient';
import type { Interruption } from './interruption';
import { complain } from './output';
import { statusLine, t } from './speech';

/** The bundled trainer, beside this program. */
export const trainerScript = path.join(__dirname, 'trainer.js');

export interface SurveyOptions<T extends TaskName> {
  readonly onUpdate?: TrainerListener<T>['onUpdate'];
  /** What the status line says of what the trainer does. */
  readonly words?: (what: Message) => string;
  /** Whether each kind of work is told once where there is no status line. */
  readonly toldOnce?: boolean;
}

/** @returns how it ended; it does not begin where somebody has asked to stop */
export async function survey<T extends Exclude<TaskName, 'train'>>(
  task: T,
  request: Request<T>,
  interruption: Interruption,
  { onUpdate, words = t, toldOnce }: SurveyOptions<T> = {},
): Promise<TrainerEnd<T>> {
  if (interruption.asked) return { kind: 'stopped' };
  const status = statusLine();
  let told: string | undefined;
  const trainer = startTask(
    task,
    request,
    { script: trainerScript, graceMs: 20_000 },
    {
      onUpdate: (update) => {
        status.clear();
        onUpdate?.(update);
      },
      onProgress: (what) => {
        status.show(words(what));
        if (toldOnce && !status.visible && what.id !== told) complain(words(what));
        told = what.id;
      },
      onLog: (line) => {
        status.clear();
        complain(line);
      },
    },
  );
  const end = await interruption.ended(trainer);
  status.clear();
  return end;
}
