/**
 * What the window says about training outside panel and sidebar: the status-bar item while a trainer is at work, the
 * notification at its end, and the context key that shows the stop command.
 */
import * as vscode from 'vscode';
import { message } from '../core/messages/message';
import { networks } from '../core/networks/catalog';
import { endError } from '../trainerClient';
import type { LiveRuns, RunEnd } from './liveRuns';
import { figure, t, translate } from './localize';
import type { Log } from './log';
import type { Run } from './run';
import { notify, setStatus, statusItem } from './show';

export class Notices implements vscode.Disposable {
  private readonly item = statusItem('convlab.training', 50);
  private readonly subscriptions: vscode.Disposable[];
  private training = false;

  constructor(
    private readonly live: LiveRuns,
    private readonly log: Log,
  ) {
    this.item.name = 'ConvLab';
    this.subscriptions = [
      this.item,
      live.onDidChange(() => this.update()),
      live.onDidEnd((end) => {
        this.update();
        // The walkthrough's last step is done.
        if (end.end.kind === 'finished') void vscode.commands.executeCommand('setContext', 'convlab.trained', true);
        log.guard(() => this.announce(end));
      }),
    ];
  }

  dispose(): void {
    this.subscriptions.forEach((subscription) => subscription.dispose());
  }

  private update(): void {
    const runs = this.live.training;
    if (runs.length > 0 !== this.training) {
      this.training = runs.length > 0;
      void vscode.commands.executeCommand('setContext', 'convlab.training', this.training);
    }
    const only = runs[0];
    if (only === undefined) return this.item.hide();
    setStatus(this.item, {
      icon: 'loading~spin',
      text: runs.length === 1 ? statusText(only) : t(message('statusRuns', { count: runs.length })),
      tooltip: runs.map(tooltip).join('\n'),
      spoken: `ConvLab: ${runs.map(tooltip).join(', ')}`,
    });
    this.item.command = {
      command: 'convlab.openRun',
      title: t(message('buttonShowChart')),
      arguments: [runs.length === 1 ? only : 'training'],
    };
    this.item.show();
  }

  private async announce({ run, end }: RunEnd): Promise<void> {
    const title = translate(run.experiment.title);
    if (end.kind === 'failed' || end.kind === 'crashed') return this.log.showError(endError(end));
    const { finished } = run.history;
    if (end.kind !== 'finished' || !finished) return;
    const accuracy = figure(finished.testAccuracy);
    const showChart = t(message('buttonShowChart'));
    const choice = await notify(
      'information',
      t(message(finished.testedOnTestSet ? 'runFinishedNotice' : 'runFinishedValidationNotice', { title, accuracy })),
      showChart,
    );
    if (choice === showChart) await vscode.commands.executeCommand('convlab.openRun', run.folder ?? run);
  }
}

/** "LeNet-5 3/10 · 0.98": the epoch under way and the last validation accuracy. */
function statusText(run: Run): string {
  const network = networks[run.experiment.network.name].title;
  const { epochs } = run.history;
  const last = epochs[epochs.length - 1];
  if (run.stopping) return `${network} ${t(message('statusStopping'))}`;
  const under = Math.min(run.experiment.epochs, epochs.length + 1);
  return `${network} ${under}/${run.experiment.epochs}${last ? ` · ${last.validationAccuracy.toFixed(2)}` : ''}`;
}

function tooltip(run: Run): string {
  const { epochs, latestStep } = run.history;
  const last = epochs[epochs.length - 1];
  return [
    translate(run.experiment.title),
    ...(run.status ? [t(run.status)] : []),
    ...(latestStep ? [`${t(message('trainLoss'))} ${figure(latestStep.loss)}`] : []),
    ...(last ? [`${t(message('validationAccuracy'))} ${figure(last.validationAccuracy)}`] : []),
  ].join(' · ');
}
