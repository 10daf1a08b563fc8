/**
 * The pictures of docs/images: ConvLab in a real VS Code, during and after a real run of LeNet-5's `course` preset, in
 * every kind of theme and in Traditional Chinese. Taken by `npm run screenshots`; Chinese needs a font, such as Debian's
 * fonts-noto-cjk.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Browser } from 'playwright-core';
import sharp from 'sharp';
import { afterAll, beforeAll, inject, test } from 'vitest';
import { CodeServer, repository, startCodeServer } from './server';
import { panelOf, startBrowser, Workbench } from './workbench';

const images = path.join(repository, 'docs/images');
const themes = {
  dark: 'Dark Modern',
  light: 'Light Modern',
  'high-contrast': 'Default High Contrast',
  'high-contrast-light': 'Default High Contrast Light',
};
const whole = { timeout: 800_000 };

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

async function open(on: CodeServer, theme: keyof typeof themes): Promise<Workbench> {
  const settings = {
    'workbench.colorTheme': themes[theme],
    'window.title': '${activeEditorShort}',
    'convlab.preset': 'course',
  };
  fs.mkdirSync(path.join(folder, '.vscode'), { recursive: true });
  fs.writeFileSync(path.join(folder, '.vscode/settings.json'), JSON.stringify(settings));
  const window = await Workbench.open(browser, on, { folder, scale: 2 });
  await window.openContainer('ConvLab');
  await window.treeItem(/LeNet-5/).waitFor();
  return window;
}

/** Opens the finished run from the tree, as a student does. */
async function openRun(window: Workbench): Promise<ReturnType<typeof panelOf>> {
  const experiment = window.treeItem(/MNIST/);
  await experiment.click();
  await experiment.press('ArrowRight');
  await window.page.locator('.part.sidebar').getByRole('treeitem', { level: 3 }).first().click();
  const panel = panelOf(window);
  await panel.inState('finished');
  await panel.epochsDrawn(1);
  return panel;
}

/** The view of engines alone, with every engine's lines. */
async function showEngines(window: Workbench): Promise<void> {
  const pane = (name: string) => window.page.locator('.part.sidebar').getByRole('button', { name });
  await pane('Engines Section').click();
  await pane('Experiments Section').click();
  await window.treeItem(/^onnx/).waitFor();
  for (const engine of [/^webgpu/, /^tensorflow/]) {
    await window.treeItem(engine).click();
    await window.treeItem(engine).press('ArrowRight');
  }
}

async function photograph(window: Workbench, name: string): Promise<void> {
  // Nothing under the pointer, no blinking cursor, and the last animation over.
  await window.page.mouse.move(640, 795);
  await window.page.waitForTimeout(700);
  const png = await window.page.screenshot({ animations: 'disabled', caret: 'hide' });
  // 256 colours suffice for a drawn picture and make it a quarter as large.
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
      for (const tab of ['confusion', 'diagnostics', 'run']) {
        await id(`tab-${tab}`).click();
        await id(`tab-${tab}`).evaluate((element) => element.scrollIntoView({ block: 'start' }));
        await photograph(again, tab);
      }
    }
    await again.treeItem(/^Summary table and curves/).click();
    await again.webview().getByTestId('comparison-table').waitFor();
    await photograph(again, `comparison-${theme}`);
    await again.close();
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
  } finally {
    await chinese.stop();
  }
});
