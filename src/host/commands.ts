/**
 * Every command of the extension: what it is called with from palette, sidebar, panel and status bar, and what it does.
 * Registered by `extension.ts`.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as vscode from 'vscode';
import type { DatasetName, Experiment, Preset } from '../core/experiment';
import { findExperiment } from '../disk/experimentFiles';
import { message, UserError } from '../core/messages/message';
import { networks } from '../core/networks/catalog';
import { lockHolder } from '../disk/runs';
import type { ComparisonPanel } from './comparisonPanel';
import type { DatasetNode, Datasets } from './datasets';
import type { Estimator } from './estimator';
import type { ExamplesPanel } from './examples';
import type { Experiments, Node } from './experimentTree';
import type { LiveRuns } from './liveRuns';
import { datasetTitle, dateTime, t, translate } from './localize';
import type { Log } from './log';
import type { Panels } from './panels';
import { exportNetwork, reveal } from './exporting';
import {
  pickDataset,
  pickEngine,
  pickExperiment,
  pickExperimentToStart,
  pickPreset,
  pickRun,
  pickTraining,
} from './picks';
import { Run } from './run';
import { resumable, RunLine, RunList } from './runList';
import { presetSetting, resolveWithSettings } from './settings';
import { confirm, notify } from './show';

/** Commands that train one experiment are called this and its id. */
const trainPrefix = 'convlab.train.';

export class Commands implements vscode.Disposable {
  private readonly registered: vscode.Disposable[];

  /**
   * @param contributed ids of the commands in package.json
   * @param terminal the bundled `convlab`, dist/cli.js
   */
  constructor(
    contributed: readonly string[],
    private readonly experiments: Experiments,
    private readonly live: LiveRuns,
    private readonly runs: RunList,
    private readonly panels: Panels,
    private readonly comparison: ComparisonPanel,
    private readonly estimator: Estimator,
    private readonly datasets: Datasets,
    private readonly examples: ExamplesPanel,
    private readonly log: Log,
    private readonly terminal: string,
  ) {
    this.registered = [
      log.command('convlab.train', () => this.trainAny()),
      ...contributed
        .filter((id) => id.startsWith(trainPrefix))
        .map((id) => log.command(id, () => this.train(this.experiment(id.slice(trainPrefix.length))))),
      log.command('convlab.runExperiment', (target) => this.runExperiment(target)),
      log.command('convlab.stop', (target) => this.stop(target)),
      log.command('convlab.resume', (target) => this.resume(target)),
      log.command('convlab.resumeWith', (target) => this.resumeWith(target)),
      log.command('convlab.openRun', (target) => this.openRun(target)),
      log.command('convlab.compare', (target) => this.comparison.show(isNode(target, 'run') ? [target.line] : [])),
      log.command('convlab.deleteRun', (target) => this.deleteRun(target)),
      log.command('convlab.revealRun', (target) => this.revealRun(target)),
      log.command('convlab.startFromRun', (target) => this.startFromRun(target)),
      log.command('convlab.exportRun', (target) => this.exportRun(target)),
      log.command('convlab.showExamples', (target) => this.showExamples(target)),
      log.command('convlab.fetchDataset', (target) => this.fetchDataset(target)),
      log.command('convlab.chooseCatDogFolder', () => datasets.chooseFolder()),
      log.command('convlab.revealDataset', (folder) => reveal(vscode.Uri.file(String(folder)))),
      log.command('convlab.refreshDatasets', () => datasets.refresh()),
      log.command('convlab.showLog', () => log.show()),
      log.command('convlab.refresh', () => {
        experiments.refresh();
        runs.refresh();
      }),
    ];
  }

  dispose(): void {
    this.registered.forEach((command) => command.dispose());
  }

  private experiment(id: string): Experiment {
    return findExperiment(this.experiments.folder, id);
  }

  private async trainAny(): Promise<void> {
    const experiment = await pickExperiment(this.experiments.usable);
    if (experiment) await this.train(experiment);
  }

  /** @param target an experiment of the tree, or the id of one */
  private async runExperiment(target: unknown): Promise<void> {
    if (typeof target === 'string') return this.train(this.experiment(target));
    if (isNode(target, 'experiment')) return this.train(target.experiment);
    return this.trainAny();
  }

