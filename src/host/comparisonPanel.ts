/**
 * The comparison: one page with the course's summary table, filled from the window's runs, and their curves laid over
 * one another. It follows the runs while it is shown. `Commands` opens it; VS Code gives it back after a reload.
 */
import * as vscode from 'vscode';
import * as z from 'zod';
import { ComparedRun, inCourseOrder, representatives } from '../core/comparison';
import { message } from '../core/messages/message';
import { protocolVersion } from '../core/contracts/events';
import { ToComparison } from '../core/contracts/pages';
import { comparedRun } from '../disk/runs';
import { t, translations } from './localize';
import type { Log } from './log';
import { furnish } from './page';
import { eventsStamp } from './run';
import type { RunLine, RunList } from './runList';

export const comparisonType = 'convlab.comparison';

const fromPage = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('ready'), protocol: z.number() }),
  z.strictObject({ type: z.literal('openRun'), run: z.string().min(1) }),
]);

export class ComparisonPanel implements vscode.WebviewPanelSerializer, vscode.Disposable {
  private panel?: vscode.WebviewPanel;
  private ready = false;
  private added = new Set<string>();
  private sent = '';
  private sending = false;
  private outdated = false;
  /** Rows by folder, read again only when the run's files have changed. */
  private readonly rows = new Map<string, { stamp: string; row: ComparedRun }>();
  private readonly subscription: vscode.Disposable;

  constructor(
    private readonly extensionUri: vscode.Uri,
    private readonly runs: RunList,
    private readonly log: Log,
  ) {
    this.subscription = runs.onDidChange(() => this.send());
  }

  /** @param add runs to show beside those that are shown anyhow */
  show(add: readonly RunLine[] = []): void {
    for (const { name } of add) this.added.add(name);
    if (this.panel) {
      this.panel.reveal();
      return this.send();
    }
    const column = vscode.window.activeTextEditor?.viewColumn ?? vscode.ViewColumn.Active;
    this.adopt(vscode.window.createWebviewPanel(comparisonType, '', column, { enableScripts: true }));
  }

  async deserializeWebviewPanel(panel: vscode.WebviewPanel): Promise<void> {
    if (this.panel) return panel.dispose();
    this.adopt(panel);
  }

  dispose(): void {
    this.subscription.dispose();
  }

  private adopt(panel: vscode.WebviewPanel): void {
    this.panel = panel;
    panel.title = t(message('comparison'));
    const subscriptions = [
      panel.webview.onDidReceiveMessage((raw: unknown) => this.receive(raw)),
      panel.onDidChangeViewState(() => {
        // A hidden page is gone; when it is shown again it says 'ready'.
        if (!panel.visible) this.ready = false;
      }),
    ];
    panel.onDidDispose(() => {
      subscriptions.forEach((subscription) => subscription.dispose());
      this.panel = undefined;
      this.ready = false;
      this.added.clear();
      this.rows.clear();
    });
    furnish(panel, this.extensionUri, 'comparison');
  }

  private receive(raw: unknown): void {
    const parsed = fromPage.safeParse(raw);
    if (!parsed.success) {
      this.log.channel.warn(`The comparison sent something that is no message: ${JSON.stringify(raw)?.slice(0, 200)}`);
      return;
    }
    if (parsed.data.type === 'ready') {
      this.ready = true;
      this.sent = '';
      return this.send();
    }
    const { run } = parsed.data;
    this.log.guard(async () => {
      const line = (await this.runs.lines()).find(({ name }) => name === run);
      if (line) await vscode.commands.executeCommand('convlab.openRun', line.folder);
    });
  }

  /** Sends the rows if they have changed; one reading at a time, and one more for what changed meanwhile. */
  private send(): void {
    this.outdated = true;
    if (!this.ready || this.sending) return;
    this.sending = true;
    this.log.guard(async () => {
      try {
        while (this.ready && this.outdated) {
          this.outdated = false;
          const runs = inCourseOrder((await this.runs.lines()).flatMap((line) => this.row(line)));
          const text = JSON.stringify([runs, [...this.added]]);
          if (text === this.sent) continue;
          this.sent = text;
          await this.panel?.webview.postMessage({
            type: 'comparison',
            protocol: protocolVersion,
            runs,
            chosen: representatives(runs).map(({ run }) => run),
            added: [...this.added],
            language: vscode.env.language,
            translations: translations(),
          } satisfies ToComparison);
        }
      } finally {
        this.sending = false;
      }
    });
  }

  /** None where no epoch has ended, or where the run cannot be read. */
  private row(line: RunLine): ComparedRun[] {
    if (line.epochsDone === 0) return [];
    const stamp = `${eventsStamp(line.folder)} ${line.state}`;
    const known = this.rows.get(line.folder);
    if (known?.stamp === stamp) return [known.row];
    try {
      const row = comparedRun(line);
      this.rows.set(line.folder, { stamp, row });
      return [row];
    } catch (error) {
      this.log.info(`${line.folder} is left out of the comparison: ${String(error)}`);
      return [];
    }
  }
}
