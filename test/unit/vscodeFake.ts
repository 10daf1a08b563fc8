/**
 * As much of the `vscode` module as src/host uses, for tests in plain Node: what the extension shows is recorded, and
 * tests decide what the user answers. Use: vi.mock('vscode', () => import('./vscodeFake')).
 */
import * as fs from 'node:fs';
import * as path from 'node:path';

type Listener<T> = (value: T) => unknown;

export class Disposable {
  constructor(private readonly onDispose: () => void) {}
  dispose(): void {
    this.onDispose();
  }
}

export class EventEmitter<T> {
  private listeners: Listener<T>[] = [];
  readonly event = (listener: Listener<T>): Disposable => {
    this.listeners.push(listener);
    return new Disposable(() => (this.listeners = this.listeners.filter((other) => other !== listener)));
  };
  fire(value: T): void {
    for (const listener of [...this.listeners]) listener(value);
  }
  dispose(): void {
    this.listeners = [];
  }
}

export class Uri {
  private constructor(
    readonly scheme: string,
    readonly path: string,
  ) {}
  static file(file: string): Uri {
    return new Uri('file', path.resolve(file));
  }
  static from({ scheme, path }: { scheme: string; path: string }): Uri {
    return new Uri(scheme, path);
  }
  static joinPath(base: Uri, ...parts: string[]): Uri {
    return new Uri(base.scheme, path.join(base.path, ...parts));
  }
  get fsPath(): string {
    return this.path;
  }
  toString(): string {
    return `${this.scheme}://${this.path}`;
  }
}

export class ThemeColor {
  constructor(readonly id: string) {}
}
export class ThemeIcon {
  constructor(
    readonly id: string,
    readonly color?: ThemeColor,
  ) {}
}
export class TreeItem {
  id?: string;
  description?: string;
  tooltip?: string;
  contextValue?: string;
  iconPath?: ThemeIcon;
  constructor(
    readonly label: string,
    readonly collapsibleState: number,
  ) {}
}
export class RelativePattern {
  constructor(
    readonly base: unknown,
    readonly pattern: string,
  ) {}
}
export const TreeItemCollapsibleState = { None: 0, Collapsed: 1, Expanded: 2 };
export const StatusBarAlignment = { Left: 1, Right: 2 };
export const ViewColumn = { Active: -1 };
export const UIKind = { Desktop: 1, Web: 2 };

/** What tests set, and what they find written down. `reset` puts it back. */
export const fake = {
  settings: {} as Record<string, unknown>,
  folders: [] as Uri[],
  /** Picks the label of a quick pick's item, or leaves it, at once or later. */
  pick: (
    _items: readonly { label: string }[],
    _options: { placeHolder?: string },
  ): string | undefined | Promise<string | undefined> => undefined,
  /** The quick picks that were made to be changed while they are shown. */
  quickPicks: [] as FakeQuickPick[],
  /** Picks a button of a notification, or none. */
  answer: (_text: string, _buttons: readonly string[]): string | undefined => undefined,
  /** Names a file in the dialog that asks where to save, or leaves it. */
  save: (_options: { defaultUri: Uri; filters: Record<string, string[]> }): Uri | undefined => undefined,
  notifications: [] as { kind: 'information' | 'warning' | 'error'; text: string; buttons: string[] }[],
  log: [] as string[],
  executed: [] as { command: string; args: unknown[] }[],
  panels: [] as FakePanel[],
  statusBar: undefined as FakeStatusBarItem | undefined,
  commands: new Map<string, (...args: unknown[]) => unknown>(),
  trash: true,
  trusted: true,
  /** The watchers that have not been disposed of. */
  watchers: [] as FakeWatcher[],
  trustGranted: new EventEmitter<void>(),
  /** Those of the experiments, the engines and the datasets. */
  tree: undefined as FakeTree | undefined,
  engines: undefined as FakeTree | undefined,
  datasets: undefined as FakeTree | undefined,
  datasetsVisibility: new EventEmitter<{ visible: boolean }>(),
  /** Names a folder in the dialog that asks for one, or leaves it. */
  open: (): Uri | undefined => undefined,
  /** Presses "Cancel" on what shows its progress. */
  cancel: new EventEmitter<void>(),
  /** What was reported under way. */
  progress: [] as string[],
  visibility: new EventEmitter<{ visible: boolean }>(),
  view: undefined as { message: string | undefined } | undefined,
  /** By panel type. */
  serializers: new Map<string, FakeSerializer>(),
};

const fresh = { ...fake };

/** Forgets everything. */
export function reset(): void {
  Object.assign(fake, fresh, {
    settings: {},
    folders: [],
    notifications: [],
    log: [],
    executed: [],
    panels: [],
    quickPicks: [],
    commands: new Map(),
    serializers: new Map(),
    watchers: [],
    progress: [],
  });
  l10n.bundle = undefined;
  env.language = 'en';
}

interface FakeTree {
  getChildren(node?: unknown): Promise<unknown[]>;
  getTreeItem(node: unknown): TreeItem;
  onDidChangeTreeData(listener: () => void): Disposable;
}

