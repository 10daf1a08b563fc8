/**
 * One run as the editor holds it: at rest on disk, trained by this window, or trained by another process. It folds the
 * run's events, owns its trainer while there is one, and tells panels and lists what changes. Made by `Runs`.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as vscode from 'vscode';
import type { ResolvedExperiment } from '../core/experiment';
import { History, RunState, thin } from '../core/history';
import { Message, message } from '../core/messages/message';
import type { RunEvent, StepEvent } from '../core/contracts/events';
import type { TrainRequest } from '../core/contracts/tasks';
import { eventsFile, lockHolder, readEvents, readRecord, RunRecord, RunSummary, summaryOf } from '../disk/runs';
import { startTask, Trainer, TrainerEnd, TrainerOptions } from '../trainerClient';

export type RunChange =
  /** Events that happened, already folded. */
  | { readonly type: 'events'; readonly events: readonly RunEvent[] }
  /** The state, the status or the folder is another one. */
  | { readonly type: 'state' }
  /** Everything may have changed: the events were read again. */
  | { readonly type: 'reread' };

/** A snapshot for a panel holds at most about this many step events. */
const snapshotSteps = 2000;
/** How often a run that another process trains is looked at while somebody watches. */
const followIntervalMs = 1000;

export class Run implements vscode.Disposable {
  private folded = new History();
  /** All events but the steps, which the history keeps. */
  private milestones: RunEvent[] = [];
  private record?: RunRecord;
  private trainer?: Trainer;
  private runFolder?: string;
  private statusMessage?: Message;
  private stopAsked = false;
  /** The stamp of what is folded. */
  private read = '';
  /**
   * How many events of the file are folded, and the last of them; undefined while it is not known, because a trainer of
   * this window has told them.
   */
  private onDisk?: { readonly count: number; readonly last: string };
  private isGone = false;
  /** The state as it was when what is on disk was read last. */
  private told?: RunState;
  private readonly changes = new vscode.EventEmitter<RunChange>();
  readonly onDidChange = this.changes.event;

  private constructor(
    readonly experiment: ResolvedExperiment,
    /** Where its folder is to be made; undefined for the runs folder of the window. */
    readonly runsFolder?: string,
  ) {}

  /** A run to be trained; it has no folder before its trainer has made one. */
  static toStart(experiment: ResolvedExperiment, runsFolder?: string): Run {
    return new Run(experiment, runsFolder);
  }

  /** A run on disk. @throws UserError where there is none or it cannot be read */
  static read(folder: string): Run {
    const record = readRecord(folder);
    const run = new Run(record.experiment);
    run.runFolder = folder;
    run.record = record;
    run.read = run.stamp();
    run.foldAll(readEvents(folder));
    return run;
  }

  /** Absolute; undefined until the trainer has made it. */
  get folder(): string | undefined {
    return this.runFolder;
  }

  /** The folder's name; '' before there is one. */
  get name(): string {
    return this.runFolder === undefined ? '' : path.basename(this.runFolder);
  }

  get history(): Readonly<History> {
    return this.folded;
  }

  /** Whether a trainer of this window is at work on it. */
  get training(): boolean {
    return this.trainer !== undefined;
  }

  /** Whether the user has asked it to stop, and the trainer is still writing its checkpoint. */
  get stopping(): boolean {
    return this.stopAsked;
  }

  get state(): RunState {
    return this.folded.state(this.training || this.trainedElsewhere);
  }

  /** Whether another process trains it: a terminal, another window, or a trainer that a closed window left behind. */
  get trainedElsewhere(): boolean {
    return !this.training && this.runFolder !== undefined && lockHolder(this.runFolder) !== undefined;
  }

  /** Whether its folder has been renamed, moved or deleted since it was read. */
  get gone(): boolean {
    return this.isGone;
  }

  /** What its trainer is doing where the events do not say it. */
  get status(): Message | undefined {
    return this.statusMessage;
  }

  set status(status: Message | undefined) {
    if (status === this.statusMessage) return;
    this.statusMessage = status;
    this.changes.fire({ type: 'state' });
  }

  /** As the run list shows it; undefined before it has a folder. */
  summary(): RunSummary | undefined {
    if (this.runFolder === undefined) return undefined;
    this.record ??= readRecord(this.runFolder);
    return summaryOf(this.runFolder, this.record, this.folded, this.training || this.trainedElsewhere);
  }

  /**
   * The run so far in few enough events for a message: the same events, but steps that were superseded are left out and
   * the others thinned. Folding them gives this run's history.
   */
  snapshot(): RunEvent[] {
    const steps = thin<StepEvent>(this.folded.steps, (step) => step.loss, snapshotSteps);
    // A 'resumed' event drops what came after its step, so the steps that survived it stand behind the last one.
    const at = this.milestones.findLastIndex((e) => e.type === 'resumed' || e.type === 'started') + 1;
    return [...this.milestones.slice(0, at), ...steps, ...this.milestones.slice(at)];
  }

