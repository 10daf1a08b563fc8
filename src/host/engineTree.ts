/**
 * The sidebar's view of engines: whether each can train here, on what and how fast, why not, and the one action that would
 * change it. A trainer process looks at them when the view is first shown, and measures them when it is asked to.
 */
import * as vscode from 'vscode';
import { isMeasurable, speedWords } from '../core/estimates';
import { Message, message, threadsMessage, UserError } from '../core/messages/message';
import { MessageId } from '../core/messages/texts';
import { networks } from '../core/networks/catalog';
import type { EngineName } from '../core/contracts/events';
import type { EngineReport, EngineRequest, NetworkSpeed } from '../core/contracts/tasks';
import { endError, startTask, TrainerOptions } from '../trainerClient';
import type { LiveRuns } from './liveRuns';
import { count, errorSentence, sentence, t } from './localize';
import type { Log } from './log';
import { underNotification } from './notification';
import { affects, engineSetting, threadsSetting } from './settings';
import { notify, pick, shown, treeItem } from './show';

export interface EngineNode {
  readonly kind: 'engine';
  readonly report: EngineReport;
}

/** A line about an engine. */
interface FactNode {
  readonly kind: 'fact';
  readonly id: string;
  readonly label: string;
  readonly description?: string;
  readonly tooltip?: string;
  readonly icon: string;
  readonly command?: vscode.Command;
}

type Node = EngineNode | FactNode;

/** What a button does about an action; the other actions are for the user's own hands. */
interface Remedy {
  readonly title: MessageId;
  readonly icon: string;
  readonly command: string;
  readonly arguments?: readonly unknown[];
}
const setUpTensorflow = { title: 'engineSetUp', icon: 'cloud-download', command: 'convlab.setUpTensorflow' } as const;
const chooseNode = {
  title: 'engineSetNode',
  icon: 'settings-gear',
  command: 'workbench.action.openSettings',
  arguments: ['convlab.node'],
} as const;
const remedies: Partial<Record<MessageId, Remedy>> = {
  tensorflowSetUp: setUpTensorflow,
  tensorflowSetUpAgain: setUpTensorflow,
  setNode: chooseNode,
  setNodeTo: chooseNode,
};

export class EngineTree implements vscode.TreeDataProvider<Node>, vscode.Disposable {
  private readonly changes = new vscode.EventEmitter<void>();
  readonly onDidChangeTreeData = this.changes.event;
  private readonly subscriptions: vscode.Disposable[];
  private reports?: Promise<readonly EngineReport[]>;
  /** Engines whose measurement was cancelled: the next one goes on instead of beginning anew. */
  private readonly half = new Set<EngineName>();