interface FakeSerializer {
  deserializeWebviewPanel(panel: FakePanel, state: unknown): Promise<void>;
}

interface FakeStatusBarItem {
  text: string;
  tooltip: string;
  visible: boolean;
  command?: unknown;
  show(): void;
  hide(): void;
  dispose(): void;
}

/** A webview panel whose page is the test. */
export class FakePanel {
  title = '';
  visible = true;
  disposed = false;
  readonly sent: unknown[] = [];
  private readonly received = new EventEmitter<unknown>();
  private readonly viewState = new EventEmitter<void>();
  private readonly disposal = new EventEmitter<void>();
  readonly onDidChangeViewState = this.viewState.event;
  readonly onDidDispose = this.disposal.event;
  readonly webview = {
    html: '',
    options: {} as { enableScripts?: boolean; localResourceRoots?: Uri[] },
    cspSource: 'https://webview.test',
    asWebviewUri: (uri: Uri) => uri,
    onDidReceiveMessage: this.received.event,
    postMessage: (message: unknown) => {
      if (!this.disposed) this.sent.push(structuredClone(message));
      return Promise.resolve(true);
    },
  };
  revealed = 0;
  reveal(): void {
    this.revealed += 1;
  }
  /** What the page says. */
  say(message: unknown): void {
    this.received.fire(message);
  }
  show(visible: boolean): void {
    this.visible = visible;
    this.viewState.fire();
  }
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    this.disposal.fire();
  }
}

/** A watcher that {@link changeOnDisk} tells what happens to the files that its pattern names. */
export class FakeWatcher {
  private readonly events = {
    create: new EventEmitter<Uri>(),
    change: new EventEmitter<Uri>(),
    delete: new EventEmitter<Uri>(),
  };
  readonly onDidCreate = this.events.create.event;
  readonly onDidChange = this.events.change.event;
  readonly onDidDelete = this.events.delete.event;
  private readonly names: RegExp;

  constructor(readonly pattern: RelativePattern) {
    // {a,b} is one of both, * any name within a folder; nothing else is used.
    const source = pattern.pattern
      .replace(/[.+^$()|[\]\\]/g, '\\$&')
      .replace(/\*/g, '[^/]*')
      .replace(/\{([^}]*)\}/g, (_, either: string) => `(?:${either.replaceAll(',', '|')})`);
    this.names = new RegExp(`^${source}$`);
    fake.watchers.push(this);
  }

  tell(what: 'create' | 'change' | 'delete', file: string): void {
    const relative = path
      .relative((this.pattern.base as Uri).fsPath, file)
      .split(path.sep)
      .join('/');
    if (this.names.test(relative)) this.events[what].fire(Uri.file(file));
  }

  dispose(): void {
    fake.watchers = fake.watchers.filter((other) => other !== this);
  }
}

/** Tells the watchers of a file or folder that it has come, changed or gone, as the system would. */
export function changeOnDisk(what: 'create' | 'change' | 'delete', file: string): void {
  for (const watcher of [...fake.watchers]) watcher.tell(what, file);
}

interface FakeItem {
  label: string;
  description?: string;
}

/** A quick pick whose items may change while `fake.pick` makes up its mind. */
export class FakeQuickPick {
  title = '';
  placeholder = '';
  activeItems: readonly FakeItem[] = [];
  selectedItems: readonly FakeItem[] = [];
  disposed = false;
  private shown: readonly FakeItem[] = [];
  private readonly accepted = new EventEmitter<void>();
  private readonly hidden = new EventEmitter<void>();
  readonly onDidAccept = this.accepted.event;
  readonly onDidHide = this.hidden.event;
  get items(): readonly FakeItem[] {
    return this.shown;
  }
  set items(items: readonly FakeItem[]) {
    this.shown = items;
    this.activeItems = items.slice(0, 1);
  }
  show(): void {
    void (async () => {
      const label = await fake.pick(this.items, { placeHolder: this.placeholder });
      this.selectedItems = this.items.filter((item) => item.label === label);
      if (label === undefined) this.hide();
      else this.accepted.fire();
    })();
  }
  hide(): void {
    if (!this.disposed) this.hidden.fire();
  }
  dispose(): void {
    this.disposed = true;
  }
}

function notify(kind: 'information' | 'warning' | 'error') {
  return (text: string, ...rest: unknown[]): Promise<string | undefined> => {
    const buttons = rest.filter((item): item is string => typeof item === 'string');
    fake.notifications.push({ kind, text, buttons });
    return Promise.resolve(fake.answer(text, buttons));
  };
}

export const env = {
  language: 'en',
  uiKind: UIKind.Desktop,
  remoteName: undefined,
  clipboard: { writeText: () => {} },
};

export const l10n = {
  bundle: undefined as Record<string, string> | undefined,
  t: (text: string, args: Record<string, unknown>) =>
    (l10n.bundle?.[text] ?? text).replace(/\{(\w+)\}/g, (whole, name: string) => String(args[name] ?? whole)),
};

