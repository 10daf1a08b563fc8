/**
 * The runs that this window trains or shows: one `Run` per run however many places look at it. Starts, resumes and
 * stops trainers; the commands call it, and the panels, the sidebar and the notices listen to it.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as vscode from 'vscode';
import type { ResolvedExperiment } from '../core/experiment';
import { english, message, UserError } from '../core/messages/message';
import type { EngineRequest } from '../core/contracts/tasks';
import type { RunEvent } from '../core/contracts/events';
import { lockHolder } from '../disk/runs';
import type { TrainerEnd, TrainerOptions } from '../trainerClient';
import type { Log } from './log';
import { Run, RunChange } from './run';
import {
  dataFolderFor,
  engineSetting,
  newRunsFolder,
  threadsSetting,
  weightsFolderSetting,
  workspaceFolders,
} from './settings';

export interface RunEnd {
  readonly run: Run;
  readonly end: TrainerEnd;
}

/** How long an editor that closes waits for its trainers, in milliseconds; VS Code gives an extension some five seconds. */
export const releaseMs = 3_000;

export class LiveRuns implements vscode.Disposable {
  /** How many trainers and panels hold each run. */
  private readonly holders = new Map<Run, number>();
  private readonly changes = new vscode.EventEmitter<{ run: Run; change: RunChange }>();
  /** Any change of any run that is held. */
  readonly onDidChange = this.changes.event;
  private readonly ends = new vscode.EventEmitter<RunEnd>();
  /** A trainer is gone. */
  readonly onDidEnd = this.ends.event;
  private released = false;

  /** @param trainer how trainers are started; throws UserError where a setting is unusable */
  constructor(
    private readonly trainer: () => TrainerOptions,
    private readonly globalStorage: vscode.Uri,
    private readonly log: Log,
  ) {}

  /** Those with a trainer of this window, in the order they were first held. */
  get training(): Run[] {
    return [...this.holders.keys()].filter((run) => run.training);
  }

  /** The run with this folder, if it is held. */
  find(folder: string): Run | undefined {
    return [...this.holders.keys()].find((run) => run.folder === folder);
  }

  /** The run with this folder, held or read from disk. @throws UserError */
  open(folder: string): Run {
    return this.find(folder) ?? Run.read(folder);
  }

  /** Keeps a run known, and its changes heard, until the result is disposed of. */
  hold(run: Run): vscode.Disposable {
    if (!this.holders.has(run)) run.onDidChange((change) => this.changes.fire({ run, change }));
    this.holders.set(run, (this.holders.get(run) ?? 0) + 1);
    let held = true;
    return new vscode.Disposable(() => {
      if (!held) return;
      held = false;
      const left = this.holders.get(run)! - 1;
      if (left > 0) {
        this.holders.set(run, left);
      } else {
        this.holders.delete(run);
        run.dispose();
      }
    });
  }

  /**
   * Starts to train; the trainer makes the run's folder.
   * @param runsFolder where; default: the runs folder of this window
   */
  start(experiment: ResolvedExperiment, runsFolder?: string): Run {
    const run = Run.toStart(experiment, runsFolder);
    this.train(run);
    return run;
  }

  /**
   * Goes on with a run from its last checkpoint, or starts it again where it ended before it had a folder.
   * @param engine what is to compute it from there on; left out, what has so far
   * @throws UserError where it has finished or another process is at work on it
   */
  resume(run: Run, engine?: EngineRequest): void {
    if (run.training) return;
    if (run.folder !== undefined) {
      if (!fs.existsSync(run.folder)) throw new UserError(message('runNotFound', { folder: run.folder }));
      const pid = lockHolder(run.folder);
      if (pid !== undefined) {
        throw new UserError(message('runBusy', { run: run.name, pid }), message('runBusyAdvice'));
      }
    }
    if (run.history.finished) throw new UserError(message('runFinished', { run: run.name }));
    this.train(run, engine);
  }

  /**
   * Lets every trainer write a checkpoint and exit by itself; what it tells from now on is heard by nobody.
   * @returns when all are gone, or after {@link releaseMs}: an editor that closes waits no longer, and trainers outlive it
   */
  async release(): Promise<void> {
    this.released = true;
    const gone = Promise.all([...this.training].map((run) => run.release()));
    let timer: NodeJS.Timeout | undefined;
    const enough = new Promise((resolve) => (timer = setTimeout(resolve, releaseMs)));
    await Promise.race([gone, enough]);
    clearTimeout(timer);
  }

  dispose(): void {
    void this.release();
    this.changes.dispose();
    this.ends.dispose();
  }

  private train(run: Run, engine?: EngineRequest): void {
    const runsFolder =
      run.folder === undefined ? (run.runsFolder ?? newRunsFolder(this.globalStorage)) : path.dirname(run.folder);
    const { experiment } = run;
    const request = {
      engine: engine ?? engineSetting(),
      keepEngine: engine === undefined,
      threads: threadsSetting(),
      dataFolder: dataFolderFor(experiment.dataset.name),
      searchFolders: workspaceFolders(),
      weightsFolder: weightsFolderSetting(),
      runsFolder,
    };
    const options = this.trainer();
    const holder = this.hold(run);
    const name = () => run.name || experiment.id;
    this.log.info(`${name()}: ${run.folder ? 'resuming' : 'training'} in ${runsFolder}, engine ${request.engine}`);
    const listener = run.onDidChange((change) => {
      if (change.type === 'events') change.events.forEach((event) => this.logEvent(name(), event));
    });
    void run
      .train(request, options, (line) => this.log.info(`${name()}: ${line}`))
      .then((end) => {
        this.log.info(`${name()}: ${end.kind}`);
        if (!this.released) this.ends.fire({ run, end });
      })
      .catch((error: unknown) => this.log.showError(error))
      .finally(() => {
        listener.dispose();
        holder.dispose();
      });
  }

  private logEvent(name: string, event: RunEvent): void {
    const { log } = this;
    switch (event.type) {
      case 'started':
        log.info(`${name}: ${event.engine} on ${event.device}; ${event.engineReasons.map(english).join(' ')}`);
        break;
      case 'epoch':
        log.info(
          `${name}: epoch ${event.epoch}: training loss ${event.trainLoss.toFixed(4)}, ` +
            `accuracy ${event.trainAccuracy.toFixed(4)}, validation ${event.validationAccuracy.toFixed(4)}`,
        );
        break;
      case 'resumed':
        log.info(`${name}: going on from epoch ${event.epoch}, step ${event.step}, ${event.engine} on ${event.device}`);
        break;
      case 'finished':
        log.info(`${name}: ${event.testedOnTestSet ? 'test' : 'validation'} accuracy ${event.testAccuracy}`);
        break;
      case 'warning':
        log.warn(`${name}: ${english(event.message)}`);
        break;
      case 'failed':
        log.error(`${name}: ${english(event.message)}${event.advice ? ` ${english(event.advice)}` : ''}`);
        break;
    }
  }
}