  /** @param start a finished run to start from; the new run becomes its neighbour */
  private async train(experiment: Experiment, start?: RunLine): Promise<void> {
    const overrides = start && { 'network.weights': { run: start.name } };
    const resolve = (preset: Preset) => resolveWithSettings(experiment, preset, overrides);
    const wish = presetSetting();
    const preset = wish === 'ask' ? await pickPreset(experiment, resolve, this.estimator) : wish;
    if (preset === undefined) return;
    const runsFolder = start && path.dirname(start.folder);
    this.panels.show(this.live.start(resolve(preset), runsFolder));
  }

  /** @param target a run, an experiment of the tree, or nothing: the run that is being trained */
  private async stop(target: unknown): Promise<void> {
    if (target instanceof Run) return this.stopRun(target);
    if (isNode(target, 'run')) return this.stopRun(this.live.open(target.line.folder));
    const experiment = isNode(target, 'experiment') ? target.experiment : undefined;
    const training = this.live.training.filter((run) => !experiment || run.experiment.id === experiment.id);
    if (training.length === 0) return void notify('information', t(message('nothingToStop')));
    const chosen = await pickTraining(training, t(message('pickRunToStop')));
    await chosen?.stop();
  }

  private async stopRun(run: Run): Promise<void> {
    if (run.training) return run.stop();
    // A lock may be left over from another machine on the same disk, so its process is not ours to signal.
    const pid = run.folder === undefined ? undefined : lockHolder(run.folder);
    if (pid !== undefined) throw new UserError(message('runBusy', { run: run.name, pid }), message('stopElsewhere'));
  }

  private async resume(target: unknown): Promise<void> {
    const run = target instanceof Run ? target : await this.targetRun(target, 'pickRunToResume', resumable);
    if (!run) return;
    this.live.resume(run);
    this.panels.show(run);
  }

  /** Asks which engine is to go on with a run. */
  private async resumeWith(target: unknown): Promise<void> {
    const run = target instanceof Run ? target : await this.targetRun(target, 'pickRunToResume', resumable);
    const engine = run && (await pickEngine(run.history.engines.at(-1)?.engine));
    if (!run || engine === undefined) return;
    this.live.resume(run, engine);
    this.panels.show(run);
  }

  /** @param target a run, a run of the tree, a run's folder, or 'training': one of those that this window trains */
  private async openRun(target: unknown): Promise<void> {
    if (target === 'training') {
      const chosen = await pickTraining(this.live.training, t(message('pickRunToOpen')));
      if (chosen) this.panels.show(chosen);
      return;
    }
    const run = target instanceof Run ? target : await this.targetRun(target, 'pickRunToOpen', () => true);
    if (run) this.panels.show(run);
  }

  private async deleteRun(target: unknown): Promise<void> {
    const line = await this.targetLine(target, 'pickRunToDelete', (line) => !line.trainedHere);
    if (!line) return;
    const refuseBusy = () => {
      const pid = lockHolder(line.folder);
      if (pid === undefined) return;
      throw new UserError(message('runBusy', { run: line.name, pid }), message('runBusyAdvice'));
    };
    refuseBusy();
    const title = `${translate(line.record.experiment.title)}, ${dateTime(line.record.created)}`;
    const remove = t(message('buttonDelete'));
    const detail = t(message('deleteRunDetail', { folder: line.folder }));
    if (!(await confirm(t(message('deleteRunQuestion', { run: title })), detail, remove))) return;
    // It may have been resumed while the question stood there.
    refuseBusy();
    const held = this.live.find(line.folder);
    if (held) this.panels.close(held);
    const uri = vscode.Uri.file(line.folder);
    try {
      await vscode.workspace.fs.delete(uri, { recursive: true, useTrash: true });
    } catch (error) {
      this.log.info(`No trash for ${line.folder}: ${String(error)}`);
      const forever = t(message('buttonDeleteForever'));
      const more = t(message('deleteForeverDetail', { folder: line.folder }));
      if (!(await confirm(t(message('deleteForeverQuestion', { run: title })), more, forever))) return;
      refuseBusy();
      await vscode.workspace.fs.delete(uri, { recursive: true, useTrash: false });
    }
    this.comparison.forget(line.folder);
    this.runs.refresh();
  }