  /** @param trainer how trainers are started; throws UserError where a setting is unusable */
  constructor(
    private readonly trainer: () => TrainerOptions,
    private readonly live: LiveRuns,
    private readonly log: Log,
  ) {
    this.subscriptions = [
      log.command('convlab.refreshEngines', () => this.refresh()),
      log.command('convlab.measureEngine', (target) => this.measure(target)),
      log.command('convlab.explainEngine', (target) => this.explain(target)),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (affects(event, 'node') || affects(event, 'threads')) this.refresh();
        else if (affects(event, 'engine')) this.changes.fire();
      }),
    ];
  }

  async getChildren(node?: Node): Promise<Node[]> {
    if (node?.kind === 'engine') return facts(node.report);
    if (node) return [];
    try {
      return (await this.look()).map((report) => ({ kind: 'engine', report }));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.log.warn(error.message);
      const command = { command: 'convlab.refreshEngines', title: t(message('engineLookAgain')) };
      const text = errorSentence(error);
      return [{ kind: 'fact', id: 'failed', label: text, tooltip: text, icon: 'error', command }];
    }
  }

  getTreeItem(node: Node): vscode.TreeItem {
    return shown(node.kind === 'engine' ? engineItem(node.report) : factItem(node));
  }

  /** Forgets what the engines said; they are asked when the view is drawn. */
  refresh(): void {
    this.reports = undefined;
    this.changes.fire();
  }

  dispose(): void {
    this.subscriptions.forEach((subscription) => subscription.dispose());
    this.changes.dispose();
  }

  private look(): Promise<readonly EngineReport[]> {
    this.reports ??= this.ask();
    return this.reports;
  }

  private async ask(): Promise<readonly EngineReport[]> {
    const request = { threads: threadsSetting() };
    const end = await startTask('engines', request, this.options(), { onLog: this.onLog }).ended;
    if (end.kind === 'failed' || end.kind === 'crashed') throw endError(end);
    return end.kind === 'finished' ? end.result : [];
  }

  private readonly onLog = (line: string): void => this.log.info(`engines: ${line}`);

  private options(): TrainerOptions {
    return { ...this.trainer(), graceMs: 3000 };
  }

  /** @param target an engine of the view, or nothing: the user's choice */
  private async measure(target: unknown): Promise<void> {
    const report = await this.target(target, isMeasurable, 'pickEngineToMeasure');
    if (!report) return;
    if (this.live.training.length > 0) throw new UserError(message('measureBusy'), message('measureBusyAdvice'));
    const { engine, speeds } = report;
    const again = speeds.length > 0 && !this.half.has(engine);
    const failures: string[] = [];
    const end = await underNotification(
      t(message('measuringEngine', { engine })),
      'measure',
      { engine, threads: threadsSetting(), again },
      this.options(),
      {
        onUpdate: (update) => {
          if (update.type !== 'unmeasured') return;
          const { network, reason } = update;
          failures.push(t(message('unmeasuredLine', { network: networks[network].title, reason })));
        },
        onLog: this.onLog,
      },
    );
    if (end.kind === 'stopped') this.half.add(engine);
    else this.half.delete(engine);
    this.refresh();
    if (end.kind === 'failed' || end.kind === 'crashed') throw endError(end);
    if (failures.length > 0) void notify('warning', failures.join(' '));
  }

  /** Shows the whole sentence on an engine, with a button where one can help. */
  private async explain(target: unknown): Promise<void> {
    const report = await this.target(target, () => true, 'pickEngineToExplain');
    if (!report) return;
    const remedy = remedyFor(report);
    const button = remedy && word(remedy.title);
    const text = `${report.engine}: ${about(report)}`;
    const choice = await notify('information', text, ...(button ? [button] : []));
    if (remedy && choice === button) {
      await vscode.commands.executeCommand(remedy.command, ...(remedy.arguments ?? []));
    }
  }

  private async target(
    target: unknown,
    fits: (report: EngineReport) => boolean,
    question: 'pickEngineToMeasure' | 'pickEngineToExplain',
  ): Promise<EngineReport | undefined> {
    const reports = await this.look();
    const named = typeof target === 'string' ? target : (target as Partial<EngineNode> | undefined)?.report?.engine;
    if (named !== undefined) return reports.find(({ engine }) => engine === named);
    const items = reports.filter(fits).map((report) => ({
      label: report.engine,
      description: report.device?.name ?? stateOf(report).text,
      report,
    }));
    return (await pick(items, t(message(question))))?.report;
  }
}

const remedyFor = ({ action }: EngineReport): Remedy | undefined => action && remedies[action.id];

/** Why it is not available or not chosen, and what to do; else what it computes on. Then what else is to be known. */
function about({ reason, action, device, notes = [] }: EngineReport): string {
  const threads = device?.threads === undefined ? [] : [t(threadsMessage(device.threads))];
  const first = reason ? sentence(reason, action) : [device!.name, ...threads].join(', ');
  return [first, notes.map(t).join(' ')].filter(Boolean).join(reason ? ' ' : ' – ');
}

/** What a run started now would do with the engine, in a word, and its icon. */
function stateOf({ engine, usable, preferred }: EngineReport): { text: string; icon: vscode.ThemeIcon } {
  let setting: EngineRequest = 'auto';
  try {
    setting = engineSetting();
  } catch {
    // Starting a run says what is wrong with the setting.
  }
  const icon = (id: string, color?: string) =>
    new vscode.ThemeIcon(id, color ? new vscode.ThemeColor(color) : undefined);
  if (!usable) {
    return setting === engine
      ? { text: t(message('engineStateWanted')), icon: icon('warning', 'list.warningForeground') }
      : { text: t(message('engineStateUnusable')), icon: icon('circle-slash') };
  }
  return setting === engine || (setting === 'auto' && preferred)
    ? { text: t(message('engineStateChosen')), icon: icon('pass-filled', 'testing.iconPassed') }
    : { text: t(message('engineStateReady')), icon: icon('pass') };
}

