/**
 * The panels: one webview per run. A panel says 'ready', gets a snapshot, then changes; it is thrown away while hidden
 * and begins anew when shown. VS Code gives panels back after a reload through {@link Panels.deserializeWebviewPanel}.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as vscode from 'vscode';
import * as z from 'zod';
import { FromRun, RunSituation, RunSnapshot, ToRun, WishOf } from '../core/contracts/pages';
import type { RunEvent } from '../core/contracts/events';
import type { TrainerOptions } from '../trainerClient';
import { Examples } from './examples';
import type { LiveRuns } from './liveRuns';
import { translate } from './localize';
import type { Log } from './log';
import { newTab, PageHost } from './page';
import type { Run, RunChange } from './run';

export const panelType = 'convlab.run';

/** Changes are sent at this pace, so that a fast network does not drown the page in messages. */
const sendIntervalMs = 100;

const wishes = z.strictObject({ type: z.enum(['stop', 'resume', 'showLog', 'revealFolder', 'examples']) });

/** What VS Code keeps for a panel over a reload, put there by the page: the run's folder, or its name. */
const panelState = z.object({ run: z.string().min(1) });

export class Panels implements vscode.WebviewPanelSerializer, vscode.Disposable {
  private readonly panels = new Map<Run, RunPanel>();
  private readonly restored = new vscode.EventEmitter<Run>();
  /** A panel has come back after a reload. */
  readonly onDidRestore = this.restored.event;

  /**
   * @param runsFolders where a run is looked for by name
   * @param trainer how trainers are started
   */
  constructor(
    private readonly extensionUri: vscode.Uri,
    private readonly live: LiveRuns,
    private readonly log: Log,
    private readonly runsFolders: () => readonly string[],
    private readonly trainer: () => TrainerOptions,
  ) {}

  /** Shows the run's panel, a new one if need be. */
  show(run: Run): void {
    const existing = this.panels.get(run);
    if (existing) return existing.reveal();
    this.adopt(newTab(panelType), run);
  }

  has(run: Run): boolean {
    return this.panels.has(run);
  }

  close(run: Run): void {
    this.panels.get(run)?.dispose();
  }

  async deserializeWebviewPanel(panel: vscode.WebviewPanel, state: unknown): Promise<void> {
    const folder = this.folderOf(state);
    if (folder === undefined) {
      // The run was deleted in the meantime, or never had a folder.
      this.log.info(`A panel was closed because its run is gone: ${JSON.stringify(state)}`);
      panel.dispose();
      return;
    }
    try {
      const run = this.live.open(folder);
      if (this.panels.has(run)) return panel.dispose();
      this.adopt(panel, run);
      this.restored.fire(run);
    } catch (error) {
      panel.dispose();
      this.log.showError(error);
    }
  }

  dispose(): void {
    this.restored.dispose();
  }

  private adopt(webviewPanel: vscode.WebviewPanel, run: Run): void {
    const hold = this.live.hold(run);
    const closed = () => {
      this.panels.delete(run);
      hold.dispose();
    };
    this.panels.set(run, new RunPanel(webviewPanel, run, this.extensionUri, this.trainer, this.log, closed));
  }

  private folderOf(state: unknown): string | undefined {
    const parsed = panelState.safeParse(state);
    if (!parsed.success) return undefined;
    const { run } = parsed.data;
    // Only a run of this window's folders: the state of a page is not trusted with a path.
    const name = path.basename(run);
    const folders = this.runsFolders().filter((f) => !path.isAbsolute(run) || path.dirname(run) === f);
    return folders.map((f) => path.join(f, name)).find((f) => fs.existsSync(f));
  }
}

class RunPanel implements vscode.Disposable {
  private readonly page: PageHost<ToRun, FromRun>;
  private pending: RunEvent[] = [];
  private timer?: NodeJS.Timeout;
  private following?: vscode.Disposable;
  private examples?: Examples;
  /** The name that the page knows the run by; it keeps it for a reload. */
  private sentName = '';
  private readonly subscription: vscode.Disposable;

  constructor(
    panel: vscode.WebviewPanel,
    private readonly run: Run,
    extensionUri: vscode.Uri,
    private readonly trainer: () => TrainerOptions,
    private readonly log: Log,
    closed: () => void,
  ) {
    this.subscription = run.onDidChange((change) => this.changed(change));
    this.page = new PageHost<ToRun, FromRun>(panel, extensionUri, log, {
      page: 'panel',
      wishes,
      ready: () => {
        this.following ??= this.run.follow();
        this.sendSnapshot();
      },
      receive: (wish) => this.receive(wish),
      hidden: () => this.rest(),
      closed: () => {
        this.rest();
        this.examples?.dispose();
        this.subscription.dispose();
        closed();
      },
    });
    this.page.title = translate(run.experiment.title);
  }

  reveal(): void {
    this.page.reveal();
  }

  dispose(): void {
    this.page.dispose();
  }

  private receive({ type }: WishOf<FromRun>): void {
    switch (type) {
      case 'stop':
      case 'resume':
        return void this.command(`convlab.${type}`);
      case 'showLog':
        return this.log.show();
      case 'examples':
        this.examples ??= new Examples(this.trainer, this.run.experiment, this.run.folder, this.log, () =>
          this.sendExamples(),
        );
        return this.sendExamples();
      case 'revealFolder':
        return void vscode.commands.executeCommand('convlab.revealRun', this.run);
    }
  }

  private async command(id: string): Promise<void> {
    await vscode.commands.executeCommand(id, this.run);
    // Where nothing came of it, the page must not wait any longer.
    this.changed({ type: 'state' });
  }

  private changed(change: RunChange): void {
    if (!this.page.following) return;
    switch (change.type) {
      case 'events':
        this.pending.push(...change.events);
        this.timer ??= setTimeout(() => this.flush(), sendIntervalMs);
        break;
      case 'state':
        // What has happened comes before what it has led to.
        this.flush();
        // A run that has just got its folder has a new name.
        if (this.run.name !== this.sentName) this.sendSnapshot();
        else this.page.send({ type: 'state', ...situationOf(this.run) });
        break;
      case 'reread':
        this.sendSnapshot();
        break;
    }
  }

  private sendSnapshot(): void {
    // It holds everything that was waiting.
    this.forget();
    this.sentName = this.run.name;
    this.page.snapshot(snapshotOf(this.run));
  }

  private sendExamples(): void {
    if (this.examples) this.page.send({ type: 'examples', answer: this.examples.answer });
  }

  private flush(): void {
    const events = this.pending;
    this.forget();
    if (events.length > 0) this.page.send({ type: 'changes', events });
  }

  /** Drops what has not been sent yet. */
  private forget(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.pending = [];
  }

  private rest(): void {
    this.forget();
    this.following?.dispose();
    this.following = undefined;
  }
}

const situationOf = (run: Run): RunSituation => ({ state: run.state, status: run.status, gone: run.gone });

/** All that a page needs to draw a run. */
export const snapshotOf = (run: Run): RunSnapshot => ({
  run: run.name,
  title: translate(run.experiment.title),
  question: translate(run.experiment.question),
  ...situationOf(run),
  events: run.snapshot(),
});