/** The user trusts the workspace. */
export function grantTrust(): void {
  fake.trusted = true;
  fake.trustGranted.fire();
}

const configurationChanged = new EventEmitter<unknown>();

/** Changes a setting as the user does. */
export function configure(name: string, value: unknown): void {
  fake.settings[name] = value;
  configurationChanged.fire({
    affectsConfiguration: (asked: string) => asked === name || name.startsWith(`${asked}.`),
  });
}
const foldersChanged = new EventEmitter<unknown>();
/** Opens other folders in the window. */
export function openFolders(...folders: string[]): void {
  fake.folders = folders.map((folder) => Uri.file(folder));
  foldersChanged.fire({});
}

export const ProgressLocation = { Notification: 15 };

export const window = {
  activeTextEditor: undefined,
  createOutputChannel: () => {
    const line =
      (level: string) =>
      (...parts: unknown[]) =>
        void fake.log.push(`${level} ${parts.map(String).join(' ')}`);
    return { info: line('info'), warn: line('warn'), error: line('error'), show: () => {}, dispose: () => {} };
  },
  createStatusBarItem: () => {
    const item: FakeStatusBarItem = {
      text: '',
      tooltip: '',
      visible: false,
      show: () => (item.visible = true),
      hide: () => (item.visible = false),
      dispose: () => (item.visible = false),
    };
    return (fake.statusBar = item);
  },
  createTreeView: (id: string, { treeDataProvider }: { treeDataProvider: FakeTree }) => {
    if (id === 'convlab.engines') {
      fake.engines = treeDataProvider;
      return { dispose: () => {} };
    }
    if (id === 'convlab.datasets') {
      fake.datasets = treeDataProvider;
      // Nobody looks at it unless a test does.
      return { visible: false, onDidChangeVisibility: fake.datasetsVisibility.event, dispose: () => {} };
    }
    fake.tree = treeDataProvider;
    const view = {
      message: undefined,
      visible: true,
      onDidChangeVisibility: fake.visibility.event,
      dispose: () => {},
    };
    fake.view = view;
    return view;
  },
  createWebviewPanel: (): FakePanel => {
    const panel = new FakePanel();
    fake.panels.push(panel);
    return panel;
  },
  registerWebviewPanelSerializer: (type: string, serializer: FakeSerializer) => {
    fake.serializers.set(type, serializer);
    return new Disposable(() => fake.serializers.delete(type));
  },
  showInformationMessage: notify('information'),
  showWarningMessage: notify('warning'),
  showErrorMessage: notify('error'),
  showOpenDialog: async () => {
    const chosen = fake.open();
    return chosen && [chosen];
  },
  showSaveDialog: (options: { defaultUri: Uri; filters: Record<string, string[]> }) =>
    Promise.resolve(fake.save(options)),
  withProgress: (_options: unknown, work: (progress: unknown, token: unknown) => unknown) =>
    work(
      { report: ({ message }: { message?: string }) => void (message && fake.progress.push(message)) },
      { onCancellationRequested: fake.cancel.event },
    ),
  showQuickPick: async (items: readonly { label: string }[], options: { placeHolder?: string }) => {
    const label = await fake.pick(items, options);
    return items.find((item) => item.label === label);
  },
  createQuickPick: () => {
    const quickPick = new FakeQuickPick();
    fake.quickPicks.push(quickPick);
    return quickPick;
  },
};

export const ConfigurationTarget = { Global: 1, Workspace: 2 };

export const workspace = {
  get isTrusted() {
    return fake.trusted;
  },
  get workspaceFolders() {
    return fake.folders.length > 0 ? fake.folders.map((uri) => ({ uri, name: path.basename(uri.path) })) : undefined;
  },
  getWorkspaceFolder: (uri: Uri) => {
    const found = fake.folders.find((folder) => uri.path.startsWith(`${folder.path}${path.sep}`));
    return found && { uri: found };
  },
  getConfiguration: (section: string) => ({
    get: (name: string) => fake.settings[`${section}.${name}`],
    update: async (name: string, value: unknown) => configure(`${section}.${name}`, value),
  }),
  onDidChangeConfiguration: configurationChanged.event,
  onDidChangeWorkspaceFolders: foldersChanged.event,
  createFileSystemWatcher: (pattern: RelativePattern) => new FakeWatcher(pattern),
  onDidGrantWorkspaceTrust: fake.trustGranted.event,
  fs: {
    delete: async (uri: Uri, { useTrash }: { useTrash: boolean }) => {
      if (useTrash && !fake.trash) throw new Error('no trash here');
      await fs.promises.rm(uri.fsPath, { recursive: true });
    },
  },
};

export const commands = {
  registerCommand: (id: string, handler: (...args: unknown[]) => unknown) => {
    fake.commands.set(id, handler);
    return new Disposable(() => fake.commands.delete(id));
  },
  executeCommand: async (command: string, ...args: unknown[]) => {
    fake.executed.push({ command, args });
    return fake.commands.get(command)?.(...args);
  },
};
