/// <reference lib="dom" />
/**
 * The pages in a real Chromium, under the very HTML and content security policy that the extension gives them; the test is
 * the extension host. CONVLAB_CHROMIUM names the browser. Where there is none the tests are skipped, and the reason is
 * printed; in CI it is a failure.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { build } from 'esbuild';
import { Browser, chromium, Locator, Page } from 'playwright-core';
import { protocolVersion } from '../../src/core/contracts/events';
import { Log } from '../../src/host/log';
import { PageHost, PageName } from '../../src/host/page';
import { FakePanel, Uri } from '../unit/vscodeFake';

const root = path.join(import.meta.dirname, '../..');
const origin = 'https://webview.test';

const executable = process.env['CONVLAB_CHROMIUM'] ?? '/usr/bin/chromium';
/** Whether there is a browser to test in. */
export const found = fs.existsSync(executable);
if (!found) {
  const reason = `There is no Chromium at ${executable} (CONVLAB_CHROMIUM names another): the pages are not tested.`;
  if (process.env['CI']) throw new Error(reason);
  console.warn(reason);
}

/** Some of the variables that VS Code sets, in the colours of its themes. */
const themes = {
  dark: { kind: 'vscode-dark', background: '#1f1f1f', foreground: '#cccccc', green: '#89d185' },
  light: { kind: 'vscode-light', background: '#ffffff', foreground: '#3b3b3b', green: '#388a34' },
} as const;
export type ThemeName = keyof typeof themes;

const bundles = new Map<PageName, Promise<Map<string, string>>>();
/** The page's files as they are shipped, by name. */
function bundle(name: PageName): Promise<Map<string, string>> {
  const made = bundles.get(name) ?? make(name);
  bundles.set(name, made);
  return made;
}
async function make(name: PageName): Promise<Map<string, string>> {
  const { outputFiles } = await build({
    entryPoints: { [name]: path.join(root, `src/webview/${name}.ts`) },
    bundle: true,
    format: 'iife',
    platform: 'browser',
    target: 'chrome128',
    outdir: 'out',
    write: false,
  });
  return new Map(outputFiles.map((file) => [path.basename(file.path), file.text]));
}

let browser: Promise<Browser> | undefined;
export async function closeBrowser(): Promise<void> {
  await (await browser)?.close();
  browser = undefined;
}

/** The HTML that the extension gives a page. */
function htmlOf(name: PageName): string {
  const panel = new FakePanel();
  const address = (uri: Uri) => ({ toString: () => `${origin}${uri.fsPath}` });
  Object.assign(panel.webview, { cspSource: origin, asWebviewUri: address });
  new PageHost(panel as never, Uri.file('/') as never, new Log(), { page: name, ready: () => {}, closed: () => {} });
  return panel.webview.html;
}

/** A page in the browser, and the host's end of its line. */
export class OpenPage {
  /** Errors, warnings, and what the policy has refused. */
  readonly complaints: string[] = [];

  private constructor(readonly page: Page) {}

  /** Opens a page, which has said 'ready'. @param kept what VS Code has kept for it */
  static async of(name: PageName, kept?: unknown): Promise<OpenPage> {
    browser ??= chromium.launch({ executablePath: executable, args: ['--no-sandbox', '--disable-gpu'] });
    const page = await (await browser).newPage({ viewport: { width: 1000, height: 900 } });
    const opened = new OpenPage(page);
    page.on('console', (line) => {
      if (['error', 'warning'].includes(line.type())) opened.complaints.push(line.text());
    });
    page.on('pageerror', (error) => opened.complaints.push(String(error.stack)));
    const files = await bundle(name);
    await page.route('**/*', (route) => {
      const { pathname } = new URL(route.request().url());
      if (pathname === '/') return route.fulfill({ contentType: 'text/html', body: htmlOf(name) });
      const body = files.get(path.basename(pathname));
      const contentType = pathname.endsWith('.js') ? 'text/javascript' : 'text/css';
      return body === undefined ? route.fulfill({ status: 404, body: '' }) : route.fulfill({ contentType, body });
    });
    await page.addInitScript((state: unknown) => {
      let kept: unknown = state ?? undefined;
      const sent: unknown[] = [];
      Object.assign(globalThis, {
        sent,
        acquireVsCodeApi: () => ({
          postMessage: (message: unknown) => sent.push(message),
          getState: () => kept,
          setState: (value: unknown) => (kept = value),
        }),
        keptState: () => kept,
      });
    }, kept ?? null);
    await page.goto(`${origin}/`);
    await opened.theme('dark');
    return opened;
  }

  /** Tells the page something, and waits until it has drawn. */
  async post(message: object): Promise<void> {
    await this.page.evaluate((message) => window.postMessage(message), message);
    await this.settle();
  }

  /** Tells the page everything at once. */
  snapshot(snapshot: object, language = 'en', protocol = protocolVersion): Promise<void> {
    const file = path.join(root, `l10n/bundle.l10n.${language}.json`);
    const translations = language === 'en' ? {} : (JSON.parse(fs.readFileSync(file, 'utf8')) as object);
    return this.post({ type: 'snapshot', protocol, language, translations, snapshot });
  }

  async settle(): Promise<void> {
    await this.page.evaluate(
      () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 60)))),
    );
  }

  /** What the page has said since it was asked last. */
  sent(): Promise<unknown[]> {
    return this.page.evaluate(() => (globalThis as unknown as { sent: unknown[] }).sent.splice(0));
  }

  kept(): Promise<unknown> {
    return this.page.evaluate(() => (globalThis as unknown as { keptState(): unknown }).keptState());
  }

  by(testId: string): Locator {
    return this.page.locator(`[data-testid="${testId}"]`);
  }

  async theme(name: ThemeName): Promise<void> {
    await this.page.evaluate(({ kind, background, foreground, green }) => {
      const { style } = document.documentElement;
      style.setProperty('--vscode-editor-background', background);
      style.setProperty('--vscode-editor-foreground', foreground);
      style.setProperty('--vscode-charts-green', green);
      document.body.className = kind;
      document.body.dataset['vscodeThemeKind'] = kind;
    }, themes[name]);
    await this.settle();
  }

  /** Pixels of a canvas in exactly this colour. */
  pixels(testId: string, [red, green, blue]: readonly [number, number, number]): Promise<number> {
    return this.by(testId)
      .locator('canvas')
      .evaluate(
        (canvas: HTMLCanvasElement, wanted) => {
          // A copy, since Chromium complains of a canvas that is read back more than once.
          const copy = document.createElement('canvas');
          Object.assign(copy, { width: canvas.width, height: canvas.height });
          const context = copy.getContext('2d', { willReadFrequently: true })!;
          context.drawImage(canvas, 0, 0);
          const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
          let count = 0;
          for (let i = 0; i < data.length; i += 4) {
            if (wanted.every((value, channel) => data[i + channel] === value)) count++;
          }
          return count;
        },
        [red, green, blue],
      );
  }
}
