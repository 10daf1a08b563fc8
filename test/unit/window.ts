/**
 * A window of the editor for tests: the extension activated on the fake of VS Code, with a workspace, the repository's
 * experiments and the fake trainer in its dist folder. A test file that imports this has a fresh one before each test; it
 * says vi.mock('vscode', () => import('./vscodeFake')) itself.
 */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, expect, vi } from 'vitest';
import type { RunSnapshot, ToRun } from '../../src/core/contracts/pages';
import { lockHolder } from '../../src/disk/runs';
import { runsFolderOf } from '../../src/disk/places';
import { activate, deactivate } from '../../src/extension';
import { fake, FakePanel, reset, TreeItem, Uri } from './vscodeFake';

export const repository = path.join(import.meta.dirname, '../..');
export const manifest = JSON.parse(fs.readFileSync(path.join(repository, 'package.json'), 'utf8')) as {
  contributes: {
    commands: { command: string }[];
    menus: Record<string, { command: string }[]>;
    configuration: { properties: Record<string, { scope?: string }> };
  };
  capabilities: { untrustedWorkspaces: { restrictedConfigurations: string[] } };
};
export const lenet = 'convlab.train.lenet5-mnist';

export let root: string;
export let workspace: string;
export let extension: string;
export let memento: Map<string, unknown>;
export let subscriptions: { dispose(): void }[];

beforeEach(() => {
  reset();
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'convlab-window-'));
  workspace = path.join(root, 'workspace');
  extension = path.join(root, 'extension');
  fs.mkdirSync(workspace);
  fs.mkdirSync(path.join(extension, 'dist'), { recursive: true });
  fs.copyFileSync(path.join(import.meta.dirname, 'fakeTrainer.cjs'), path.join(extension, 'dist/trainer.js'));
  fs.cpSync(path.join(repository, 'experiments'), path.join(extension, 'experiments'), { recursive: true });
  fs.cpSync(path.join(repository, 'l10n'), path.join(extension, 'l10n'), { recursive: true });
  fake.folders = [Uri.file(workspace)];
  fake.settings['convlab.preset'] = 'quick';
  memento = new Map();
  vi.stubEnv('FAKE_TRAINER', 'finish');
});

afterEach(async () => {
  await close();
  vi.unstubAllEnvs();
  fs.rmSync(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
});

export function open(): void {
  subscriptions = [];
  activate({
    subscriptions,
    extensionPath: extension,
    extensionUri: Uri.file(extension),
    globalStorageUri: Uri.file(path.join(root, 'global')),
    workspaceState: {
      get: (key: string, fallback: unknown) => memento.get(key) ?? fallback,
      update: (key: string, value: unknown) => Promise.resolve(memento.set(key, value)),
    },
    extension: { packageJSON: manifest },
  } as never);
}

/** The window goes away: trainers are left to themselves. */
export async function close(): Promise<void> {
  deactivate();
  subscriptions?.splice(0).forEach((subscription) => subscription.dispose());
  for (const run of runFolders()) await until(() => lockHolder(run) === undefined);
}

export const until = (what: () => unknown) => vi.waitFor(() => expect(what()).toBeTruthy(), { timeout: 10_000 });
export const run = (command: string, ...args: unknown[]) => fake.commands.get(command)!(...args);
export const texts = () => fake.notifications.map(({ text }) => text);

export function runFolders(runs = runsFolderOf(workspace)): string[] {
  return fs.existsSync(runs) ? fs.readdirSync(runs).map((name) => path.join(runs, name)) : [];
}

export const states = (panel: FakePanel) =>
  (panel.sent as ToRun[]).flatMap((m) =>
    m.type === 'state' ? [m.state] : m.type === 'snapshot' ? [m.snapshot.state] : [],
  );
export const snapshots = (panel: FakePanel): RunSnapshot[] =>
  (panel.sent as ToRun[]).flatMap((m) => (m.type === 'snapshot' ? [m.snapshot] : []));

/** Starts LeNet-5 and says 'ready' as its panel's page would. */
export async function train(behaviour: string): Promise<FakePanel> {
  vi.stubEnv('FAKE_TRAINER', behaviour);
  await run(lenet);
  const panel = fake.panels.at(-1)!;
  panel.say({ type: 'ready', protocol: 1 });
  return panel;
}

export const trainingUntilSteps = async (): Promise<FakePanel> => {
  const panel = await train('wait');
  await until(() => (panel.sent as ToRun[]).some((m) => m.type === 'changes'));
  return panel;
};

export interface Drawn {
  readonly item: TreeItem;
  readonly node: unknown;
  readonly children: Drawn[];
}
export async function draw(node?: unknown): Promise<Drawn[]> {
  const nodes = await fake.tree!.getChildren(node);
  return Promise.all(nodes.map(async (n) => ({ node: n, item: fake.tree!.getTreeItem(n), children: await draw(n) })));
}
export const outline = (drawn: readonly Drawn[]): unknown[] =>
  drawn.map(({ item, children }) => [item.label, item.description, item.contextValue, outline(children)]);
