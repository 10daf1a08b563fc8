/**
 * The sidebar's tree: the course's experiments in groups by network, their runs below. It shows what `RunList` finds
 * and is redrawn only where something visible has changed.
 */
import * as path from 'node:path';
import * as vscode from 'vscode';
import type { Experiment } from '../core/experiment';
import { ExperimentFile, loadExperiments } from '../disk/experimentFiles';
import type { RunState } from '../core/history';
import { message, UserError } from '../core/messages/message';
import { MessageId } from '../core/messages/texts';
import { networkNames, networks } from '../core/networks/catalog';
import { dateTime, errorSentence, figure, t, translate } from './localize';
import type { Log } from './log';
import { resumable, RunLine, RunList } from './runList';
import { workspaceFolders } from './settings';
import { shown, treeItem } from './show';

export interface GroupNode {
  readonly kind: 'group';
  readonly title: string;
  readonly children: readonly (ExperimentNode | RunNode | BrokenNode | ComparisonNode)[];
}

export interface ExperimentNode {
  readonly kind: 'experiment';
  readonly experiment: Experiment;
  /** Newest first. */
  readonly runs: readonly RunNode[];
  /** Whether a run of this window is on its way that has no folder yet. */
  readonly starting: boolean;
}

export interface RunNode {
  readonly kind: 'run';
  readonly line: RunLine;
}

/** An experiment file that is none. */
export interface BrokenNode {
  readonly kind: 'broken';
  readonly file: string;
  readonly reason: string;
}

/** The way to the summary table. */
export interface ComparisonNode {
  readonly kind: 'comparison';
  /** Runs that it can show. */
  readonly runs: number;
}

export type Node = GroupNode | ExperimentNode | RunNode | BrokenNode | ComparisonNode;

/** The experiment files of the extension; read when first asked for. */
export class Experiments {
  private files?: readonly ExperimentFile[];

  constructor(readonly folder: string) {}

  get all(): readonly ExperimentFile[] {
    return (this.files ??= loadExperiments(this.folder));
  }

  get usable(): Experiment[] {
    return this.all.flatMap((file) => (file.experiment ? [file.experiment] : []));
  }

  refresh(): void {
    this.files = undefined;
  }
}

/**
 * Arranges experiments and runs as the tree shows them; groups without content are left out.
 * @param starting ids of the experiments of runs that have no folder yet
 */
export function arrange(
  files: readonly ExperimentFile[],
  lines: readonly RunLine[],
  starting: ReadonlySet<string> = new Set(),
): GroupNode[] {
  const experiments = files.flatMap((file) => (file.experiment ? [file.experiment] : []));
  const ids = new Set(experiments.map((experiment) => experiment.id));
  const runsOf = (id: string): RunNode[] =>
    lines.filter((line) => line.record.experiment.id === id).map((line) => ({ kind: 'run', line }));
  const inAppendix = ({ chapter }: Experiment) => chapter.startsWith('A');
  const group = (title: string, belongs: (experiment: Experiment) => boolean): GroupNode => ({
    kind: 'group',
    title,
    children: experiments.filter(belongs).map((experiment) => ({
      kind: 'experiment',
      experiment,
      runs: runsOf(experiment.id),
      starting: starting.has(experiment.id),
    })),
  });
  const groups: GroupNode[] = networkNames.map((name) =>
    group(networks[name].title, (experiment) => experiment.network.name === name && !inAppendix(experiment)),
  );
  groups.push({
    kind: 'group',
    title: t(message('comparison')),
    children: [{ kind: 'comparison', runs: lines.filter(({ epochsDone }) => epochsDone > 0).length }],
  });
  groups.push(group(t(message('treeAppendix')), inAppendix));
  groups.push({
    kind: 'group',
    title: t(message('treeOtherRuns')),
    children: lines.filter((line) => !ids.has(line.record.experiment.id)).map((line) => ({ kind: 'run', line })),
  });
  groups.push({
    kind: 'group',
    title: t(message('treeBroken')),
    children: files.flatMap(({ file, error }) =>
      error
        ? [{ kind: 'broken', file, reason: error instanceof UserError ? errorSentence(error) : String(error) }]
        : [],
    ),
  });
  return groups.filter((group) => group.children.length > 0);
}

const stateTexts: Record<RunState, MessageId> = {
  starting: 'stateStarting',
  running: 'stateRunning',
  finished: 'stateFinished',
  stopped: 'stateStopped',
  interrupted: 'stateInterrupted',
  failed: 'stateFailed',
};

