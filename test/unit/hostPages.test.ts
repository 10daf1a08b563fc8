/** The pages of a window: panels of runs, the comparison, and what becomes of them over a reload. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { deactivate } from '../../src/extension';
import { parseExperiment, resolveExperiment } from '../../src/core/experiment';
import { LiveRuns } from '../../src/host/liveRuns';
import type { ComparedRun } from '../../src/core/comparison';
import { bundleOf } from '../../src/core/messages/message';
import { Log } from '../../src/host/log';
import type { TrainRequest } from '../../src/core/contracts/tasks';
import type { ComparisonSnapshot, ToComparison, ToRun } from '../../src/core/contracts/pages';
import { lockHolder } from '../../src/disk/runs';
import { changeOnDisk, env, fake, grantTrust, FakePanel, l10n, reset, Uri } from './vscodeFake';
import {
  root,
  workspace,
  extension,
  subscriptions,
  repository,
  lenet,
  open,
  close,
  until,
  run,
  texts,
  runFolders,
  states,
  snapshots,
  train,
  trainingUntilSteps,
  draw,
} from './window';

vi.mock('vscode', () => import('./vscodeFake'));

describe('panels', () => {
  test('may load nothing but the extension’s own files, and run no script but its own', async () => {
    open();
    const panel = await train('finish');
    const { html, options } = panel.webview;
    const policy = /Content-Security-Policy" content="([^"]+)"/.exec(html)![1]!;
    const nonce = /script-src 'nonce-([^']+)'/.exec(policy)![1]!;
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain('unsafe');
    expect(nonce.length).toBeGreaterThanOrEqual(20);
    expect([...html.matchAll(/<script[^>]*>/g)].map(([tag]) => tag)).toEqual([
      `<script nonce="${nonce}" src="file://${extension}/dist/panel.js">`,
    ]);
    expect(options.localResourceRoots!.map((uri) => uri.fsPath)).toEqual([
      path.join(extension, 'dist'),
      path.join(extension, 'media'),
    ]);
    await run(lenet);
    expect(fake.panels[1]!.webview.html).not.toContain(nonce);
  });

  test('nothing is sent to a hidden page, and everything when it is shown again', async () => {
    open();
    const panel = await trainingUntilSteps();
    panel.show(false);
    const before = panel.sent.length;
    await run('convlab.stop');
    expect(panel.sent.length).toBe(before);
    panel.show(true);
    panel.say({ type: 'ready', protocol: 1 });
    expect(panel.sent.length).toBe(before + 1);
    expect(snapshots(panel).at(-1)).toMatchObject({ state: 'stopped' });
    expect(
      snapshots(panel)
        .at(-1)!
        .events.map((e) => e.type),
    ).toEqual(['started', 'step', 'step', 'stopped']);
  });

  test('its buttons stop and resume', async () => {
    open();
    const panel = await trainingUntilSteps();
    panel.say({ type: 'stop' });
    await until(() => states(panel).at(-1) === 'stopped');
    vi.stubEnv('FAKE_TRAINER', 'finish');
    panel.say({ type: 'resume' });
    await until(() => states(panel).at(-1) === 'finished');
    expect(runFolders()).toHaveLength(1);
  });

  test('resumed, it keeps its engine, and takes another where the user chooses one', async () => {
    const asked = () => {
      const { engine, keepEngine } = JSON.parse(
        fs.readFileSync(path.join(extension, 'dist/train.json'), 'utf8'),
      ) as TrainRequest;
      return { engine, keepEngine };
    };
    open();
    const panel = await trainingUntilSteps();
    panel.say({ type: 'stop' });
    await until(() => states(panel).at(-1) === 'stopped');
    fake.settings['convlab.engine'] = 'webgpu';
    panel.say({ type: 'resume' });
    await vi.waitFor(() => expect(asked()).toEqual({ engine: 'webgpu', keepEngine: true }), { timeout: 10_000 });
    await until(() => states(panel).at(-1) === 'running');
    panel.say({ type: 'stop' });
    await until(() => states(panel).at(-1) === 'stopped');

    const picks: { label: string; description?: string }[][] = [];
    const choose = async (engine?: string) => {
      fake.pick = (items) => (picks.push([...items]), items.find(({ label }) => label === engine)?.label);
      const [group] = await draw();
      await run('convlab.resumeWith', group!.children[0]!.children[0]!.node);
    };
    await choose();
    expect(states(panel).at(-1)).toBe('stopped');
    expect(picks[0]!.map(({ label, description }) => [label, description])).toEqual([
      ['auto', undefined],
      ['tensorflow', undefined],
      ['webgpu', undefined],
      ['onnx', 'has computed the run so far'],
    ]);
    vi.stubEnv('FAKE_TRAINER', 'finish');
    await choose('tensorflow');
    await until(() => states(panel).at(-1) === 'finished');
    expect(asked()).toEqual({ engine: 'tensorflow', keepEngine: false });
  });

  test('a run that another process trains is followed, and not stopped from here', async () => {
    vi.stubEnv('FAKE_TRAINER', 'wait');
    const script = path.join(extension, 'dist/trainer.js');
    const other = new LiveRuns(() => ({ script }), Uri.file(root) as never, new Log());
    const file = path.join(repository, 'experiments/lenet5-mnist.json');
    const elsewhere = other.start(resolveExperiment(parseExperiment(fs.readFileSync(file, 'utf8'), file), 'quick'));
    await until(() => elsewhere.history.steps.length === 2);
    open();
    const [group] = await draw();
    const line = group!.children[0]!.children[0]!;
    expect(line.item.contextValue).toBe('run.elsewhere');
    await run('convlab.openRun', line.node);
    const panel = fake.panels[0]!;
    panel.say({ type: 'ready', protocol: 1 });
    panel.say({ type: 'stop' });
    await until(() => texts().length > 0);
    expect(texts()[0]).toMatch(/is being trained by another process \(\d+\)\. Stop it where it was started\./);
    // The page, which shows that it is waiting, is told that nothing has changed.
    await until(() => states(panel).length === 2);
    expect(states(panel)).toEqual(['running', 'running']);
    await elsewhere.stop();
    await until(() => states(panel).at(-1) === 'stopped');
    other.dispose();
  });

  test('what is no message is passed over', async () => {
    open();
    const panel = await trainingUntilSteps();
    for (const odd of [undefined, 'stop', { type: 'kill' }, { type: 'stop', run: '../..' }, [], 7]) panel.say(odd);
    expect(fake.log.filter((line) => line.includes('no message'))).toHaveLength(6);
    expect(states(panel).at(-1)).toBe('running');
  });

  test('a closed panel opens again from disk, with the same figures', async () => {
    open();
    const first = await train('finish');
    await until(() => states(first).at(-1) === 'finished');
    first.dispose();
    await until(() => texts().length > 0);
    const [group] = await draw();
    await run('convlab.openRun', group!.children[0]!.children[0]!.node);
    const second = fake.panels[1]!;
    second.say({ type: 'ready', protocol: 1 });
    expect(snapshots(second)[0]!.events.map((e) => e.type)).toEqual([
      'started',
      'step',
      'step',
      'step',
      'step',
      'epoch',
      'finished',
    ]);
    // Once more shows the same panel.
    await run('convlab.openRun', runFolders()[0]);
    expect([fake.panels.length, second.revealed]).toEqual([2, 1]);
  });

  test('the page gets the translations of the language', async () => {
    env.language = 'zh-hk';
    open();
    const panel = await train('finish');
    await until(() => states(panel).at(-1) === 'finished');
    const { language, translations, snapshot } = (panel.sent as ToRun[]).findLast((m) => m.type === 'snapshot')!;
    const { title } = snapshot;
    const bundle = JSON.parse(fs.readFileSync(path.join(repository, 'l10n/bundle.l10n.zh-tw.json'), 'utf8')) as object;
    expect([language, translations]).toEqual(['zh-hk', bundle]);
    expect(title).not.toBe('LeNet-5 on MNIST');
    expect(panel.webview.html).toContain('<html lang="zh-hk">');
    await until(() => texts().length > 0);
    expect(texts()[0]).toContain('測試準確率 0.9876');
  });

  test('the language that VS Code has loaded is the panel’s too', async () => {
    env.language = 'zh-cn';
    l10n.bundle = { 'Show chart': '图' };
    open();
    const panel = await train('finish');
    await until(() => fake.notifications.length > 0);
    expect(fake.notifications[0]!.buttons).toEqual(['图']);
    expect((panel.sent as ToRun[]).findLast((m) => m.type === 'snapshot')!.translations).toEqual(l10n.bundle);
  });

  test('names of Chinese', () => {
    const tags = ['zh-tw', 'zh-Hant', 'zh-hk', 'zh-cn', 'zh-hans', 'zh-sg', 'zh', 'en', 'de', 'zhx'];
    expect(tags.map(bundleOf)).toEqual([
      ...['zh-tw', 'zh-tw', 'zh-tw', 'zh-cn', 'zh-cn', 'zh-cn', 'zh-cn'],
      ...[undefined, undefined, undefined],
    ]);
  });
});

describe('the comparison', () => {
  const sent = (panel: FakePanel) => panel.sent as ToComparison[];
  const types = (panel: FakePanel) => sent(panel).map(({ type }) => type);
  /** What the page knows after all that it was told. */
  function known(panel: FakePanel) {
    const rows = new Map<string, ComparedRun>();
    let lists: Omit<ComparisonSnapshot, 'rows'> = { order: [], chosen: [], gone: [] };
    for (const told of sent(panel)) {
      if (told.type === 'add') continue;
      const { rows: fresh, order, chosen, gone } = told.type === 'snapshot' ? told.snapshot : told;
      if (told.type === 'snapshot') rows.clear();
      fresh.forEach((row) => rows.set(row.run, row));
      lists = { order, chosen, gone };
    }
    return { ...lists, rows: lists.order.map((run) => rows.get(run)!) };
  }
  const added = (panel: FakePanel) => sent(panel).flatMap((told) => (told.type === 'add' ? [told.runs] : []));
  async function compare(...args: unknown[]): Promise<FakePanel> {
    await run('convlab.compare', ...args);
    const panel = fake.panels.at(-1)!;
    panel.say({ type: 'ready', protocol: 1 });
    await until(() => sent(panel).length > 0);
    return panel;
  }
  async function trainToTheEnd(): Promise<string> {
    const before = runFolders();
    await train('finish');
    await until(() => texts().length === before.length + 1);
    return path.basename(runFolders().find((folder) => !before.includes(folder))!);
  }
  const nodeOf = async (name: string) =>
    (await draw())[0]!.children[0]!.children.find(({ item }) => item.id!.endsWith(name))!.node;

  test('shows the runs, follows them while it is shown, and opens them', async () => {
    open();
    const panel = await compare();
    expect(panel.title).toBe('Comparison');
    expect(sent(panel)).toMatchObject([
      { type: 'snapshot', protocol: 1, language: 'en', snapshot: { rows: [], order: [], chosen: [], gone: [] } },
    ]);

    const trained = await train('finish');
    await until(() => known(panel).rows[0]?.state === 'finished');
    const name = path.basename(runFolders()[0]!);
    expect(known(panel).rows.map((row) => [row.run, row.title, row.accuracy])).toEqual([
      [name, 'LeNet-5 on MNIST', { value: 0.9876, of: 'test' }],
    ]);
    expect(known(panel).chosen).toEqual([name]);
    panel.say({ type: 'openRun', run: name });
    await until(() => trained.revealed === 1);
    // A name is looked up among the window's runs; a path is none.
    panel.say({ type: 'openRun', run: runFolders()[0]! });
    panel.say({ type: 'openRun' });
    await until(() => fake.log.some((line) => line.includes('“comparison” sent something that is no message')));
    expect(fake.panels.length).toBe(2);

    panel.show(false);
    const before = sent(panel).length;
    await train('finish');
    await until(() => texts().length === 2);
    await new Promise((resolve) => setTimeout(resolve, 1200));
    expect(sent(panel).length).toBe(before);
    panel.show(true);
    panel.say({ type: 'ready', protocol: 1 });
    await until(() => known(panel).rows.length === 2);
    // One run of an experiment stands for it until another one is asked for.
    expect(known(panel).chosen.length).toBe(1);
  });

  test('comes back after a reload', async () => {
    open();
    const panel = await compare();
    await run('convlab.compare');
    expect(panel.revealed).toBe(1);
    const back = new FakePanel();
    await fake.serializers.get('convlab.comparison')!.deserializeWebviewPanel(back, undefined);
    expect(back.disposed).toBe(true);
    panel.dispose();
    const again = new FakePanel();
    await fake.serializers.get('convlab.comparison')!.deserializeWebviewPanel(again, undefined);
    again.say({ type: 'ready', protocol: 1 });
    await until(() => sent(again).length > 0);
    expect(again.webview.html).toContain('dist/comparison.js');
  });

  test('a run is added once each time that it is asked for, and not again with what changes afterwards', async () => {
    open();
    const first = await trainToTheEnd();
    const panel = await compare(await nodeOf(first));
    expect(types(panel)).toEqual(['snapshot', 'add']);
    expect(added(panel)).toEqual([[first]]);
    const second = await trainToTheEnd();
    await until(() => known(panel).order.includes(second));
    expect(added(panel)).toEqual([[first]]);
    // Only the new row was sent.
    expect(sent(panel).flatMap((told) => (told.type === 'rows' ? told.rows.map((row) => row.run) : []))).not.toContain(
      first,
    );
    await run('convlab.compare', await nodeOf(first));
    expect(added(panel)).toEqual([[first], [first]]);
    // Asked for while the page is hidden: told when it is back.
    panel.show(false);
    await run('convlab.compare', await nodeOf(second));
    expect(added(panel)).toHaveLength(2);
    panel.show(true);
    panel.say({ type: 'ready', protocol: 1 });
    await until(() => added(panel).length === 3);
    expect(added(panel).at(-1)).toEqual([second]);
    expect(types(panel).at(-2)).toBe('snapshot');
  });

  test('a run whose folder is renamed keeps its row, said to be gone; one that is deleted here loses it', async () => {
    open();
    const [first, second] = [await trainToTheEnd(), await trainToTheEnd()];
    const panel = await compare();
    const row = known(panel).rows.find(({ run }) => run === first)!;
    const folder = path.join(path.dirname(runFolders()[0]!), first);
    fs.renameSync(folder, `${folder}-renamed`);
    changeOnDisk('delete', folder);
    await until(() => known(panel).gone.length > 0);
    expect(known(panel).gone).toEqual([first]);
    expect(known(panel).rows.find(({ run }) => run === first)).toEqual(row);
    expect(known(panel).order).toContain(`${first}-renamed`);
    fs.renameSync(`${folder}-renamed`, folder);
    changeOnDisk('create', folder);
    await until(() => known(panel).gone.includes(`${first}-renamed`));

    fake.answer = (_text, buttons) => buttons.find((button) => button.startsWith('Delete'));
    await run('convlab.deleteRun', await nodeOf(second));
    await until(() => !known(panel).order.includes(second));
    expect(known(panel).gone).toEqual([`${first}-renamed`]);
  });
});

