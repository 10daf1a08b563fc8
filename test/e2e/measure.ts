/**
 * How long a student waits in a real VS Code: for the extension to start, and from choosing the command to the first
 * point of the chart. Prints every figure and the medians; asserts nothing about them.
 */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, inject, test } from 'vitest';
import { CodeServer, startCodeServer } from './server';
import { panelOf, startBrowser, Workbench } from './workbench';

const windows = 5;

let browser: Browser;
let server: CodeServer;
beforeAll(async () => {
  browser = await startBrowser();
  server = await startCodeServer({ extensions: [inject('vsix')] });
});
afterAll(async () => {
  await browser?.close();
  await server?.stop();
});

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1]!;

/** Milliseconds, as VS Code itself counts them: loading the code and calling activate(). */
async function activation(window: Workbench): Promise<number> {
  await window.run('Developer: Show Running Extensions');
  const row = window.page.locator('.runtime-extensions-editor .extension').filter({ hasText: 'ConvLab' });
  const text = await row.locator('.activation-time').innerText();
  return Number(/(\d+)\s*ms/.exec(text)![1]);
}

test('what a student waits for', async () => {
  const points: number[] = [];
  const activations: number[] = [];
  for (let i = 0; i < windows; i++) {
    const folder = server.folder(`measure-${i}`, { 'convlab.preset': 'course' });
    const window = await Workbench.open(browser, server, { folder });
    const entry = await window.paletteEntry('ConvLab: Train LeNet-5 on MNIST');
    const start = performance.now();
    await window.pick(entry);
    const panel = panelOf(window);
    await panel.id('chart').waitFor();
    while (Number(await panel.id('chart').getAttribute('data-train-points')) < 1) await window.page.waitForTimeout(10);
    points.push(Math.round(performance.now() - start));
    await panel.id('stop').click();
    await panel.inState('stopped');
    activations.push(await activation(window));
    await window.close();
  }
  console.log(`from command to first point: ${points.join(', ')} ms; median ${median(points)} ms`);
  console.log(`activation: ${activations.join(', ')} ms; median ${median(activations)} ms`);
});
