/**
 * The images of docs/images: ConvLab in a real VS Code, during and after a real run of LeNet-5's `course` preset, in
 * every kind of theme and in Traditional Chinese. Taken by `npm run screenshots`; Chinese needs a font, such as Debian's
 * fonts-noto-cjk.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Browser } from 'playwright-core';
import sharp from 'sharp';
import { afterAll, beforeAll, inject, test } from 'vitest';
import { listRuns } from '../../src/disk/runs';
import { CodeServer, repository, startCodeServer } from './server';
import { put } from '../unit/drawnImages';
import { fillWithAnimals } from './drawnAnimals';
import { panelOf, startBrowser, Workbench } from './workbench';

const images = path.join(repository, 'docs/images');
const themes = {
  dark: 'Dark Modern',
  light: 'Light Modern',
  'high-contrast': 'Default High Contrast',
  'high-contrast-light': 'Default High Contrast Light',
};
const whole = { timeout: 800_000 };
type Size = { readonly width: number; readonly height: number };
/** Wide enough for eight images beside a sidebar whose lines are long. */
const wide: Size = { width: 1600, height: 1000 };

let browser: Browser;
let server: CodeServer;
let folder: string;
beforeAll(async () => {
  browser = await startBrowser();
  server = await startCodeServer({ extensions: [inject('vsix')] });
  folder = server.folder('course');
  fs.mkdirSync(images, { recursive: true });
});
afterAll(async () => {
  await browser?.close();
  await server?.stop();
});

async function open(on: CodeServer, theme: keyof typeof themes, of = folder, size?: Size): Promise<Workbench> {
  const settings = {
    'workbench.colorTheme': themes[theme],
    'window.title': '${activeEditorShort}',
    'convlab.preset': 'course',
  };
  fs.mkdirSync(path.join(of, '.vscode'), { recursive: true });
  fs.writeFileSync(path.join(of, '.vscode/settings.json'), JSON.stringify(settings));
  const window = await Workbench.open(browser, on, { folder: of, scale: 2, size });
  await window.openContainer('ConvLab');
  await window.treeItem(/LeNet-5/).waitFor();
  return window;
}

/** Opens the finished run from the tree, as a student does. */
async function openRun(window: Workbench, of = /MNIST/): Promise<ReturnType<typeof panelOf>> {
  const experiment = window.treeItem(of);
  await experiment.click();
  await experiment.press('ArrowRight');
  await window.page.locator('.part.sidebar').getByRole('treeitem', { level: 3 }).first().click();
  const panel = panelOf(window);
  await panel.inState('finished');
  await panel.epochsDrawn(1);
  return panel;
}

/** The header of a view in the sidebar, which opens and closes it. */
const pane = (window: Workbench, name: string) => window.page.locator('.part.sidebar').getByRole('button', { name });

/** The view of engines alone, with every engine's lines. */
async function showEngines(window: Workbench): Promise<void> {
  await pane(window, 'Engines Section').click();
  await pane(window, 'Experiments Section').click();
  await window.treeItem(/^onnx/).waitFor();
  for (const engine of [/^webgpu/, /^tensorflow/]) {
    await window.treeItem(engine).click();
    await window.treeItem(engine).press('ArrowRight');
  }
}

/**
 * The view of datasets alone, with what it tells of a folder of images, and beside it their contact sheet.
 * @param words as the display language has them
 */
async function showDatasets(window: Workbench, words: { experiments: string; dataset: string; examples: string }) {
  // The lines of a sidebar that is as narrow as usual end in dots.
  const edge = (await window.page.locator('.part.sidebar').boundingBox())!;
  await window.page.mouse.move(edge.x + edge.width, 500);
  await window.page.mouse.down();
  await window.page.mouse.move(560, 500, { steps: 5 });
  await window.page.mouse.up();
  await pane(window, words.experiments).click();
  const item = window.treeItem(new RegExp(`^${words.dataset}, `));
  await window.inlineButton(item, words.examples);
  await window.webview().getByTestId('example-table').waitFor();
  await item.click();
  await item.press('ArrowRight');
  await window.treeItem(/cat\/cat\.7\.jpg/).waitFor();
}

async function photograph(window: Workbench, name: string): Promise<void> {
  // Nothing under the pointer, no blinking cursor, and the last animation over.
  await window.page.mouse.move(640, window.page.viewportSize()!.height - 5);
  await window.page.waitForTimeout(700);
  const png = await window.page.screenshot({ animations: 'disabled', caret: 'hide' });
  // 256 colours suffice for a drawn image and make it a quarter as large.
  await sharp(png)
    .png({ palette: true, effort: 10 })
    .toFile(path.join(images, `${name}.png`));
}