const stateText = (state: RunState): string => t({ id: stateTexts[state], args: {} });

/** "epoch 2/3" for the epoch under way. */
export const describeEpoch = (done: number, epochs: number): string =>
  t(message('treeEpoch', { epoch: Math.min(epochs, done + 1), epochs }));

const underWay = (line: RunLine): boolean => line.state === 'running' || line.state === 'starting';

/** A final figure that is not that of a test set. */
const ofValidation = (accuracy: number): string => t(message('accuracyOfValidation', { accuracy: figure(accuracy) }));

/** How far a run has come: "epoch 2/3 · 0.9712", "finished · 0.9891". */
function describeProgress(line: RunLine): string {
  const { state, testAccuracy, testedOnTestSet, bestValidationAccuracy, epochsDone, record } = line;
  const accuracy = testAccuracy ?? bestValidationAccuracy;
  const shown = accuracy === undefined ? [] : [testedOnTestSet === false ? ofValidation(accuracy) : figure(accuracy)];
  return [underWay(line) ? describeEpoch(epochsDone, record.experiment.epochs) : stateText(state), ...shown].join(
    ' · ',
  );
}

/** One line about a run: "quick · epoch 2/3 · 0.9712". */
export function describeRun(line: RunLine): string {
  const preset = t(message(line.record.experiment.preset === 'quick' ? 'presetQuick' : 'presetCourse'));
  return `${preset} · ${describeProgress(line)}`;
}

/**
 * How often a visible tree looks at the runs folders by itself. File-system watchers alone will not do: they miss
 * folders that are made together with their parents, as a first run's are, and changes on network disks.
 */
const lookIntervalMs = 3000;

export class ExperimentTree implements vscode.TreeDataProvider<Node>, vscode.Disposable {
  private readonly changes = new vscode.EventEmitter<void>();
  readonly onDidChangeTreeData = this.changes.event;
  private readonly subscription: vscode.Disposable;
  private timer?: NodeJS.Timeout;
  private roots?: Promise<GroupNode[]>;
  private drawn = '';
  private updating = false;
  private outdated = false;

  constructor(
    private readonly experiments: Experiments,
    private readonly runs: RunList,
    private readonly log: Log,
  ) {
    this.subscription = runs.onDidChange(() => log.guard(() => this.update()));
  }

  async getChildren(node?: Node): Promise<Node[]> {
    if (node === undefined) {
      const roots = await (this.roots ??= this.load());
      this.drawn = appearance(roots);
      return roots;
    }
    if (node.kind === 'group') return [...node.children];
    return node.kind === 'experiment' ? [...node.runs] : [];
  }

  getTreeItem(node: Node): vscode.TreeItem {
    return shown(itemOf(node));
  }

  /** Told whether anybody can see the tree. */
  visible(visible: boolean): void {
    clearInterval(this.timer);
    this.timer = undefined;
    if (!visible) return;
    const look = () => this.log.guard(() => this.update());
    look();
    this.timer = setInterval(look, lookIntervalMs);
  }

  dispose(): void {
    this.visible(false);
    this.subscription.dispose();
    this.changes.dispose();
  }

  private async load(): Promise<GroupNode[]> {
    return arrange(this.experiments.all, await this.runs.lines(), this.runs.starting);
  }

  private async update(): Promise<void> {
    // Nobody has looked yet; or it is being read, and what is asked for now may be too late for that.
    if (!this.roots) return;
    this.outdated = true;
    if (this.updating) return;
    this.updating = true;
    try {
      while (this.outdated) {
        this.outdated = false;
        const roots = await this.load();
        this.roots = Promise.resolve(roots);
        // Redrawing closes hovers, so a step more is no reason to do it.
        if (appearance(roots) !== this.drawn) this.changes.fire();
      }
    } finally {
      this.updating = false;
    }
  }
}

/** What the tree looks like, to tell whether it has changed. */
function appearance(nodes: readonly Node[]): string {
  return JSON.stringify(
    nodes.map(function draw(node): unknown {
      const { label, id, description, contextValue, tooltip } = itemOf(node);
      const children = node.kind === 'group' ? node.children : node.kind === 'experiment' ? node.runs : [];
      return [label, id, description, contextValue, tooltip, children.map(draw)];
    }),
  );
}

const { Collapsed, Expanded, None } = vscode.TreeItemCollapsibleState;

