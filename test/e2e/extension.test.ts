/** ConvLab in a real VS Code, as a student uses it: from the palette to the final test accuracy. */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest';
import { readSplit } from '../../src/trainer/data/split';
import { readRecord } from '../../src/trainer/tensorflow/installation';
import { fill, put } from '../unit/drawnImages';
import { CodeServer, repository, startCodeServer } from './server';
import { panelOf, patient, startBrowser, Workbench, WorkbenchOptions } from './workbench';

const trainLenet = 'ConvLab: Train LeNet-5 on MNIST';
const experiment = 'LeNet-5 on MNIST';
/** Two epochs of 20 steps: enough for a curve with two points, over in seconds. */
const short = { 'convlab.preset': 'course', 'convlab.limit': 1280, 'convlab.epochs': 2 };
/** Two epochs that last some seconds: long enough for the sidebar, which follows once a second, to show them under way. */
const watched = { ...short, 'convlab.limit': 38_400, 'convlab.threads': 1 };
/** Long enough for something to happen in the middle, on one thread so that a fast machine does not finish first. */
const long = { 'convlab.preset': 'course', 'convlab.limit': 12_800, 'convlab.epochs': 60, 'convlab.threads': 1 };
/** In a browser, VS Code writes down what it keeps for a panel only every 5 seconds, not when the page goes away. */
const kept = 7000;

/** npm fetches some packages, a compiler builds the binding. */
const installing = { timeout: 240_000 };

let browser: Browser;
beforeAll(async () => {
  browser = await startBrowser();
});
afterAll(() => browser?.close());

/** Everything that the tests of one server share: windows that close after each test, and an image when one fails. */
function onServer(options: Omit<Parameters<typeof startCodeServer>[0], 'extensions'>) {
  let server: CodeServer;
  const windows: Workbench[] = [];
  beforeAll(async () => {
    server = await startCodeServer({ ...options, extensions: [inject('vsix')] });
  });
  afterAll(() => server?.stop());
  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail') {
      for (const [i, window] of windows.entries()) {
        const image = path.join(repository, 'test-results', `${task.name.replace(/\W+/g, '-')}-${i}.png`);
        fs.mkdirSync(path.dirname(image), { recursive: true });
        await window.screenshot(image).catch(() => undefined);
        console.log(image);
      }
      console.log(server.log());
    }
    const errors = windows.flatMap((window) => window.errors);
    await Promise.all(windows.splice(0).map((window) => window.close()));
    expect(errors).toEqual([]);
    expect(server.errors('convlab.convlab')).toEqual([]);
  });
  return {
    get server() {
      return server;
    },
    async open(windowOptions: WorkbenchOptions = {}): Promise<Workbench> {
      const window = await Workbench.open(browser, server, windowOptions);
      windows.push(window);
      return window;
    },
  };
}

const runsOf = (folder: string): string[] => {
  const runs = path.join(folder, '.convlab/runs');
  return fs.existsSync(runs)
    ? fs
        .readdirSync(runs)
        .map((name) => path.join(runs, name))
        .filter(isFolder)
    : [];
};
const isFolder = (file: string) => fs.statSync(file).isDirectory();
const resultOf = (run: string) =>
  JSON.parse(fs.readFileSync(path.join(run, 'result.json'), 'utf8')) as { testAccuracy: number };

/** The contact sheet on the page that is shown: a row of images for each example. */
function sheetOf(window: Workbench) {
  const page = window.webview();
  const table = page.getByTestId('example-table');
  return {
    heads: async () => {
      await table.waitFor(patient);
      return table.locator('thead th').allInnerTexts();
    },
    footnote: () => page.getByTestId('examples').locator('.footnote').innerText(),
    async rows(): Promise<{ label: string; name: string; images: { digest: string; width: number }[] }[]> {
      await table.waitFor(patient);
      const rows = await table.locator('tbody tr').evaluateAll((found) =>
        Promise.all(
          found.map(async (row) => {
            const head = row.querySelector('th')!;
            const images = [...row.querySelectorAll('img')];
            await Promise.all(images.map((image) => image.decode()));
            return {
              label: head.textContent,
              name: head.title,
              images: images.map((i) => [i.src, i.naturalWidth] as const),
            };
          }),
        ),
      );
      const digest = (text: string) => createHash('sha256').update(text).digest('hex');
      return rows.map(({ label, name, images }) => ({
        ...{ label, name },
        images: images.map(([source, width]) => ({ digest: digest(source), width })),
      }));
    },
  };
}