describe('a folder that goes under an open panel', () => {
  test('leaves what was shown, and the page is told', async () => {
    open();
    const first = await train('finish');
    await until(() => states(first).at(-1) === 'finished');
    first.dispose();
    await until(() => texts().length > 0);
    const folder = runFolders()[0]!;
    await run('convlab.openRun', folder);
    const panel = fake.panels.at(-1)!;
    panel.say({ type: 'ready', protocol: 1 });
    fs.renameSync(folder, `${folder}-renamed`);
    const told = () => (panel.sent as ToRun[]).slice(1);
    await until(() => told().length > 0);
    expect(told()).toEqual([{ type: 'state', state: 'finished', status: undefined, gone: true }]);
    // Hidden and shown again, it still knows what it knew.
    panel.show(false);
    panel.show(true);
    panel.say({ type: 'ready', protocol: 1 });
    expect(snapshots(panel).at(-1)).toMatchObject({ state: 'finished', gone: true });
    expect(snapshots(panel).at(-1)!.events).toEqual(snapshots(panel)[0]!.events);
    fs.renameSync(`${folder}-renamed`, folder);
    await until(() => (panel.sent.at(-1) as { gone?: boolean }).gone === false);
  });
});

describe('after a reload', () => {
  /** A run in the middle, whose window goes away. @returns what VS Code kept for the panel */
  async function leaveBehind(): Promise<{ run: string }> {
    open();
    const panel = await trainingUntilSteps();
    await until(() => snapshots(panel).at(-1)!.run !== '');
    const { run } = snapshots(panel).at(-1)!;
    deactivate();
    subscriptions.splice(0).forEach((subscription) => subscription.dispose());
    reset();
    fake.folders = [Uri.file(workspace)];
    fake.settings['convlab.preset'] = 'quick';
    vi.stubEnv('FAKE_TRAINER', 'finish');
    return { run };
  }

  async function restore(state: unknown): Promise<FakePanel> {
    const panel = new FakePanel();
    await fake.serializers.get('convlab.run')!.deserializeWebviewPanel(panel, state);
    panel.say({ type: 'ready', protocol: 1 });
    return panel;
  }

  const types = () =>
    fs
      .readFileSync(path.join(runFolders()[0]!, 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { type: string }).type);

  test('the panel comes back and the run goes on, without a word', async () => {
    const state = await leaveBehind();
    open();
    // The former trainer may still be writing; the new one waits for its lock.
    const panel = await restore({ ...state, tab: 'epochs' });
    await until(() => states(panel).at(-1) === 'finished');
    expect(types().filter((type) => type !== 'step')).toEqual(['started', 'stopped', 'resumed', 'epoch', 'finished']);
    expect(texts().filter((text) => !text.includes('test accuracy'))).toEqual([]);
  });

  test('nothing goes on and nothing is offered in a workspace that nobody trusts, until somebody does', async () => {
    const state = await leaveBehind();
    await until(() => lockHolder(runFolders()[0]!) === undefined);
    fake.trusted = false;
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    let panel: FakePanel;
    try {
      open();
      panel = await restore(state);
      await vi.advanceTimersByTimeAsync(6000);
    } finally {
      vi.useRealTimers();
    }
    await draw();
    expect(states(panel).at(-1)).toBe('interrupted');
    expect(types()).not.toContain('resumed');
    expect(texts()).toEqual([]);
    panel.dispose();
    grantTrust();
    await until(() => texts().some((text) => text.includes('was interrupted when the editor closed')));
  });

  test('“ask” asks first', async () => {
    const state = await leaveBehind();
    fake.settings['convlab.resumeAfterReload'] = 'ask';
    open();
    const panel = await restore(state);
    await until(() => texts().some((text) => text.includes('Continue from its last checkpoint?')));
    expect(states(panel).at(-1)).toBe('interrupted');
    expect(types()).not.toContain('resumed');
    panel.dispose();

    fake.answer = (_text, buttons) => buttons.find((button) => button === 'Continue');
    const again = await restore(state);
    await until(() => states(again).at(-1) === 'finished');
  });

  test('“never” leaves it standing, ready to be resumed', async () => {
    const state = await leaveBehind();
    await until(() => lockHolder(runFolders()[0]!) === undefined);
    fake.settings['convlab.resumeAfterReload'] = 'never';
    open();
    const panel = await restore(state);
    expect(states(panel)).toEqual(['interrupted']);
    panel.say({ type: 'resume' });
    await until(() => states(panel).at(-1) === 'finished');
  });

  test('a run that the user stopped stays stopped', async () => {
    open();
    const before = await trainingUntilSteps();
    await run('convlab.stop');
    const { run: name } = snapshots(before).at(-1)!;
    await close();
    open();
    const panel = await restore({ run: name });
    // Longer than the look at the lock takes, after which a resumption would begin.
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(states(panel).at(-1)).toBe('stopped');
    expect(types()).not.toContain('resumed');
  });

  test('a panel whose run is gone is closed, and none reads outside the runs folders', async () => {
    open();
    const outside = path.join(root, 'outside');
    fs.mkdirSync(outside);
    for (const state of [undefined, {}, { run: '' }, { run: 'none' }, { run: outside }, { run: '../../../outside' }]) {
      expect((await restore(state)).disposed).toBe(true);
    }
  });

  test('runs whose panel did not come back are offered once', async () => {
    await leaveBehind();
    await until(() => lockHolder(runFolders()[0]!) === undefined);
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    try {
      open();
      await vi.advanceTimersByTimeAsync(6000);
      vi.useRealTimers();
      await until(() => texts().some((text) => text.includes('was interrupted when the editor closed')));
      await close();
      fake.notifications.length = 0;
      vi.useFakeTimers({ toFake: ['setTimeout'] });
      open();
      await vi.advanceTimersByTimeAsync(6000);
    } finally {
      vi.useRealTimers();
    }
    await draw();
    expect(texts()).toEqual([]);
  });
});
