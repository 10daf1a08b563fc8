/**
 * The sidebar's view of datasets: where each lies, how many images it has, which files cannot be used, where it comes
 * from and under what terms. A trainer process looks; fetching and choosing a folder start here too.
 */
import * as path from 'node:path';
import * as vscode from 'vscode';
import { DatasetName, datasetNames } from '../core/experiment';
import { Message, message, UserError } from '../core/messages/message';
import { MessageId } from '../core/messages/texts';
import type { DatasetReport, DatasetRequest } from '../core/contracts/tasks';
import { endError, startTask, Trainer, TrainerEnd, TrainerListener, TrainerOptions } from '../trainerClient';
import { count, datasetTitle, errorSentence, sentence, t } from './localize';
import type { Log } from './log';
import { underNotification } from './notification';
import { notify, shown, treeItem } from './show';
import { affectsDataFolders, dataFolderFor, setCatDogFolder, workspaceFolders } from './settings';

/** What is known of a dataset. */
type Known =
  | { readonly kind: 'reading' }
  | { readonly kind: 'report'; readonly report: DatasetReport }
  | { readonly kind: 'failed'; readonly message: Message; readonly advice?: Message };

export interface DatasetNode {
  readonly kind: 'dataset';
  readonly name: DatasetName;
  readonly known: Known;
}

/** A line below a dataset. */
export interface DetailNode {
  readonly kind: 'detail';
  readonly icon: string;
  readonly label: string;
  readonly description?: string;
  /** Where label and description do not say all. */
  readonly tooltip?: string;
  /** Opened by a click. */
  readonly folder?: string;
}

/** Whether a dataset, or a part of it, has to be fetched before it can be used. */
const unfetched = ({ folder }: DatasetReport): boolean => folder === undefined;

/** Whether CIFAR-10's cats and dogs stand in for a folder of the user's. */
const isStandIn = ({ provenance }: DatasetReport): boolean => provenance.note?.id === 'cifar10StandsIn';

const imagesOf = ({ classes }: DatasetReport): number => classes.reduce((sum, c) => sum + c.count, 0);

export class Datasets implements vscode.TreeDataProvider<DatasetNode | DetailNode>, vscode.Disposable {
  private readonly changes = new vscode.EventEmitter<void>();
  readonly onDidChangeTreeData = this.changes.event;
  private readonly known = new Map<DatasetName, Known>();
  private readonly subscriptions: vscode.Disposable[];
  /** Asked for and not yet looked at; one trainer at a time does so. */
  private waiting: DatasetName[] = [];
  private looking?: Trainer;
  private isVisible = false;

  /** @param trainer how trainers are started; throws UserError where a setting is unusable */
  constructor(
    private readonly trainer: () => TrainerOptions,
    private readonly log: Log,
  ) {
    this.subscriptions = [
      vscode.workspace.onDidChangeConfiguration((event) => affectsDataFolders(event) && this.refresh()),
      vscode.workspace.onDidChangeWorkspaceFolders(() => this.refresh()),
    ];
  }

  getChildren(node?: DatasetNode | DetailNode): (DatasetNode | DetailNode)[] {
    if (node?.kind === 'dataset') return detailsOf(node.known);
    if (node) return [];
    return datasetNames.map((name) => ({ kind: 'dataset', name, known: this.known.get(name) ?? { kind: 'reading' } }));
  }

  getTreeItem(node: DatasetNode | DetailNode): vscode.TreeItem {
    return shown(node.kind === 'dataset' ? datasetItem(node) : detailItem(node));
  }

  /** Told whether anybody can see the view: nothing is looked at before. */
  visible(visible: boolean): void {
    this.isVisible = visible;
    if (visible && this.known.size === 0) this.refresh();
  }

  /** Looks at every dataset again, or, where nobody sees it, when somebody does. */
  refresh(): void {
    if (!this.isVisible) return this.known.clear();
    this.look(...datasetNames);
  }