const eventsOf = (run: string) =>
  fs
    .readFileSync(path.join(run, 'metrics.jsonl'), 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as { type: string; reason?: string; epoch?: number; step?: number });

describe('in English', () => {
  const on = onServer({});

  test('a student trains LeNet-5 from the palette and reads the test accuracy', async () => {
    const folder = on.server.folder('palette', watched);
    const window = await on.open({ folder });
    await window.openContainer('ConvLab');
    await window.treeItem(`${experiment}, not run yet`).waitFor();

    await window.run(trainLenet);
    const { id, inState, epochsDrawn } = panelOf(window);
    await window.treeItem(new RegExp(`^${experiment}, (starting|running)`)).waitFor(patient);
    await epochsDrawn(1);
    await inState('finished');
    await epochsDrawn(2);
    expect(Number(await id('chart').getAttribute('data-train-points'))).toBeGreaterThan(0);
    expect(await id('epoch-line').innerText()).toMatch(
      /^Epoch \[2\/2\] training loss: \d\.\d{4} training accuracy: 0\.\d{4} validation accuracy: 0\.\d{4}$/,
    );

    const [run] = runsOf(folder);
    const shown = await id('test-accuracy').innerText();
    expect(shown).toBe(resultOf(run!).testAccuracy.toFixed(4));
    // Two epochs leave chance (0.1) far behind; what full training reaches is measured elsewhere.
    expect(Number(shown)).toBeGreaterThan(0.5);
    await window.treeItem(`${experiment}, finished, ${shown}`).waitFor();
    await expect.poll(() => window.notifications(), patient).toContain(`${experiment}: test accuracy ${shown}`);
  });

  test('a finished run opens from the tree and shows its figures', async () => {
    const folder = on.server.folder('palette');
    const [run] = runsOf(folder);
    const window = await on.open({ folder });
    await window.openContainer('ConvLab');
    const item = window.treeItem(`${experiment}, finished`);
    await item.click();
    await item.press('ArrowRight');
    await window.treeItem(/course · finished/).click();

    const { id, inState } = panelOf(window);
    await inState('finished');
    expect(await id('test-accuracy').innerText()).toBe(resultOf(run!).testAccuracy.toFixed(4));
    expect(await id('epoch-table').locator('tbody tr').count()).toBe(2);
    await id('tab-confusion').click();
    await expect.poll(() => id('confusion').locator('tbody td').count()).toBeGreaterThanOrEqual(100);
    await id('tab-run').click();
    await expect.poll(() => id('run-facts').innerText()).toContain('onnx');
  });

  test('the comparison shows the run in the course’s table and its curve, and opens it', async () => {
    const folder = on.server.folder('palette');
    const [run] = runsOf(folder);
    const window = await on.open({ folder });
    await window.openContainer('ConvLab');
    await window.treeItem(/^Summary table and curves/).click();
    const page = window.webview();
    const table = page.getByTestId('comparison-table');
    await table.waitFor(patient);
    expect(await table.locator('tbody tr').count()).toBe(1);
    expect(await page.getByTestId('compared-accuracy').innerText()).toBe(
      `${resultOf(run!).testAccuracy.toFixed(4)} test`,
    );
    expect(await page.getByTestId('comparison-chart').getAttribute('data-curves')).toBe('1');
    await page.getByTestId('figure-trainLoss').click();
    await expect.poll(() => page.getByTestId('figure-trainLoss').getAttribute('aria-pressed')).toBe('true');
    await page.getByTestId('choose-run').click();
    await page.getByTestId('comparison-empty').waitFor();
    await page.getByTestId('choose-run').click();
    await table.locator('button').click();
    await panelOf(window).inState('finished');
  });

  test('the palette asks for the preset, and leaving the question trains nothing', async () => {
    const folder = on.server.folder('preset');
    const window = await on.open({ folder });
    await window.run(trainLenet);
    await window.quickPickEntry('quick').waitFor();
    await window.quickPickEntry('course').waitFor();
    await window.escape();
    expect(runsOf(folder)).toEqual([]);
  });

  test('“Train…” leads from network to dataset to preset', async () => {
    const folder = on.server.folder('train-any', { ...short, 'convlab.preset': 'ask' });
    const window = await on.open({ folder });
    await window.run('ConvLab: Train…');
    await window.pick('LeNet-5');
    await window.pick('MNIST');
    await window.pick('quick');
    const { inState, id } = panelOf(window);
    await inState('finished');
    await id('tab-run').click();
    await expect.poll(() => id('run-facts').innerText()).toContain('quick');
  });

  test('a run is stopped and goes on from where it was', async () => {
    const epochs = 6;
    const folder = on.server.folder('stop', { ...long, 'convlab.epochs': epochs });
    const window = await on.open({ folder });
    await window.openContainer('ConvLab');
    await window.run(trainLenet);
    const { id, inState, epochsDrawn } = panelOf(window);
    await epochsDrawn(1);
    await id('stop').click();
    await inState('stopped');
    await window.treeItem(`${experiment}, stopped`).waitFor();
    const [run] = runsOf(folder);
    const stopped = eventsOf(run!).at(-1)!;
    expect(stopped).toMatchObject({ type: 'stopped', reason: 'user' });

    await id('resume').click();
    await inState('finished');
    expect(runsOf(folder)).toEqual([run]);
    const resumed = eventsOf(run!).find((event) => event.type === 'resumed')!;
    expect([resumed.epoch, resumed.step]).toEqual([stopped.epoch, stopped.step]);
    await epochsDrawn(epochs);
    expect(await id('test-accuracy').innerText()).toBe(resultOf(run!).testAccuracy.toFixed(4));
  });

  test('a panel that was hidden shows all that has happened meanwhile', async () => {
    const folder = on.server.folder('hidden', long);
    const window = await on.open({ folder });
    await window.run(trainLenet);
    const { id, epochsDrawn } = panelOf(window);
    await epochsDrawn(1);
    await window.run('File: New Untitled Text File');
    await window.editorTab(/Untitled/).waitFor();
    const [run] = runsOf(folder);
    const epochs = () => eventsOf(run!).filter(({ type }) => type === 'epoch').length;
    const before = epochs();
    await expect.poll(epochs, patient).toBeGreaterThan(before);
    await window.editorTab(experiment).click();
    await epochsDrawn(before + 1);
    expect(Number(await id('chart').getAttribute('data-train-points'))).toBeGreaterThan(0);
    await id('stop').click();
    await panelOf(window).inState('stopped');
  });

  test('a trainer that is killed is reported with what to do, and the run can go on', async () => {
    const folder = on.server.folder('killed', long);
    const window = await on.open({ folder });
    await window.run(trainLenet);
    const { id, inState, epochsDrawn } = panelOf(window);
    await epochsDrawn(1);
    const [run] = runsOf(folder);
    const trainer = (JSON.parse(fs.readFileSync(path.join(run!, 'lock'), 'utf8')) as { pid: number }).pid;
    process.kill(trainer, 'SIGKILL');
    await inState('failed');
    const sentence = /The system ended the trainer process \(SIGKILL\)/;
    expect(await id('error').innerText()).toMatch(sentence);
    await expect.poll(async () => (await window.notifications()).join(), patient).toMatch(sentence);
    await id('resume').click();
    await inState('running');
    // A trainer that is stopped before it has begun is ended at once, and nothing is recorded.
    await expect.poll(() => eventsOf(run!).some(({ type }) => type === 'resumed'), patient).toBe(true);
    await id('stop').click();
    await inState('stopped');
  });

  test('a window that is reloaded during a run goes on to the end', async () => {
    const folder = on.server.folder('reload', long);
    const window = await on.open({ folder });
    await window.run(trainLenet);
    await panelOf(window).epochsDrawn(1);
    await window.page.waitForTimeout(kept);
    await window.reload();

    const { id, inState, epochsDrawn } = panelOf(window);
    await inState('finished');
    await epochsDrawn(long['convlab.epochs']);
    const [run, ...others] = runsOf(folder);
    expect(others).toEqual([]);
    const events = eventsOf(run!);
    const at = events.findIndex((event) => event.type === 'stopped');
    expect(events[at]).toMatchObject({ reason: 'editorGone' });
    const resumed = events.slice(at).find((event) => event.type === 'resumed')!;
    expect([resumed.epoch, resumed.step]).toEqual([events[at]!.epoch, events[at]!.step]);
    expect(await id('test-accuracy').innerText()).toBe(resultOf(run!).testAccuracy.toFixed(4));
  });

  test('a run whose panel was closed is offered after a reload', async () => {
    const folder = on.server.folder('offered', long);
    const window = await on.open({ folder });
    await window.openContainer('ConvLab');
    await window.run(trainLenet);
    await panelOf(window).epochsDrawn(1);
    await window.run('View: Close All Editors');
    await window.editorTab(experiment).waitFor({ state: 'detached' });
    await window.page.waitForTimeout(kept);
    await window.reload();
    await expect.poll(async () => (await window.notifications()).join(), patient).toContain(experiment);
    await window.answer('Continue');
    await panelOf(window).inState('running');
    await panelOf(window).id('stop').click();
    await panelOf(window).inState('stopped');
    const [run] = runsOf(folder);
    const said = eventsOf(run!).filter(({ type }) => type === 'stopped' || type === 'resumed');
    expect(said.map(({ type, reason }) => reason ?? type)).toEqual(['editorGone', 'resumed', 'user']);
  });

  test('several folders: runs go to the first, and those of all are listed', async () => {
    const [first, second] = [on.server.folder('first'), on.server.folder('second')];
    fs.cpSync(path.join(on.server.folder('palette'), '.convlab'), path.join(second, '.convlab'), { recursive: true });
    const workspace = path.join(path.dirname(first), 'both.code-workspace');
    fs.writeFileSync(workspace, JSON.stringify({ folders: [{ path: first }, { path: second }], settings: short }));
    const window = await on.open({ folder: workspace });
    // code-server now and then shows the workspace file's name but none of its folders, until the page is loaded again.
    for (let attempt = 0; attempt < 5 && !(await window.showsFolder('first')); attempt++) await window.reload();
    await window.openContainer('ConvLab');
    await window.treeItem(`${experiment}, finished`).waitFor();
    await window.run(trainLenet);
    await panelOf(window).inState('finished');
    expect(runsOf(first)).toHaveLength(1);
    const item = window.treeItem(`${experiment}, finished`);
    await item.click();
    await item.press('ArrowRight');
    await expect
      .poll(async () => (await window.treeItems()).filter((name) => name.includes('course · finished')).length, patient)
      .toBe(2);
  });

  test('AlexNet trains on the images of the workspace’s cat_dog folder, augmented', async () => {
    // Two steps an epoch: AlexNet is a thousand times as large as LeNet-5.
    const folder = on.server.folder('photographs', {
      'convlab.preset': 'quick',
      'convlab.limit': 64,
      'convlab.epochs': 2,
    });
    await fill(path.join(folder, 'cat_dog'), { cat: 48 }, 1);
    await fill(path.join(folder, 'cat_dog'), { dog: 48 }, 2);
    const window = await on.open({ folder });
    await window.openContainer('ConvLab');
    const title = 'AlexNet on Cats vs Dogs, augmented';
    await window.treeItem(`${title}, not run yet`).waitFor();
    await window.run(`ConvLab: Train ${title}`);
    const { id, inState, epochsDrawn } = panelOf(window);
    await inState('finished');
    await epochsDrawn(2);

    const [run] = runsOf(folder);
    const shown = await id('test-accuracy').innerText();
    expect(shown).toBe(resultOf(run!).testAccuracy.toFixed(4));
    await window.treeItem(`${title}, finished, ${shown}`).waitFor();
    await id('tab-confusion').click();
    await expect.poll(() => id('confusion').innerText()).toMatch(/cat\s+dog/);
    await id('tab-run').click();
    await expect.poll(() => id('run-facts').innerText()).toContain(path.join(folder, 'cat_dog'));
    expect(fs.existsSync(path.join(run!, 'split.json'))).toBe(true);
  });

  test('the view of datasets tells what a folder holds and what cannot be used, and follows another choice', async () => {
    const folder = on.server.folder('datasets');
    const images = path.join(folder, 'cat_dog');
    await fill(images, { cat: 6, dog: 5 }, 3);
    put(images, 'cat/nothing.jpg', '');
    put(images, 'dog/words.jpg', 'This is no image.');
    const other = path.join(folder, 'PetImages');
    await fill(other, { Cat: 4, Dog: 4 }, 4);
    const window = await on.open({ folder });
    await window.openContainer('ConvLab');
    const item = window.treeItem(/^Cats vs Dogs, /);
    await window.treeItem('Cats vs Dogs, 11 images · 2 files left out').waitFor(patient);
    await window.treeItem('MNIST, 70,000 images').waitFor();
    await window.treeItem('CIFAR-10 without cats and dogs, not fetched yet').waitFor();
    await item.click();
    await item.press('ArrowRight');
    const shown = async () => (await window.treeItems()).join('\n');
    await expect.poll(shown).toMatch(/Classes.*cat 6, dog 5/);
    expect(await shown()).toContain('1 of 13 files were left out because they are empty, such as cat/nothing.jpg.');
    expect(await shown()).toContain('1 of 13 files were left out because they are not images, such as dog/words.jpg.');
    expect(await shown()).toContain(images);

    await window.inlineButton(item, 'Choose Folder of Cats and Dogs…');
    await window.chooseFolder(folder, 'PetImages', 'Use This Folder');
    await window.treeItem('Cats vs Dogs, 8 images').waitFor(patient);
    const settings = fs.readFileSync(path.join(folder, '.vscode/settings.json'), 'utf8');
    expect(JSON.parse(settings)).toMatchObject({ 'convlab.catDogFolder': other });
  });

  test('examples are shown before any run: each image as it is and as each epoch’s augmentation makes it', async () => {
    const folder = on.server.folder('examples', { 'convlab.epochs': 2 });
    await fill(path.join(folder, 'cat_dog'), { cat: 12, dog: 12 }, 5);
    const window = await on.open({ folder });
    await window.run('ConvLab: Show Examples');
    const title = 'AlexNet on Cats vs Dogs, augmented';
    await window.pick('AlexNet');
    await window.pick('Cats vs Dogs');
    await window.pick(title);
    await window.editorTab(`Examples: ${title}`).waitFor();
    const sheet = sheetOf(window);
    expect(await sheet.heads()).toEqual(['As it is', 'Epoch 1', 'Epoch 2']);
    const rows = await sheet.rows();
    expect(rows.map(({ label }) => label)).toEqual(['cat', 'cat', 'cat', 'dog', 'dog', 'dog']);
    for (const { images } of rows) {
      // Of the preset `course`; each drawn, each another.
      expect(images.map(({ width }) => width)).toEqual([224, 224, 224]);
      expect(new Set(images.map(({ digest }) => digest)).size).toBe(3);
    }
    expect(await sheet.footnote()).toContain(path.join(folder, 'cat_dog'));
  });

  test('a run’s own images are shown while it trains, and when it is opened again', async () => {
    // One step an epoch.
    const settings = { 'convlab.preset': 'quick', 'convlab.limit': 32, 'convlab.epochs': 60 };
    const folder = on.server.folder('images', settings);
    await fill(path.join(folder, 'cat_dog'), { cat: 24 }, 1);
    await fill(path.join(folder, 'cat_dog'), { dog: 24 }, 2);
    const window = await on.open({ folder });
    const title = 'ResNet-18 on Cats vs Dogs';
    await window.run(`ConvLab: Train ${title}`);
    const { id, inState, epochsDrawn } = panelOf(window);
    await epochsDrawn(1);
    await id('tab-examples').click();
    const sheet = sheetOf(window);
    const during = await sheet.rows();
    expect(await id('state').getAttribute('data-state')).toBe('running');
    expect(during).toHaveLength(6);
    const [run] = runsOf(folder);
    const trainedOn = readSplit(run!)!.parts.train.map(({ name }) => name);
    expect(during.filter(({ name }) => !trainedOn.includes(name))).toEqual([]);
    expect(await sheet.heads()).toEqual(['As it is', ...[1, 2, 3, 4, 5, 6, 7].map((epoch) => `Epoch ${epoch}`)]);
    await id('stop').click();
    await inState('stopped');
    await window.run('View: Close All Editors');
    await window.editorTab(title).waitFor({ state: 'detached' });

    await window.openContainer('ConvLab');
    const item = window.treeItem(`${title}, stopped`);
    await item.click();
    await item.press('ArrowRight');
    await window.treeItem(/quick · stopped/).click();
    await inState('stopped');
    await id('tab-examples').click();
    expect(await sheet.rows()).toEqual(during);
  });

  test('an experiment of the appendix has no test set, and panel, sidebar and comparison say so', async () => {
    const folder = on.server.folder('photographs');
    const window = await on.open({ folder });
    await window.openContainer('ConvLab');
    const title = 'AlexNet (Keras) on Cats vs Dogs';
    await window.run(`ConvLab: Train ${title}`);
    const { id, inState } = panelOf(window);
    await inState('finished');
    const shown = await id('test-accuracy').innerText();
    const result = id('test-accuracy').locator('xpath=ancestor::dl');
    expect(await result.innerText()).toMatch(/^Validation accuracy/);
    await window.treeItem(`${title}, finished, ${shown} validation`).waitFor();
    await window.treeItem(/^Summary table and curves/).click();
    await expect
      .poll(() => window.webview().getByTestId('compared-accuracy').allInnerTexts(), patient)
      .toEqual([expect.stringMatching(/ test$/), `${shown} validation`]);
  });

  test('a dataset folder that does not exist is named in the notification and the panel', async () => {
    const missing = path.join(on.server.folder('failing', short), 'no-such-folder');
    const folder = on.server.folder('failing', { ...short, 'convlab.mnistFolder': missing });
    const window = await on.open({ folder });
    await window.run(trainLenet);
    const { id, inState } = panelOf(window);
    await inState('failed');
    expect(await id('error').innerText()).toContain(missing);
    await expect.poll(async () => (await window.notifications()).join(), patient).toContain(missing);
  });
});

