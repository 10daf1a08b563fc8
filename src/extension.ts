/**
 * The extension's entry: builds the parts of the editor's side, hands them to one another, and lets running trainers
 * write their checkpoints when the window goes away. Nothing is read from disk here; the parts read when asked.
 */
import * as path from 'node:path';
import * as vscode from 'vscode';
import { Commands } from './host/commands';
import { ComparisonPanel, comparisonType } from './host/comparisonPanel';
import { Datasets } from './host/datasets';
import { EngineTree } from './host/engineTree';
import { Estimator } from './host/estimator';
import { ExamplesPanel } from './host/examples';
import { Experiments, ExperimentTree } from './host/experimentTree';
import { LiveRuns } from './host/liveRuns';
import { loadTranslations, t } from './host/localize';
import { Log } from './host/log';
import { Notices } from './host/notices';
import { Panels, panelType } from './host/panels';
import { Resumption } from './host/resumption';
import { RunList } from './host/runList';
import { nodeSetting, proxyEnvironment, workspaceFolders } from './host/settings';
import { TensorflowSetup } from './host/tensorflowSetup';
import { message } from './core/messages/message';
import type { TrainerOptions } from './trainerClient';

let live: LiveRuns | undefined;

export function activate(context: vscode.ExtensionContext): void {
  loadTranslations(context.extensionPath);
  const log = new Log();
  const { globalStorageUri } = context;
  const trainer = (): TrainerOptions => ({
    script: path.join(context.extensionPath, 'dist', 'trainer.js'),
    execPath: nodeSetting(),
    env: { CONVLAB_STORAGE: globalStorageUri.fsPath, ...proxyEnvironment() },
    lowPriority: true,
  });
  live = new LiveRuns(trainer, globalStorageUri, log);
  const experiments = new Experiments(path.join(context.extensionPath, 'experiments'));
  const runs = new RunList(globalStorageUri, live);
  const panels = new Panels(context.extensionUri, live, log, () => runs.folders, trainer);
  const datasets = new Datasets(trainer, log);
  const examples = new ExamplesPanel(context.extensionUri, trainer, log);
  const comparison = new ComparisonPanel(context.extensionUri, runs, log);
  const tree = new ExperimentTree(experiments, runs, log);
  const view = vscode.window.createTreeView('convlab.experiments', { treeDataProvider: tree, showCollapseAll: true });
  const engines = new EngineTree(trainer, live, log);
  const sayWhereRunsGo = () => {
    view.message = workspaceFolders().length === 0 ? t(message('treeNoFolder')) : undefined;
  };
  const datasetView = vscode.window.createTreeView('convlab.datasets', { treeDataProvider: datasets });
  sayWhereRunsGo();
  datasets.visible(datasetView.visible);
  tree.visible(view.visible);

  const { commands } = (context.extension.packageJSON as { contributes: { commands: { command: string }[] } })
    .contributes;
  context.subscriptions.push(
    log,
    live,
    runs,
    panels,
    comparison,
    tree,
    view,
    datasets,
    datasetView,
    examples,
    datasetView.onDidChangeVisibility(({ visible }) => datasets.visible(visible)),
    engines,
    vscode.window.createTreeView('convlab.engines', { treeDataProvider: engines }),
    view.onDidChangeVisibility(({ visible }) => tree.visible(visible)),
    vscode.workspace.onDidChangeWorkspaceFolders(sayWhereRunsGo),
    new Notices(live, log),
    new Commands(
      commands.map(({ command }) => command),
      experiments,
      live,
      runs,
      panels,
      comparison,
      new Estimator(trainer, live, () => runs.folders, log),
      datasets,
      examples,
      log,
      path.join(context.extensionPath, 'dist', 'cli.js'),
    ),
    new TensorflowSetup(globalStorageUri.fsPath, trainer, () => engines.refresh(), log),
    new Resumption(live, panels, runs, context.workspaceState, log),
    vscode.window.registerWebviewPanelSerializer(panelType, panels),
    vscode.window.registerWebviewPanelSerializer(comparisonType, comparison),
  );
}

export function deactivate(): Promise<void> | undefined {
  return live?.release();
}
