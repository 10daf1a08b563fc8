/**
 * Going on after a reload. A trainer whose window went away writes a checkpoint and exits; when the run's panel comes
 * back, the run goes on from there, as the setting `convlab.resumeAfterReload` has it. Runs without a panel are offered
 * in a notification, once. Runs that a folder brought along, which nobody trusts yet, neither go on nor are offered.
 */
import * as vscode from 'vscode';
import { message } from '../core/messages/message';
import { lockHolder } from '../disk/runs';
import type { LiveRuns } from './liveRuns';
import { t, translate } from './localize';
import type { Log } from './log';
import type { Panels } from './panels';
import type { Run } from './run';
import type { RunLine, RunList } from './runList';
import { resumeAfterReload } from './settings';
import { notify } from './show';

/** How long the trainer of the window before may take to write its checkpoint. */
const releaseMs = 60_000;
const pollMs = 250;
/** Panels come back when VS Code shows them; only then is it known which runs have none. */
const othersAfterMs = 5000;
const offeredKey = 'offeredToResume';

export class Resumption implements vscode.Disposable {
  private readonly subscription: vscode.Disposable;
  private readonly granted: vscode.Disposable;
  private readonly timer: NodeJS.Timeout;
  private disposed = false;

  constructor(
    private readonly live: LiveRuns,
    private readonly panels: Panels,
    private readonly runs: RunList,
    private readonly state: vscode.Memento,
    private readonly log: Log,
  ) {
    this.subscription = panels.onDidRestore((run) => log.guard(() => this.restored(run)));
    this.timer = setTimeout(() => log.guard(() => this.offerOthers()), othersAfterMs);
    this.granted = vscode.workspace.onDidGrantWorkspaceTrust(() => log.guard(() => this.offerOthers()));
  }

  dispose(): void {
    this.disposed = true;
    clearTimeout(this.timer);
    this.subscription.dispose();
    this.granted.dispose();
  }

  private async restored(run: Run): Promise<void> {
    const wish = resumeAfterReload();
    if (
      !vscode.workspace.isTrusted ||
      wish === 'never' ||
      run.training ||
      run.folder === undefined ||
      run.history.finished
    )
      return;
    if (!(await this.wasLeftBehind(run))) return;
    if (wish === 'ask' && !(await this.ask(run.folder, translate(run.experiment.title)))) return;
    this.live.resume(run);
  }

  /** Waits until the run's former trainer is gone and tells whether it stopped because its window did. */
  private async wasLeftBehind(run: Run): Promise<boolean> {
    const folder = run.folder!;
    const until = Date.now() + releaseMs;
    while (lockHolder(folder) !== undefined) {
      if (this.disposed || Date.now() > until) return false;
      run.status = message('waitingForTrainer');
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
    run.status = undefined;
    // The user may have been faster.
    if (this.disposed || run.training) return false;
    run.reread();
    return run.state === 'interrupted' && run.history.stopReason === 'editorGone';
  }

  private async offerOthers(): Promise<void> {
    if (!vscode.workspace.isTrusted || resumeAfterReload() === 'never') return;
    const offered = new Set(this.state.get<string[]>(offeredKey, []));
    const left = (await this.runs.lines()).filter((line) => this.leftWithoutPanel(line));
    const fresh = left.filter((line) => !offered.has(offerOf(line)));
    // Names of runs that have gone on, finished or been deleted need not be remembered.
    await this.state.update(offeredKey, left.map(offerOf));
    await Promise.all(
      fresh.map(async (line) => {
        if (!(await this.ask(line.folder, translate(line.record.experiment.title)))) return;
        await vscode.commands.executeCommand('convlab.resume', line.folder);
      }),
    );
  }

  private leftWithoutPanel(line: RunLine): boolean {
    const run = this.live.find(line.folder);
    return line.state === 'interrupted' && line.editorGone && !(run && (run.training || this.panels.has(run)));
  }

  private async ask(folder: string, title: string): Promise<boolean> {
    this.log.info(`Offering to go on with ${folder}`);
    const goOn = t(message('buttonGoOn'));
    return (await notify('information', t(message('goOnQuestion', { title })), goOn)) === goOn;
  }
}

/** A run is offered once for each time that it was left behind. */
const offerOf = (line: RunLine): string => `${line.name} ${line.epochsDone}`;