describe('with no folder open', () => {
  const on = onServer({ settings: short });

  test('the sidebar says where runs are kept, and a run is trained there', async () => {
    const window = await on.open();
    await window.openContainer('ConvLab');
    await window.page.getByText('No folder is open, so runs are kept in ConvLab’s own storage.').waitFor();
    await window.run(trainLenet);
    const { inState, id } = panelOf(window);
    await inState('finished');
    const runs = path.join(on.server.userData, 'User/globalStorage/convlab.convlab/runs');
    const [run] = fs
      .readdirSync(runs)
      .map((name) => path.join(runs, name))
      .filter(isFolder);
    expect(await id('test-accuracy').innerText()).toBe(resultOf(run!).testAccuracy.toFixed(4));
    await window.treeItem(`${experiment}, finished`).waitFor();
  });
});

describe('native TensorFlow', () => {
  const setUpElsewhere = process.env['CONVLAB_TENSORFLOW'];
  if (setUpElsewhere === undefined) {
    test('is set up, trains and is removed', (context) => context.skip('CONVLAB_TENSORFLOW is not set'));
    return;
  }
  const { python, tensorflow } = readRecord(setUpElsewhere)!;
  const on = onServer({ settings: short, machineSettings: { 'convlab.tensorflowPython': python } });

  test('is set up from the palette, trains as the panel says, and is removed', { timeout: 420_000 }, async () => {
    const folder = on.server.folder('tensorflow', { 'workbench.notifications.duration': 0 });
    const setup = path.join(on.server.userData, 'User/globalStorage/convlab.convlab/tensorflow');
    const window = await on.open({ folder });
    await window.run('ConvLab: Set Up TensorFlow');
    const done = `TensorFlow ${tensorflow} is set up and computes on: CPU.`;
    await expect.poll(async () => (await window.notifications()).join(), installing).toContain(done);
    expect(readRecord(setup)).toMatchObject({ source: 'python', python, tensorflow });
    await window.answer('Train with TensorFlow');
    // A window whose extensions run elsewhere, as here, keeps a machine's settings apart from the user's.
    const written = () =>
      ['User', 'Machine'].map((of) => fs.readFileSync(path.join(on.server.userData, of, 'settings.json'), 'utf8'));
    await expect.poll(() => written().join(), patient).toMatch(/"convlab.engine": "tensorflow"/);

    await window.run(trainLenet);
    const { id, inState } = panelOf(window);
    await inState('finished');
    const [run] = runsOf(folder);
    expect(eventsOf(run!)[0]).toMatchObject({ type: 'started', engine: 'tensorflow' });
    await id('tab-run').click();
    await expect.poll(() => id('run-facts').innerText()).toContain('tensorflow');
    expect(await id('run-facts').innerText()).toContain(`libtensorflow ${tensorflow}`);
    // Two epochs leave chance (0.1) far behind, on this engine too.
    expect(resultOf(run!).testAccuracy).toBeGreaterThan(0.5);

    await window.run('ConvLab: Remove TensorFlow');
    await expect.poll(async () => (await window.notifications()).join(), patient).toContain('was removed from');
    expect(fs.existsSync(setup)).toBe(false);
  });
});

