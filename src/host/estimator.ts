/**
 * Estimates in the background how long experiments would take, in a trainer process of low priority. `picks.ts` asks it
 * while the user chooses a preset.
 */
import * as vscode from 'vscode';
import type { ResolvedExperiment } from '../core/experiment';
import { english } from '../core/messages/message';
import type { Estimate } from '../core/contracts/tasks';
import { startTask, TrainerOptions } from '../trainerClient';
import type { LiveRuns } from './liveRuns';
import type { Log } from './log';
import { dataFolderFor, engineSetting, threadsSetting, workspaceFolders } from './settings';

export class Estimator {
  /**
   * @param trainer how trainers are started; throws UserError where a setting is unusable
   * @param runsFolders where runs lie whose pace tells
   */
  constructor(
    private readonly trainer: () => TrainerOptions,
    private readonly live: LiveRuns,
    private readonly runsFolders: () => readonly string[],
    private readonly log: Log,
  ) {}

  /**
   * Starts to estimate experiments of one dataset under the present settings; disposing of the result ends it.
   * @param onEstimate called for each as it is known, not after the disposal
   * @param onEnd no more will come; what went wrong is in the log, for a choice does not depend on it
   * @throws UserError where a setting is unusable
   */
  start(
    experiments: readonly ResolvedExperiment[],
    onEstimate: (estimate: Estimate) => void,
    onEnd: () => void,
  ): vscode.Disposable {
    const request = {
      experiments,
      engine: engineSetting(),
      threads: threadsSetting(),
      runsFolders: this.runsFolders(),
      dataFolder: experiments[0] && dataFolderFor(experiments[0].dataset.name),
      searchFolders: workspaceFolders(),
      // Beside a training, a measurement would show half the speed and slow the training down.
      measure: this.live.training.length === 0,
    };
    let disposed = false;
    const trainer = startTask(
      'estimate',
      request,
      { ...this.trainer(), graceMs: 3000 },
      {
        onUpdate: (update) => {
          if (update.type === 'estimate' && !disposed) onEstimate(update.estimate);
        },
        onLog: (line) => this.log.info(`estimate: ${line}`),
      },
    );
    void trainer.ended.then((end) => {
      if (end.kind === 'failed' || end.kind === 'crashed') this.log.warn(`estimate: ${english(end.message)}`);
      if (!disposed) onEnd();
    });
    return new vscode.Disposable(() => {
      disposed = true;
      void trainer.stop();
    });
  }
}
