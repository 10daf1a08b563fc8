/**
 * A person at the workbench, as far as the end-to-end tests need one: opens it in Chromium, runs commands from the
 * palette, reads the sidebar and notifications, and reaches into a webview's nested frames.
 */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { Browser, chromium, FrameLocator, Locator, Page } from 'playwright-core';
import type { CodeServer } from './server';

const flags = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** The Chromium to drive: CONVLAB_CHROMIUM, or the system's own. */
function chromiumPath(): string {
  const named = process.env['CONVLAB_CHROMIUM'];
  if (named) return named;
  for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
    try {
      return execFileSync('which', [name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
    } catch {
      // The next one, then.
    }
  }
  throw new Error('No Chromium was found; install Debian’s package chromium or set CONVLAB_CHROMIUM.');
}

export function startBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: chromiumPath(), args: flags });
}

export interface WorkbenchOptions {
  /** A folder or a .code-workspace file; none: an empty window. */
  readonly folder?: string;
  readonly size?: { readonly width: number; readonly height: number };
  /** Device pixels per CSS pixel, for images. */
  readonly scale?: number;
}

/** How long things may take on a busy machine with two cores. */
export const patient = { timeout: 60_000 };
/** How long a whole run of the tests may take there. */
const training = { timeout: 180_000 };

export class Workbench {
  /** Uncaught errors of the page and its webviews, and what their content security policies refused. */
  readonly errors: string[] = [];

  private constructor(readonly page: Page) {}

  static async open(browser: Browser, server: CodeServer, options: WorkbenchOptions = {}): Promise<Workbench> {
    const context = await browser.newContext({
      viewport: options.size ?? { width: 1280, height: 800 },
      deviceScaleFactor: options.scale ?? 1,
    });
    const page = await context.newPage();
    page.setDefaultTimeout(patient.timeout);
    const workbench = new Workbench(page);
    page.on('pageerror', (error) => workbench.errors.push(error.message));
    page.on('console', (said) => {
      // What the page tried and its content security policy forbade.
      if (/Content Security Policy/.test(said.text())) workbench.errors.push(said.text());
    });
    await page.goto(server.url(options.folder));
    await workbench.shown();
    return workbench;
  }

  /** Waits until the workbench is drawn; extensions start some seconds later. */
  private async shown(): Promise<void> {
    await this.page.locator('.monaco-workbench .part.activitybar, .monaco-workbench .part.sidebar').first().waitFor();
  }

  /**
   * Runs a command from the palette, waiting until the extension that brings it is known.
   * @param title as the palette shows it, such as 'ConvLab: Train LeNet-5 on MNIST'
   */
  async run(title: string): Promise<void> {
    await this.pick(await this.paletteEntry(title));
  }

  /** The palette's entry of this exact title; the palette stays open. */
  async paletteEntry(title: string): Promise<Locator> {
    const deadline = Date.now() + patient.timeout;
    for (;;) {
      const entry = this.quickPickEntry(title);
      try {
        await this.page.keyboard.press('F1');
        await this.page.locator('.quick-input-widget input').fill(`>${title}`, { timeout: 3000 });
        await entry.waitFor({ timeout: 3000 });
        return entry;
      } catch (error) {
        if (Date.now() > deadline) throw error;
        // The palette does not learn of commands that arrive while it is open, and closes when a panel takes the focus.
        await this.page.keyboard.press('Escape');
      }
    }
  }

  /** The entry of an open quick pick whose label is `label`. */
  quickPickEntry(label: string): Locator {
    return this.page
      .locator('.quick-input-widget .monaco-list-row')
      .filter({ has: this.page.locator('.label-name', { hasText: new RegExp(`^${escaped(label)}$`) }) })
      .first();
  }

  /** Chooses an entry of a quick pick. */
  async pick(entry: Locator | string): Promise<void> {
    await (typeof entry === 'string' ? this.quickPickEntry(entry) : entry).click();
  }

  /** Closes an open quick pick. */
  async escape(): Promise<void> {
    await this.page.keyboard.press('Escape');
    await this.page.locator('.quick-input-widget').waitFor({ state: 'hidden' });
  }

