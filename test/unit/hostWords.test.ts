/** Words from a cloned folder, at every place where a window shows words: none becomes a link, an icon or a control. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { parseExperiment, resolveExperiment } from '../../src/core/experiment';
import { runsFolderOf } from '../../src/disk/places';
import { Log } from '../../src/host/log';
import { notify, shown, treeItem, withNotification } from '../../src/host/show';
import { fake, FakePanel, window } from './vscodeFake';
import { draw, Drawn, open, repository, run, runFolders, texts, until, workspace } from './window';

vi.mock('vscode', () => import('./vscodeFake'));

const link = '[Go on](command:workbench.action.quit)';
const hostile = `${link} $(error)\u001b[31m\u202e\r\nnext`;
/** What VS Code would obey. */
const obeyed = /\]\(|\$\((?!loading~spin\))|[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;

/** @param events of a run whose title and folder's files nobody of ours has written */
function cloned(events: readonly object[]): string {
  const folder = path.join(runsFolderOf(workspace), '2026-01-01T00-00-00-lenet5-mnist');
  fs.mkdirSync(folder, { recursive: true });
  const file = path.join(repository, 'experiments/lenet5-mnist.json');
  const experiment = resolveExperiment(parseExperiment(fs.readFileSync(file, 'utf8'), file), 'quick');
  const record = {
    format: 1,
    created: '2026-01-02T03:04:05.000Z',
    convlab: '0',
    experiment: { ...experiment, title: hostile, question: hostile },
  };
  fs.writeFileSync(path.join(folder, 'run.json'), JSON.stringify(record));
  fs.writeFileSync(path.join(folder, 'metrics.jsonl'), events.map((event) => `${JSON.stringify(event)}\n`).join(''));
  return folder;
}

const gone = { type: 'stopped', reason: 'editorGone', epoch: 1, step: 1 };
let picked: { label: string; description?: string; detail?: string }[];

beforeEach(() => {
  picked = [];
  fake.pick = (items) => void picked.push(...items);
});

describe('words from a folder', () => {
  test('a notification: the offer to go on with a run', async () => {
    cloned([gone]);
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    try {
      open();
      await vi.advanceTimersByTimeAsync(6000);
    } finally {
      vi.useRealTimers();
    }
    await until(() => texts().length === 1);
    expect(texts()[0]).toContain('[Go on] (command:workbench.action.quit)');
    expect(texts()[0]).not.toMatch(obeyed);
  });

  test('every kind of notification, and one that shows an error', async () => {
    for (const kind of ['information', 'warning', 'error'] as const) await notify(kind, hostile);
    new Log().showError(new Error(hostile));
    expect(texts()).toHaveLength(4);
    for (const text of texts()) expect(text).not.toMatch(obeyed);
  });

  test('the tree: labels, descriptions, tooltips, and what is spoken', async () => {
    cloned([gone]);
    open();
    const items = (nodes: readonly Drawn[]): Drawn['item'][] =>
      nodes.flatMap(({ item, children }) => [item, ...items(children)]);
    const all = items(await draw());
    expect(all.some(({ tooltip }) => tooltip?.includes('[Go on] (command:'))).toBe(true);
    for (const item of [...all, shown(Object.assign(treeItem(hostile), { description: hostile, tooltip: hostile }))]) {
      const spoken = (item as { accessibilityInformation?: { label: string } }).accessibilityInformation?.label;
      for (const text of [item.tooltip]) expect(text ?? '').not.toMatch(obeyed);
      // Labels are plain text to VS Code; what steers a screen is out of them all the same.
      for (const text of [item.label, item.description, spoken]) {
        expect(text ?? '').not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/);
      }
    }
  });

  test('a quick pick', async () => {
    cloned([gone]);
    open();
    await run('convlab.resume');
    expect(picked).toHaveLength(1);
    expect(picked[0]!.label).toContain('[Go on] (command:');
    for (const { label, description, detail } of picked) {
      for (const text of [label, description, detail]) expect(text ?? '').not.toMatch(obeyed);
    }
  });

  test('a question before something is deleted', async () => {
    cloned([gone]);
    open();
    const [group] = await draw();
    await run('convlab.deleteRun', group!.children[0]!.children[0]!.node);
    expect(texts()[0]).toContain('[Go on] (command:');
    expect(texts()[0]).not.toMatch(obeyed);
    expect(runFolders()).toHaveLength(1);
  });

  test('a tab’s title and the status bar', async () => {
    const folder = cloned([gone]);
    vi.stubEnv('FAKE_TRAINER', 'wait');
    open();
    await run('convlab.resume', folder);
    const panel: FakePanel = fake.panels.at(-1)!;
    await until(() => fake.statusBar?.visible);
    const { text, tooltip } = fake.statusBar!;
    expect(panel.title).toContain('␛[31m');

    expect(panel.title).not.toMatch(/[\u0000-\u001f\u202a-\u202e]/);
    expect(tooltip).toContain('[Go on] (command:');
    expect(tooltip).not.toMatch(obeyed);
    expect(text).not.toMatch(obeyed);
  });

  test('progress, and the log', async () => {
    const log = new Log();
    log.info(hostile);
    log.warn(hostile);
    log.error(hostile, `Error: ${hostile}\n    at somewhere`);
    log.showError(new Error(hostile));
    expect(fake.log).toHaveLength(4);
    for (const line of fake.log) {
      expect(line).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e]/);
    }
    // A line that is one stays one: nothing can pass for the log's own next line.
    expect(fake.log[0]!.split('\n')).toHaveLength(1);
    // What a task says that it is doing.
    let titled = '';
    const show = vi.spyOn(window, 'withProgress').mockImplementation(((options: { title: string }, work: never) => {
      titled = options.title;
      return (work as (progress: unknown, token: unknown) => unknown)(
        { report: ({ message }: { message: string }) => void fake.progress.push(message) },
        { onCancellationRequested: fake.cancel.event },
      );
    }) as never);
    await withNotification(hostile, true, async (tell) => tell(hostile));
    show.mockRestore();
    for (const text of [titled, ...fake.progress]) expect(text).toContain('[Go on] (command:');
    for (const text of [titled, ...fake.progress]) expect(text).not.toMatch(obeyed);
  });
});
