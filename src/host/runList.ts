/**
 * The runs on disk, for the sidebar and the quick picks: every run of the window's runs folders, whoever trained it.
 * Runs are read only when somebody asks, and again only when their files have changed.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as vscode from 'vscode';
import { lockHolder, RunSummary, summarize } from '../disk/runs';
import type { LiveRuns } from './liveRuns';
import { eventsStamp, Run } from './run';
import { affects, runsFolders } from './settings';

export interface RunLine extends RunSummary {
  /** The run itself, where this window trains it or shows it. */
  readonly run?: Run;
  readonly trainedHere: boolean;
}

/** Whether a run stands still and can go on. */
export const resumable = (line: Pick<RunLine, 'state'>): boolean =>
  line.state === 'stopped' || line.state === 'interrupted' || line.state === 'failed';

/** A run that is being trained changes several times a second; lists follow at this pace. */
const throttleMs = 1000;

export class RunList implements vscode.Disposable {
  private readonly read = new Map<string, { stamp: string; summary: RunSummary }>();
  private readonly changes = new vscode.EventEmitter<void>();
  /** Something may have changed; fired at most once a second. */
  readonly onDidChange = this.changes.event;
  private readonly subscriptions: vscode.Disposable[] = [];
  private watchers: vscode.Disposable[] = [];
  private timer?: NodeJS.Timeout;
  private watching = false;

  constructor(
    private readonly globalStorage: vscode.Uri,
    private readonly live: LiveRuns,
  ) {
    this.subscriptions.push(
      live.onDidChange(({ change }) => {
        const steps = change.type === 'events' && change.events.every((event) => event.type === 'step');
        if (!steps) this.schedule();
      }),
      vscode.workspace.onDidChangeWorkspaceFolders(() => this.watchAgain()),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (affects(event, 'runsFolder')) this.watchAgain();
      }),
    );
  }

  get folders(): string[] {
    return runsFolders(this.globalStorage);
  }

  /** Ids of the experiments whose runs this window has started and which have no folder yet. */
  get starting(): Set<string> {
    return new Set(this.live.training.filter((run) => run.folder === undefined).map((run) => run.experiment.id));
  }

  /** Every readable run, newest first. From the first call on, changes of the folders are watched. */
  async lines(): Promise<RunLine[]> {
    this.watch();
    const lines: RunLine[] = [];
    const seen = new Set<string>();
    for (const runsFolder of this.folders) {
      for (const name of await fs.promises.readdir(runsFolder).catch(() => [])) {
        const folder = path.join(runsFolder, name);
        const line = this.line(folder);
        if (line) {
          lines.push(line);
          seen.add(folder);
        }
        // Runs are read synchronously, one at a time; the editor's other work comes in between.
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    for (const folder of this.read.keys()) if (!seen.has(folder)) this.read.delete(folder);
    return lines.sort((a, b) => (a.record.created < b.record.created ? 1 : -1));
  }

  /** Forgets what was read, so that the next call of {@link lines} reads every run anew. */
  refresh(): void {
    this.read.clear();
    this.changes.fire();
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.subscriptions.forEach((subscription) => subscription.dispose());
    this.watchers.forEach((watcher) => watcher.dispose());
    this.changes.dispose();
  }

  /** A run of this window's is known from memory, another is read; what is no run, or unreadable, is passed over. */
  private line(folder: string): RunLine | undefined {
    const run = this.live.find(folder);
    try {
      const summary = run?.training ? run.summary() : this.summary(folder);
      return summary && { ...summary, run, trainedHere: run?.training ?? false };
    } catch {
      return undefined;
    }
  }

  private summary(folder: string): RunSummary {
    const stamp = `${eventsStamp(folder)} ${lockHolder(folder)}`;
    const known = this.read.get(folder);
    if (known?.stamp === stamp) return known.summary;
    const summary = summarize(folder);
    this.read.set(folder, { stamp, summary });
    return summary;
  }

  private watch(): void {
    if (this.watching) return;
    this.watching = true;
    for (const folder of this.folders) {
      // From the runs folder, even where it does not exist yet: a workspace folder's own watcher can miss folders that
      // are made together with their parents, as a first run does.
      const pattern = new vscode.RelativePattern(vscode.Uri.file(folder), '{*,*/run.json,*/metrics.jsonl,*/lock}');
      const watcher = vscode.workspace.createFileSystemWatcher(pattern);
      this.watchers.push(
        watcher,
        watcher.onDidCreate(() => this.schedule()),
        watcher.onDidChange(() => this.schedule()),
        watcher.onDidDelete(() => this.schedule()),
      );
    }
  }

  private watchAgain(): void {
    this.watchers.forEach((watcher) => watcher.dispose());
    this.watchers = [];
    this.watching = false;
    this.schedule();
  }

  private schedule(): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.changes.fire();
    }, throttleMs);
  }
}