function engineItem(report: EngineReport): vscode.TreeItem {
  const { engine, preferred } = report;
  const { Collapsed, Expanded } = vscode.TreeItemCollapsibleState;
  const item = treeItem(engine, preferred ? Expanded : Collapsed);
  const state = stateOf(report);
  item.id = `engine:${engine}`;
  item.contextValue = isMeasurable(report) ? 'engine.measurable' : 'engine';
  item.description = state.text;
  item.iconPath = state.icon;
  item.tooltip = [word(engineTexts[engine]), about(report)].join('\n\n');
  item.accessibilityInformation = { label: `${engine}, ${state.text}` };
  return item;
}

const engineTexts: Record<EngineName, MessageId> = {
  tensorflow: 'engineTensorflow',
  webgpu: 'engineWebgpu',
  onnx: 'engineOnnx',
};

function facts(report: EngineReport): FactNode[] {
  const { engine, device, reason, notes = [], action, speeds } = report;
  const fact = (name: string, icon: string, label: string, more: Partial<FactNode> = {}): FactNode => ({
    kind: 'fact',
    id: `${engine}:${name}`,
    icon,
    label,
    ...more,
  });
  const nodes: FactNode[] = [];
  const explain = { command: 'convlab.explainEngine', title: t(message('engineExplain')), arguments: [engine] };
  const spelledOut = (what: Message) => ({ tooltip: t(what), command: explain });
  if (reason) nodes.push(fact('reason', device ? 'info' : 'question', t(reason), spelledOut(reason)));
  notes.forEach((note, i) => nodes.push(fact(`note${i}`, 'info', t(note), { tooltip: t(note) })));
  if (device) {
    nodes.push(fact('device', device.kind === 'gpu' ? 'circuit-board' : 'chip', device.name, { tooltip: device.name }));
    if (device.threads !== undefined) nodes.push(fact('threads', 'server-process', t(threadsMessage(device.threads))));
  }
  for (const speed of speeds) nodes.push(speedFact(engine, speed));
  const remedy = remedyFor(report);
  if (action && remedy) {
    const title = word(remedy.title);
    const command = { command: remedy.command, title, arguments: [...(remedy.arguments ?? [])] };
    nodes.push(fact('action', remedy.icon, title, { tooltip: t(action), command }));
  } else if (action) {
    nodes.push(fact('action', 'lightbulb', t(action), spelledOut(action)));
  } else if (isMeasurable(report) && speeds.length === 0) {
    const title = t(message('engineMeasure'));
    const command = { command: 'convlab.measureEngine', title, arguments: [engine] };
    nodes.push(fact('action', 'dashboard', title, { tooltip: t(message('engineMeasureTip')), command }));
  }
  return nodes;
}

function speedFact(engine: EngineName, { shape, imagesPerSecond, exact }: NetworkSpeed): FactNode {
  const { network, size, batchSize } = shape;
  const rate = speedWords(imagesPerSecond, count);
  const args = { network: networks[network].title, size, batch: batchSize, rate };
  return {
    kind: 'fact',
    id: `${engine}:${network}-${size}`,
    icon: 'dashboard',
    label: `${args.network}, ${size}×${size}`,
    description: t(message(exact ? 'engineSpeed' : 'engineSpeedTold', { rate })),
    tooltip: t(message(exact ? 'speedLine' : 'speedLineTold', args)).trim(),
  };
}

function factItem({ id, label, description, tooltip, icon, command }: FactNode): vscode.TreeItem {
  const item = treeItem(label, vscode.TreeItemCollapsibleState.None);
  item.id = `fact:${id}`;
  item.contextValue = 'fact';
  item.description = description;
  item.tooltip = tooltip;
  item.iconPath = new vscode.ThemeIcon(icon);
  item.command = command;
  item.accessibilityInformation = { label: [label, description].filter(Boolean).join(', ') };
  return item;
}

const word = (id: MessageId): string => t({ id, args: {} });