  private async revealRun(target: unknown): Promise<void> {
    const folder =
      target instanceof Run ? target.folder : (await this.targetLine(target, 'pickRunToReveal', () => true))?.folder;
    if (folder === undefined) {
      // From a panel whose run has no folder yet.
      if (target instanceof Run) void notify('information', t(message('runWithoutFolder')));
      return;
    }
    await reveal(vscode.Uri.file(folder));
  }

  /** Trains an experiment of the same network from what a run has learnt. */
  private async startFromRun(target: unknown): Promise<void> {
    const line = await this.targetLine(target, 'pickRunToStartFrom', ({ state }) => state === 'finished');
    if (!line) return;
    if (line.state !== 'finished') {
      throw new UserError(message('runNotFinished', { run: line.name }), message('runNotFinishedAdvice'));
    }
    const { name } = line.record.experiment.network;
    const experiments = this.experiments.usable.filter(({ network }) => network.name === name);
    const network = networks[name].title;
    if (experiments.length === 0) throw new UserError(message('startNoExperiment', { network }));
    const experiment = await pickExperimentToStart(experiments, network);
    if (experiment) await this.train(experiment, line);
  }

  private async exportRun(target: unknown): Promise<void> {
    const line = await this.targetLine(target, 'pickRunToExport', ({ state }) => state === 'finished');
    if (line) await exportNetwork(line, this.terminal);
  }

  /** @param target an experiment of the tree, a dataset, or nothing: the user's choice */
  private async showExamples(target: unknown): Promise<void> {
    let experiment: Experiment | undefined;
    if (isNode(target, 'experiment')) experiment = target.experiment;
    else if (isDataset(target)) experiment = this.exampleOf(target.name);
    else experiment = await pickExperiment(this.experiments.usable);
    if (experiment) this.examples.show(resolveWithSettings(experiment, 'course'));
  }

  /** An experiment on a dataset, one that augments where there is one. */
  private exampleOf(dataset: DatasetName): Experiment {
    const using = this.experiments.usable.filter((experiment) => experiment.dataset.name === dataset);
    const found = using.find(({ augment }) => augment) ?? using[0];
    if (found) return found;
    throw new UserError(message('datasetNoExperiment', { dataset: datasetTitle(dataset) }));
  }

  /** @param target a dataset of the sidebar, or nothing: the user's choice */
  private async fetchDataset(target: unknown): Promise<void> {
    const name = isDataset(target) ? target.name : await pickDataset();
    if (name) await this.datasets.fetch(name);
  }

  private async targetRun(
    target: unknown,
    question: 'pickRunToOpen' | 'pickRunToResume',
    fits: (line: RunLine) => boolean,
  ): Promise<Run | undefined> {
    const line = await this.targetLine(target, question, fits);
    return line && this.live.open(line.folder);
  }

  /** The run that a command is about: a node of the tree, a folder in one of the runs folders, or the user's choice. */
  private async targetLine(
    target: unknown,
    question:
      | 'pickRunToOpen'
      | 'pickRunToResume'
      | 'pickRunToDelete'
      | 'pickRunToReveal'
      | 'pickRunToExport'
      | 'pickRunToStartFrom',
    fits: (line: RunLine) => boolean,
  ): Promise<RunLine | undefined> {
    if (isNode(target, 'run')) {
      const { line } = target;
      if (!fs.existsSync(line.folder)) {
        this.runs.refresh();
        throw new UserError(message('runNotFound', { folder: line.folder }));
      }
      return line;
    }
    const lines = await this.runs.lines();
    if (typeof target === 'string') {
      const line = lines.find(({ folder }) => folder === path.normalize(target));
      if (!line) throw new UserError(message('runNotFound', { folder: target }));
      return line;
    }
    const fitting = lines.filter(fits);
    if (fitting.length === 0) {
      void notify('information', t(message('noRuns')));
      return undefined;
    }
    return pickRun(fitting, t(message(question)));
  }
}

const isDataset = (target: unknown): target is DatasetNode =>
  typeof target === 'object' && target !== null && (target as { kind?: unknown }).kind === 'dataset';

function isNode<Kind extends Node['kind']>(target: unknown, kind: Kind): target is Extract<Node, { kind: Kind }> {
  return typeof target === 'object' && target !== null && (target as { kind?: unknown }).kind === kind;
}
