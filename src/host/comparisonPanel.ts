/**
 * The comparison: one page with the course's summary table, filled from the window's runs, and their curves laid over
 * one another. It follows the runs while it is shown. `Commands` opens it; VS Code gives it back after a reload.
 */
import * as vscode from 'vscode';
import * as z from 'zod';
import { ComparedRun, inCourseOrder, representatives } from '../core/comparison';
import { ComparisonSnapshot, FromComparison, ToComparison } from '../core/contracts/pages';
import { message } from '../core/messages/message';
import { comparedRun } from '../disk/runs';
import { t } from './localize';
import type { Log } from './log';
import { newTab, PageHost } from './page';
import { eventsStamp } from './run';
import type { RunLine, RunList } from './runList';

export const comparisonType = 'convlab.comparison';

const wishes = z.strictObject({ type: z.literal('openRun'), run: z.string().min(1) });

/** A row, read again only when the run's files have changed. */
interface KnownRow {
  readonly stamp: string;
  readonly row: ComparedRun;
}

export class ComparisonPanel implements vscode.WebviewPanelSerializer, vscode.Disposable {
  private page?: PageHost<ToComparison, FromComparison>;
  /** What the page knows of each row, and of the lists, as text. */
  private readonly sent = new Map<string, string>();
  private sentLists = '';
  private sending = false;
  private outdated = false;
  /** By folder; one that is no longer there keeps its row for as long as the page is open. */
  private readonly rows = new Map<string, KnownRow>();
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
    if (this.page) this.page.reveal();
    else this.adopt(newTab(comparisonType));
    if (add.length > 0) this.page?.tell({ type: 'add', runs: add.map(({ name }) => name) });
    this.send();
  }

  /** Takes a run's row away that the user has deleted; one whose folder has gone otherwise stays. */
  forget(folder: string): void {
    this.rows.delete(folder);
  }

  async deserializeWebviewPanel(panel: vscode.WebviewPanel): Promise<void> {
    if (this.page) return panel.dispose();
    this.adopt(panel);
  }

  dispose(): void {
    this.subscription.dispose();
  }

  private adopt(panel: vscode.WebviewPanel): void {
    this.page = new PageHost<ToComparison, FromComparison>(panel, this.extensionUri, this.log, {
      page: 'comparison',
      wishes,
      ready: () => this.send(),
      receive: ({ run }) =>
        this.log.guard(async () => {
          const line = (await this.runs.lines()).find(({ name }) => name === run);
          if (line) await vscode.commands.executeCommand('convlab.openRun', line.folder);
        }),
      closed: () => {
        this.page = undefined;
        this.rows.clear();
      },
    });
    this.page.title = t(message('comparison'));
  }

  /** Sends what has changed; one reading at a time, and one more for what changed meanwhile. */
  private send(): void {
    this.outdated = true;
    if (!this.page?.present || this.sending) return;
    this.sending = true;
    this.log.guard(async () => {
      try {
        while (this.page?.present && this.outdated) {
          this.outdated = false;
          this.tell(await this.read());
        }
      } finally {
        this.sending = false;
      }
    });
  }

  private tell(now: ComparisonSnapshot): void {
    const { page } = this;
    if (!page?.present) return;
    const { rows, ...lists } = now;
    const fresh = page.following ? rows.filter((row) => this.sent.get(row.run) !== JSON.stringify(row)) : rows;
    if (page.following && fresh.length === 0 && JSON.stringify(lists) === this.sentLists) return;
    this.sent.clear();
    rows.forEach((row) => this.sent.set(row.run, JSON.stringify(row)));
    this.sentLists = JSON.stringify(lists);
    if (page.following) page.send({ type: 'rows', ...lists, rows: fresh });
    else page.snapshot(now);
  }

  /** Every run with an epoch to show: those on disk, and those that were there while the page has been open. */
  private async read(): Promise<ComparisonSnapshot> {
    const lines = await this.runs.lines();
    lines.forEach((line) => this.readRow(line));
    const there = new Set(lines.map(({ folder }) => folder));
    const names = new Set(lines.map(({ name }) => name));
    const gone: string[] = [];
    for (const [folder, { row }] of this.rows) {
      if (there.has(folder)) continue;
      // Moved into another folder of the window, it is there under the same name.
      if (names.has(row.run)) this.rows.delete(folder);
      else gone.push(row.run);
    }
    const rows = inCourseOrder([...this.rows.values()].map(({ row }) => row));
    return { rows, order: rows.map(({ run }) => run), chosen: representatives(rows).map(({ run }) => run), gone };
  }

  /** Nothing where no epoch has ended, or where the run cannot be read. */
  private readRow(line: RunLine): void {
    if (line.epochsDone === 0) return void this.rows.delete(line.folder);
    const stamp = `${eventsStamp(line.folder)} ${line.state}`;
    if (this.rows.get(line.folder)?.stamp === stamp) return;
    try {
      this.rows.set(line.folder, { stamp, row: comparedRun(line) });
    } catch (error) {
      this.log.info(`${line.folder} is left out of the comparison: ${String(error)}`);
    }
  }
}
