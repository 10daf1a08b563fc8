/** What a task is to the process that does it: main.ts holds the table of them, each file beside this one does one. */
import type { Request, Result, TaskName, Update } from '../../core/contracts/tasks';
import type { Message } from '../../core/messages/message';

/** What a task needs from the process it runs in. */
export interface TaskSurroundings<T extends TaskName> {
  /** ConvLab's own version. */
  readonly version: string;
  /** Aborted, by a `Stop`, when the task is to end early. */
  readonly signal: AbortSignal;
  progress(message: Message): void;
  update(update: Update<T>): void;
  /** Says how long it can take from a request to stop until all is written, in seconds; the usual needs no word. */
  stopTakes(seconds: number): void;
}

export interface Task<T extends TaskName> {
  /** @throws UserError where it fails, the signal's reason where it was stopped */
  readonly work: (request: Request<T>, surroundings: TaskSurroundings<T>) => Promise<Result<T>>;
  /** Whether it has something to put in order when whoever started it goes away; the others then just end. */
  readonly tidies?: boolean;
}