  /** Fetches a dataset where it is missing, reads every file of it, and tells the user. */
  async fetch(name: DatasetName): Promise<void> {
    const dataset = datasetTitle(name);
    const report = await this.ask(name, true, (...task) => underNotification(dataset, 'dataset', ...task));
    if (!report) return;
    this.set(name, { kind: 'report', report });
    // The other one of CIFAR-10's may have become available with it.
    this.look(...datasetNames.filter((other) => other !== name));
    const { leftOut } = report;
    const text = t(message('datasetChecked', { dataset, count: count(imagesOf(report)), left: count(leftOut.count) }));
    if (leftOut.count === 0) void notify('information', text);
    else void notify('warning', [text, ...leftOut.reasons.map(t)].join(' '));
  }

  /** Asks for the folder of cats and dogs. */
  async chooseFolder(): Promise<void> {
    const chosen = await vscode.window.showOpenDialog({
      canSelectFolders: true,
      canSelectFiles: false,
      defaultUri: vscode.workspace.workspaceFolders?.[0]?.uri,
      openLabel: t(message('chooseFolderLabel')),
      title: t(message('imagesFolderAdvice')),
    });
    // The view follows the setting.
    if (chosen?.[0]) await setCatDogFolder(chosen[0].fsPath);
  }

  dispose(): void {
    this.waiting = [];
    void this.looking?.stop();
    this.subscriptions.forEach((subscription) => subscription.dispose());
    this.changes.dispose();
  }

  private look(...names: readonly DatasetName[]): void {
    this.waiting = [...new Set([...this.waiting, ...names])];
    if (!this.looking && this.waiting.length > 0) this.log.guard(() => this.lookAtNext());
  }

  private async lookAtNext(): Promise<void> {
    for (let name = this.waiting.shift(); name; name = this.waiting.shift()) {
      try {
        const report = await this.ask(name, false, (...task) => (this.looking = startTask('dataset', ...task)).ended);
        if (report) this.set(name, { kind: 'report', report });
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        this.set(name, { kind: 'failed', message: error.userMessage, advice: error.advice });
      } finally {
        this.looking = undefined;
      }
    }
  }

  /** @returns undefined where it was stopped @throws UserError */
  private async ask(
    dataset: DatasetName,
    verify: boolean,
    work: (
      request: DatasetRequest,
      options: TrainerOptions,
      listener: Pick<TrainerListener<'dataset'>, 'onLog'>,
    ) => PromiseLike<TrainerEnd<'dataset'>>,
  ): Promise<DatasetReport | undefined> {
    const request = { dataset, verify, dataFolder: dataFolderFor(dataset), searchFolders: workspaceFolders() };
    const onLog = (line: string) => this.log.info(`${dataset}: ${line}`);
    const end = await work(request, { ...this.trainer(), graceMs: 3000 }, { onLog });
    if ('message' in end) throw endError(end);
    return end.kind === 'finished' ? end.result : undefined;
  }

  private set(name: DatasetName, known: Known): void {
    this.known.set(name, known);
    this.changes.fire();
  }
}

/** A sidebar shows no more of a sentence than its beginning: what comes first there is why files cannot be used. */
const shortReasons: Partial<Record<MessageId, MessageId>> = {
  leftOutEmpty: 'leftOutEmptyShort',
  leftOutNotImage: 'leftOutNotImageShort',
  leftOutUnsupported: 'leftOutUnsupportedShort',
  leftOutCoding: 'leftOutCodingShort',
  leftOutCutShort: 'leftOutCutShortShort',
  leftOutDamaged: 'leftOutDamagedShort',
  leftOutTooLarge: 'leftOutTooLargeShort',
  leftOutUnreadable: 'leftOutUnreadableShort',
  leftOutLink: 'leftOutLinkShort',
};

/** Label of a line on files that cannot be used, and the rest of it. */
function leftOutLine(reason: Message): [string, Partial<DetailNode>?] {
  const id = shortReasons[reason.id];
  if (id === undefined) return [t(reason)];
  return [t({ id, args: reason.args }), { description: String(reason.args['example']), tooltip: t(reason) }];
}