  /**
   * Trains, from the start or, where there is a folder, from its last checkpoint. Settles when the trainer is gone.
   * @param request without `resume`, which follows from the folder
   */
  async train(
    request: Omit<TrainRequest, 'resume' | 'experiment'>,
    options: TrainerOptions,
    onLog: (line: string) => void,
  ): Promise<TrainerEnd> {
    if (this.trainer) throw new Error('This run is being trained already.');
    this.reread();
    this.onDisk = undefined;
    this.statusMessage = message(this.runFolder === undefined ? 'panelStarting' : 'panelResuming');
    const task = { ...request, experiment: this.experiment, resume: this.runFolder };
    this.trainer = startTask('train', task, options, {
      onUpdate: (update) => {
        if (update.type === 'events') return this.receive(update.events);
        this.runFolder = update.folder;
        this.changes.fire({ type: 'state' });
      },
      onProgress: (status) => {
        if (!this.stopAsked || status.id === 'stoppingTakes') this.status = status;
      },
      onLog,
    });
    this.changes.fire({ type: 'state' });
    const end = await this.trainer.ended;
    this.trainer = undefined;
    // All that is on disk has been told; to read it again would forget a crash, which nobody wrote there.
    this.read = this.stamp();
    this.stopAsked = false;
    this.statusMessage = undefined;
    if ((end.kind === 'crashed' || end.kind === 'failed') && !this.folded.failed) {
      // A trainer that crashed could not say so; whoever looks at the run must find out why it stands still.
      this.receive([{ type: 'failed', message: end.message, advice: end.advice }]);
    }
    this.changes.fire({ type: 'state' });
    return end;
  }

  /** Asks the trainer to write a checkpoint and exit; it is killed after a grace time. Settles when it is gone. */
  async stop(): Promise<void> {
    if (!this.trainer) return;
    if (!this.stopAsked) {
      this.stopAsked = true;
      this.status = message('panelStopping');
    }
    await this.trainer.stop();
  }

  /** Lets the trainer write its checkpoint and exit by itself, because the editor goes away. Resolves when it is gone. */
  async release(): Promise<void> {
    this.trainer?.release();
    await this.trainer?.ended;
  }

  /** Reads the run's events again, when this window does not train it. Where the folder is gone, what was read stays. */
  reread(): void {
    if (this.trainer) return;
    this.read = this.stamp();
    this.look();
    if (this.isGone) return;
    this.folded = new History();
    this.milestones = [];
    if (this.runFolder !== undefined) this.foldAll(readEvents(this.runFolder));
    this.changes.fire({ type: 'reread' });
  }

  /** Watches a run that this window does not train, for as long as the result is not disposed of. */
  follow(): vscode.Disposable {
    const timer = setInterval(() => {
      if (this.training) return;
      this.look();
      if (this.isGone || this.stamp() === this.read) return;
      try {
        this.catchUp();
      } catch {
        // Unreadable for now; what was read stays shown.
      }
    }, followIntervalMs);
    return new vscode.Disposable(() => clearInterval(timer));
  }

  /** Finds out whether the folder is there, and tells where that is new. */
  private look(): void {
    const gone = this.runFolder !== undefined && !fs.existsSync(this.runFolder);
    if (gone === this.isGone) return;
    this.isGone = gone;
    this.changes.fire({ type: 'state' });
  }

  /** Takes in what another process has appended; reads everything again where the file is not a longer form of itself. */
  private catchUp(): void {
    const stamp = this.stamp();
    const state = this.told;
    const events = readEvents(this.runFolder!);
    const { onDisk } = this;
    const count = onDisk?.count ?? 0;
    if (!onDisk || events.length < count || (count > 0 && JSON.stringify(events[count - 1]) !== onDisk.last)) {
      return this.reread();
    }
    this.read = stamp;
    const fresh = events.slice(count);
    if (fresh.length > 0) {
      this.onDisk = { count: events.length, last: JSON.stringify(events.at(-1)) };
      this.receive(fresh);
    }
    this.told = this.state;
    if (this.told !== state) this.changes.fire({ type: 'state' });
  }

  dispose(): void {
    this.changes.dispose();
  }

  private stamp(): string {
    if (this.runFolder === undefined) return '';
    return `${eventsStamp(this.runFolder)} ${lockHolder(this.runFolder)}`;
  }

  private receive(events: readonly RunEvent[]): void {
    this.fold(events);
    this.changes.fire({ type: 'events', events });
    if (!this.stopAsked && events.some((event) => event.type === 'step' || event.type === 'finished')) {
      this.status = undefined;
    }
  }

  /** Folds all that a file holds. */
  private foldAll(events: readonly RunEvent[]): void {
    this.onDisk = { count: events.length, last: JSON.stringify(events.at(-1)) };
    this.fold(events);
    this.told = this.state;
  }

  private fold(events: readonly RunEvent[]): void {
    for (const event of events) {
      this.folded.apply(event);
      if (event.type !== 'step') this.milestones.push(event);
    }
  }
}

/** Changes whenever the run's events do. */
export function eventsStamp(folder: string): string {
  const stat = fs.statSync(path.join(folder, eventsFile), { throwIfNoEntry: false });
  return stat ? `${stat.mtimeMs} ${stat.size}` : '';
}