/** How a node looks. */
export function itemOf(node: Node): vscode.TreeItem {
  switch (node.kind) {
    case 'group': {
      const item = treeItem(node.title, Expanded);
      item.id = `group:${node.title}`;
      item.contextValue = 'group';
      return item;
    }
    case 'broken': {
      const item = treeItem(path.basename(node.file), None);
      item.id = `broken:${node.file}`;
      item.tooltip = node.reason;
      item.description = t(message('treeBrokenDescription'));
      item.iconPath = new vscode.ThemeIcon('warning', new vscode.ThemeColor('list.warningForeground'));
      item.contextValue = 'broken';
      item.command = { command: 'vscode.open', title: item.description, arguments: [vscode.Uri.file(node.file)] };
      return item;
    }
    case 'comparison': {
      const item = treeItem(t(message('compareSummary')), None);
      item.id = 'comparison';
      item.contextValue = 'comparison';
      item.description =
        node.runs === 0
          ? ''
          : t(node.runs === 1 ? message('compareOneRun') : message('compareRuns', { count: node.runs }));
      item.tooltip = t(message('compareTip'));
      item.accessibilityInformation = { label: [item.label, item.description].filter(Boolean).join(', ') };
      item.iconPath = new vscode.ThemeIcon('graph-line');
      item.command = { command: 'convlab.compare', title: t(message('comparison')) };
      return item;
    }
    case 'experiment':
      return experimentItem(node);
    case 'run':
      return runItem(node);
  }
}

function experimentItem({ experiment, runs, starting }: ExperimentNode): vscode.TreeItem {
  const title = translate(experiment.title);
  const item = treeItem(title, runs.length > 0 ? Collapsed : None);
  const trainedHere = starting || runs.some(({ line }) => line.trainedHere);
  const training = runs.find(({ line }) => underWay(line))?.line;
  const tested = runs.flatMap(({ line }) => (line.testAccuracy === undefined ? [] : [line.testAccuracy]));
  const best = tested.length > 0 ? Math.max(...tested) : undefined;
  const onTestSet = runs.every(({ line }) => line.testedOnTestSet !== false);
  const state = training?.state ?? (starting ? 'starting' : runs[0]?.line.state);
  item.id = `experiment:${experiment.id}`;
  item.contextValue = trainedHere ? 'experiment.running' : 'experiment';
  item.description = training
    ? describeProgress(training)
    : starting
      ? t(message('panelStarting'))
      : best === undefined
        ? ''
        : onTestSet
          ? figure(best)
          : ofValidation(best);
  item.iconPath = stateIcon(state);
  item.tooltip = [
    title,
    translate(experiment.question),
    best === undefined ? '' : t(message(onTestSet ? 'treeBest' : 'treeBestValidation', { accuracy: figure(best) })),
  ]
    .filter(Boolean)
    .join('\n\n');
  const spoken = state === undefined ? t(message('stateNotRun')) : stateText(state);
  item.accessibilityInformation = { label: [title, spoken, item.description].filter(Boolean).join(', ') };
  return item;
}

function runItem({ line }: RunNode): vscode.TreeItem {
  const time = dateTime(line.record.created);
  const item = treeItem(time, None);
  item.id = `run:${line.folder}`;
  item.description = describeRun(line);
  item.iconPath = stateIcon(line.state);
  const kind = line.trainedHere
    ? 'running'
    : resumable(line)
      ? 'resumable'
      : line.state === 'finished'
        ? 'finished'
        : 'elsewhere';
  item.contextValue = `run.${kind}`;
  const where = workspaceFolders().length > 1 || kind === 'elsewhere' ? [line.folder] : [line.name];
  if (kind === 'elsewhere') where.push(t(message('treeElsewhere')));
  item.tooltip = [translate(line.record.experiment.title), item.description, ...where].join('\n\n');
  item.command = {
    command: 'convlab.openRun',
    title: t(message('buttonShowChart')),
    arguments: [{ kind: 'run', line }],
  };
  item.accessibilityInformation = { label: `${time}, ${item.description}` };
  return item;
}

function stateIcon(state: RunState | undefined): vscode.ThemeIcon {
  const coloured = (icon: string, color: string) => new vscode.ThemeIcon(icon, new vscode.ThemeColor(color));
  switch (state) {
    case undefined:
      return new vscode.ThemeIcon('circle-outline');
    case 'starting':
    case 'running':
      return new vscode.ThemeIcon('loading~spin');
    case 'finished':
      return coloured('pass', 'testing.iconPassed');
    case 'failed':
      return coloured('error', 'testing.iconFailed');
    case 'stopped':
      return new vscode.ThemeIcon('debug-pause');
    case 'interrupted':
      return coloured('debug-disconnect', 'list.warningForeground');
  }
}