/** The lines below a dataset. */
export function detailsOf(known: Known): DetailNode[] {
  const line = (icon: string, label: string, more: Partial<DetailNode> = {}): DetailNode => ({
    ...{ kind: 'detail', icon, label, ...more },
  });
  if (known.kind === 'reading') return [];
  if (known.kind === 'failed') return [line('error', sentence(known.message, known.advice))];
  const { report } = known;
  const { provenance, folder, parts, leftOut, classes } = report;
  const { train, validation, test } = parts;
  const given = [train, validation, test].some((n) => n !== undefined);
  return [
    ...(folder === undefined
      ? [line('cloud-download', t(message('datasetUnfetched')))]
      : [line('folder-opened', path.basename(folder), { description: path.dirname(folder), folder })]),
    line('symbol-class', t(message('runClasses')), {
      description: classes.map((c) => `${c.name} ${count(c.count)}`).join(', '),
    }),
    ...(given
      ? [
          line('layers', t(message('runExamples')), {
            description: t(
              message('runExamplesParts', {
                train: count(train ?? 0),
                validation: count(validation ?? 0),
                test: count(test ?? 0),
              }),
            ),
          }),
        ]
      : []),
    ...leftOut.reasons.map((reason) => line('warning', ...leftOutLine(reason))),
    ...(provenance.source === folder
      ? []
      : [line('package', t(message('datasetSource')), { description: provenance.source })]),
    line('law', t(message('dataTerms')), { description: t(provenance.terms) }),
    ...(provenance.note ? [line('note', t(provenance.note))] : []),
  ];
}

/** How a dataset looks. */
export function datasetItem({ name, known }: DatasetNode): vscode.TreeItem {
  const { Collapsed, None } = vscode.TreeItemCollapsibleState;
  const item = treeItem(datasetTitle(name), known.kind === 'reading' ? None : Collapsed);
  item.id = `dataset:${name}`;
  item.contextValue = `dataset.${name}`;
  const warning = (icon: string) => new vscode.ThemeIcon(icon, new vscode.ThemeColor('list.warningForeground'));
  if (known.kind === 'reading') {
    item.iconPath = new vscode.ThemeIcon('database');
  } else if (known.kind === 'failed') {
    item.iconPath = warning('error');
    item.description = t(message('treeBrokenDescription'));
    item.tooltip = errorSentence(new UserError(known.message, known.advice));
  } else {
    const { report } = known;
    const { leftOut } = report;
    const images = t(message('datasetImages', { count: count(imagesOf(report)) }));
    const left = leftOut.count > 0 ? t(message('datasetLeftOut', { count: count(leftOut.count) })) : '';
    if (unfetched(report)) item.contextValue += '.unfetched';
    item.description = unfetched(report)
      ? t(message('datasetUnfetched'))
      : [isStandIn(report) ? 'CIFAR-10' : '', images, left].filter(Boolean).join(' · ');
    item.iconPath = leftOut.count > 0 ? warning('warning') : new vscode.ThemeIcon('database');
    item.tooltip = [datasetTitle(name), report.folder ?? report.provenance.source, ...leftOut.reasons.map(t)].join(
      '\n\n',
    );
  }
  item.accessibilityInformation = { label: [item.label, item.description].filter(Boolean).join(', ') };
  return item;
}

function detailItem({ icon, label, description, tooltip, folder }: DetailNode): vscode.TreeItem {
  const item = treeItem(label);
  const color = icon === 'warning' || icon === 'error' ? new vscode.ThemeColor('list.warningForeground') : undefined;
  item.iconPath = new vscode.ThemeIcon(icon, color);
  item.description = description;
  item.tooltip = tooltip ?? folder ?? [label, description].filter(Boolean).join(': ');
  if (folder !== undefined) {
    item.command = { command: 'convlab.revealDataset', title: folder, arguments: [folder] };
  }
  return item;
}