describe('in Traditional Chinese', () => {
  const on = onServer({ settings: short, locale: 'zh-tw' });
  const read = (file: string) =>
    JSON.parse(fs.readFileSync(path.join(repository, file), 'utf8')) as Record<string, string>;
  const bundle = read('l10n/bundle.l10n.zh-tw.json');
  /** Only texts that really are Chinese prove anything. */
  const chinese = (english: string): string => {
    const text = bundle[english];
    expect(text).toMatch(/\p{Script=Han}/u);
    return text!;
  };

  test('command, sidebar and panel speak it', async () => {
    const manifest = JSON.parse(fs.readFileSync(path.join(repository, 'package.json'), 'utf8')) as {
      contributes: { commands: { command: string; title: string }[] };
    };
    const key = manifest.contributes.commands.find(({ command }) => command === 'convlab.train.lenet5-mnist')!.title;
    const title = read('package.nls.zh-tw.json')[key.slice(1, -1)]!;
    expect(title).toMatch(/\p{Script=Han}/u);

    const window = await on.open({ folder: on.server.folder('chinese') });
    await window.openContainer('ConvLab');
    await window.treeItem(new RegExp(chinese('not run yet'))).waitFor();
    await window.run(`ConvLab: ${title}`);
    const { id, inState } = panelOf(window);
    await inState('finished');
    expect(await id('state').innerText()).toBe(chinese('Finished, {epochs} epochs').replace('{epochs}', '2'));
    expect(await id('epoch-line').innerText()).toMatch(/輪次 \[2\/2\] 訓練損失: .*訓練準確率: .*驗證準確率: /);
    await window.treeItem(new RegExp(chinese('finished'))).waitFor();
  });
});