test('during and after training, in every theme', async () => {
  const window = await open(server, 'dark');
  await window.paletteEntry('ConvLab: Train LeNet-5 on MNIST');
  await photograph(window, 'palette');
  await window.escape();
  await window.run('ConvLab: Train LeNet-5 on MNIST');
  const panel = panelOf(window);
  await panel.epochsDrawn(4, whole);
  await photograph(window, 'training-dark');
  await panel.inState('finished', whole);
  await photograph(window, 'finished-notification');
  await window.close();

  for (const theme of Object.keys(themes) as (keyof typeof themes)[]) {
    const again = await open(server, theme);
    const { id } = await openRun(again);
    await photograph(again, `finished-${theme}`);
    if (theme === 'light') {
      for (const tab of ['confusion', 'diagnostics', 'examples', 'run']) {
        await id(`tab-${tab}`).click();
        if (tab === 'examples') await id('example-grid').waitFor();
        await id(`tab-${tab}`).evaluate((element) => element.scrollIntoView({ block: 'start' }));
        await photograph(again, tab);
      }
    }
    await again.close();
  }
});

/** Where `npm run results` has its runs: they take most of an hour, so they are not made for an image. */
const results = path.resolve(repository, process.env['CONVLAB_RESULTS'] ?? '.convlab/results');

/** A folder with the first run of each experiment that `npm run results` made, without its checkpoints. */
function withResults(): string {
  const course = server.folder('compared');
  const seen = new Set<string>();
  // Oldest first: the runs of the first seed, with unchanged settings.
  for (const { folder: from, name, record, state } of listRuns(results).reverse()) {
    if (seen.has(record.experiment.id) || state !== 'finished') continue;
    seen.add(record.experiment.id);
    const to = path.join(course, '.convlab/runs', name);
    fs.cpSync(from, to, { recursive: true, filter: (file) => path.basename(file) !== 'checkpoints' });
  }
  return course;
}

test.skipIf(!fs.existsSync(results))('the course compared, and the AlexNet that is stuck', async () => {
  const course = withResults();
  for (const theme of Object.keys(themes) as (keyof typeof themes)[]) {
    const window = await open(server, theme, course, wide);
    await window.treeItem(/^Summary table and curves/).click();
    await window.webview().getByTestId('comparison-table').waitFor();
    await photograph(window, `comparison-${theme}`);
    if (theme === 'light') {
      const chart = window.webview().getByTestId('comparison-chart');
      await chart.evaluate((element) => element.scrollIntoView({ block: 'center' }));
      await photograph(window, 'comparison-curves');
      const panel = await openRun(window, /from scratch/);
      await panel.id('tab-diagnostics').click();
      await panel.id('tab-diagnostics').evaluate((element) => element.scrollIntoView({ block: 'start' }));
      await photograph(window, 'stuck');
    }
    await window.close();
  }
});

/** A folder as people have it: images, and some files that are none. */
async function withImages(on: CodeServer): Promise<string> {
  const images = on.folder('images');
  const animals = path.join(images, 'cat_dog');
  await fillWithAnimals(animals, 100);
  put(animals, 'cat/cat.7.jpg', '');
  put(animals, 'dog/dog.66.jpg', '<html>404 Not Found</html>');
  return images;
}

test('the datasets, and examples of one', async () => {
  const images = await withImages(server);
  for (const theme of Object.keys(themes) as (keyof typeof themes)[]) {
    const window = await open(server, theme, images, wide);
    const words = { experiments: 'Experiments Section', dataset: 'Cats vs Dogs', examples: 'Show Examples' };
    await showDatasets(window, words);
    await photograph(window, `datasets-${theme}`);
    await window.close();
  }
});

test('the engines, measured on this machine', async () => {
  const window = await open(server, 'dark');
  await showEngines(window);
  await window.inlineButton(window.treeItem(/^onnx/), 'Measure');
  await window.treeItem(/^ResNet-50, 224×224/).waitFor(whole);
  await window.close();
  for (const theme of Object.keys(themes) as (keyof typeof themes)[]) {
    const again = await open(server, theme);
    await showEngines(again);
    await again.treeItem(/^ResNet-50, 224×224/).waitFor();
    await photograph(again, `engines-${theme}`);
    await again.close();
  }
});

test('in Traditional Chinese', async () => {
  const chinese = await startCodeServer({ extensions: [inject('vsix')], locale: 'zh-tw' });
  try {
    const window = await open(chinese, 'light');
    await openRun(window);
    await photograph(window, 'finished-zh-tw');
    await window.close();
    const again = await open(chinese, 'light', await withImages(chinese), wide);
    await showDatasets(again, { experiments: '實驗 Section', dataset: '貓狗分類', examples: '顯示範例影像' });
    await photograph(again, 'datasets-zh-tw');
    await again.close();
  } finally {
    await chinese.stop();
  }
});