  /**
   * Answers a dialog that asks for a folder, which in a browser is a quick pick of what is in the workspace's folder. A path
   * typed into it can be overwritten by the one that it writes there itself.
   * @param name of a folder of sub-folders there
   * @param button what the dialog's button says
   */
  async chooseFolder(folder: string, name: string, button: string): Promise<void> {
    const dialog = this.page.locator('.quick-input-widget');
    await this.quickPickEntry(name).click();
    await this.quickPickEntry(fs.readdirSync(path.join(folder, name))[0]!).waitFor(patient);
    await dialog.getByRole('button', { name: button }).click();
    await dialog.waitFor({ state: 'hidden' });
  }

  /** Shows a view container of the activity bar. */
  async openContainer(title: string): Promise<void> {
    const tab = this.page.locator('.part.activitybar').getByRole('tab', { name: new RegExp(`^${escaped(title)}`) });
    await tab.waitFor();
    if ((await tab.getAttribute('aria-selected')) !== 'true') await tab.click();
  }

  /** Whether the explorer lists a folder of this name within 10 s. */
  async showsFolder(name: string): Promise<boolean> {
    await this.openContainer('Explorer');
    return this.treeItem(name)
      .waitFor({ timeout: 10_000 })
      .then(
        () => true,
        () => false,
      );
  }

  /** The tree item of the sidebar whose accessible name contains `text`, or begins with what the expression says. */
  treeItem(text: string | RegExp): Locator {
    return this.page.locator('.part.sidebar').getByRole('treeitem', { name: text }).first();
  }

  /** The accessible names of all visible items of the sidebar's trees. */
  async treeItems(): Promise<string[]> {
    const items = await this.page.locator('.part.sidebar').getByRole('treeitem').all();
    return Promise.all(items.map(async (item) => (await item.getAttribute('aria-label')) ?? (await item.innerText())));
  }

  /** Presses an inline button of a tree item, which shows only under the pointer. */
  async inlineButton(item: Locator, title: string): Promise<void> {
    await item.hover();
    await item.getByRole('button', { name: new RegExp(escaped(title)) }).click();
  }

  /** The document inside the webview that is shown in the editor area. */
  webview(): FrameLocator {
    return this.page.locator('iframe.webview.ready').last().contentFrame().locator('#active-frame').contentFrame();
  }

  /** The editor tabs, by title. */
  editorTab(title: string | RegExp): Locator {
    return this.page.locator('.part.editor').getByRole('tab', { name: title }).first();
  }

  /** The texts of the notifications that are on the screen. */
  notifications(): Promise<string[]> {
    return this.page.locator('.notifications-toasts .notification-list-item-message').allInnerTexts();
  }

  /** Presses a button of a notification. */
  async answer(button: string): Promise<void> {
    await this.page.locator('.notifications-toasts').getByRole('button', { name: button }).first().click();
  }

  /** Reloads the window as the command does. */
  async reload(): Promise<void> {
    await this.page.reload();
    await this.shown();
  }

  async screenshot(file: string, of: Page | Locator = this.page): Promise<void> {
    await of.screenshot({ path: file });
  }

  async close(): Promise<void> {
    await this.page.context().close();
  }
}

/** The panel of a run, by what its page says about itself. */
export function panelOf(window: Workbench) {
  const page = window.webview();
  const id = (name: string) => page.getByTestId(name);
  return {
    id,
    inState: (state: string, wait = training) => page.locator(`[data-testid=state][data-state=${state}]`).waitFor(wait),
    /** Waits until the chart shows at least so many epochs. */
    async epochsDrawn(least: number, wait = training): Promise<void> {
      const deadline = Date.now() + wait.timeout;
      for (;;) {
        const drawn = Number(await id('chart').getAttribute('data-epochs'));
        if (drawn >= least) return;
        if (Date.now() > deadline) throw new Error(`The chart shows ${drawn} epochs, not ${least}.`);
        await window.page.waitForTimeout(100);
      }
    },
  };
}

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
