/**
 * The panels: one webview per run. A panel says 'ready', gets a snapshot, then changes; it is thrown away while hidden
 * and begins anew when shown. VS Code gives panels back after a reload through {@link Panels.deserializeWebviewPanel}.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as vscode from 'vscode';
import * as z from 'zod';
import { PanelSnapshot, ToPanel } from '../core/contracts/pages';
import { protocolVersion, RunEvent } from '../core/contracts/events';
import type { TrainerOptions } from '../trainerClient';
import { Examples } from './examples';
import type { LiveRuns } from './liveRuns';
import { translate, translations } from './localize';
import type { Log } from './log';
import { furnish } from './page';
import type { Run, RunChange } from './run';

export const panelType = 'convlab.run';

/** Changes are sent at this pace, so that a fast network does not drown the page in messages. */
const sendIntervalMs = 100;

/** What a panel may say. */
const fromPanel = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('ready'), protocol: z.number() }),
  z.strictObject({ type: z.enum(['stop', 'resume', 'showLog', 'revealFolder', 'examples']) }),
]);

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
    const column = vscode.window.activeTextEditor?.viewColumn ?? vscode.ViewColumn.Active;
    this.adopt(vscode.window.createWebviewPanel(panelType, '', column, { enableScripts: true }), run);
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
    const panel = new RunPanel(webviewPanel, run, this.extensionUri, this.trainer, this.log);
    const hold = this.live.hold(run);
    this.panels.set(run, panel);
    webviewPanel.onDidDispose(() => {
      this.panels.delete(run);
      hold.dispose();
    });
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
  /** Whether the page has its snapshot and wants changes. */
  private ready = false;
  private pending: RunEvent[] = [];
  private timer?: NodeJS.Timeout;
  private following?: vscode.Disposable;
  private examples?: Examples;
  private readonly subscriptions: vscode.Disposable[] = [];

  constructor(
    private readonly panel: vscode.WebviewPanel,
    private readonly run: Run,
    extensionUri: vscode.Uri,
    private readonly trainer: () => TrainerOptions,
    private readonly log: Log,
  ) {
    panel.title = translate(run.experiment.title);
    this.subscriptions.push(
      panel.webview.onDidReceiveMessage((raw: unknown) => this.receive(raw)),
      panel.onDidChangeViewState(() => {
        // A hidden page is gone; when it is shown again it says 'ready' and gets everything at once.
        if (!panel.visible) this.rest();
      }),
      panel.onDidDispose(() => this.end()),
      run.onDidChange((change) => this.changed(change)),
    );
    furnish(panel, extensionUri, 'panel');
  }

  reveal(): void {
    this.panel.reveal();
  }

  dispose(): void {
    this.panel.dispose();
  }

  private receive(raw: unknown): void {
    const parsed = fromPanel.safeParse(raw);
    if (!parsed.success) {
      this.log.channel.warn(`A panel sent something that is no message: ${JSON.stringify(raw)?.slice(0, 200)}`);
      return;
    }
    switch (parsed.data.type) {
      case 'ready':
        if (parsed.data.protocol !== protocolVersion) {
          // The page compares the snapshot's version with its own and tells the user.
          this.log.channel.warn(`The panel speaks protocol ${parsed.data.protocol}, the extension ${protocolVersion}.`);
        }
        this.ready = true;
        this.following ??= this.run.follow();
        this.sendSnapshot();
        break;
      case 'stop':
      case 'resume':
        void this.command(`convlab.${parsed.data.type}`);
        break;
      case 'showLog':
        this.log.show();
        break;
      case 'examples':
        this.examples ??= new Examples(this.trainer, this.run.experiment, this.run.folder, this.log, () =>
          this.sendExamples(),
        );
        this.sendExamples();
        break;
      case 'revealFolder':
        void vscode.commands.executeCommand('convlab.revealRun', this.run);
        break;
    }
  }

  private async command(id: string): Promise<void> {
    await vscode.commands.executeCommand(id, this.run);
    // Where nothing came of it, the page must not wait any longer.
    this.changed({ type: 'state' });
  }

  private changed(change: RunChange): void {
    if (!this.ready) return;
    switch (change.type) {
      case 'events':
        this.pending.push(...change.events);
        this.timer ??= setTimeout(() => this.flush(), sendIntervalMs);
        break;
      case 'state':
        // What has happened comes before what it has led to.
        this.flush();
        // A run that has just got its folder has a new name, which the page keeps for a reload.
        if (this.run.name !== this.sentName) this.sendSnapshot();
        else this.send({ type: 'state', state: this.run.state, status: this.run.status });
        break;
      case 'reread':
        this.sendSnapshot();
        break;
    }
  }

  private sentName = '';

  private sendSnapshot(): void {
    // It holds everything that was waiting.
    clearTimeout(this.timer);
    this.timer = undefined;
    this.pending = [];
    this.sentName = this.run.name;
    this.send({ type: 'snapshot', protocol: protocolVersion, snapshot: snapshotOf(this.run) });
  }

  private sendExamples(): void {
    if (this.ready && this.examples) this.send({ type: 'examples', answer: this.examples.answer });
  }

  private flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.pending.length === 0) return;
    const events = this.pending;
    this.pending = [];
    this.send({ type: 'changes', events });
  }

  private send(toPanel: ToPanel): void {
    void this.panel.webview.postMessage(toPanel);
  }

  private rest(): void {
    this.ready = false;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.pending = [];
    this.following?.dispose();
    this.following = undefined;
  }

  private end(): void {
    this.rest();
    this.examples?.dispose();
    this.subscriptions.forEach((subscription) => subscription.dispose());
  }
}

/** All that a page needs to draw a run. */
export function snapshotOf(run: Run): PanelSnapshot {
  return {
    run: run.name,
    title: translate(run.experiment.title),
    question: translate(run.experiment.question),
    state: run.state,
    status: run.status,
    events: run.snapshot(),
    language: vscode.env.language,
    translations: translations(),
  };
}
