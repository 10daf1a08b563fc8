/**
 * A page in an editor tab as its owner sees it: made under one strict content security policy, listened to, told its
 * snapshot and what changes after it. Panels, ComparisonPanel and ExamplesPanel each own one kind of page.
 */
import { randomBytes } from 'node:crypto';
import * as vscode from 'vscode';
import * as z from 'zod';
import { protocolVersion } from '../core/contracts/events';
import { ChangeOf, ContentOf, Ready, Snapshot, WishOf } from '../core/contracts/pages';
import { printable } from '../core/messages/plain';
import { translations } from './localize';
import type { Log } from './log';

/** A bundle of src/webview. */
export type PageName = 'panel' | 'comparison' | 'examples';

const ready = z.strictObject({ type: z.literal('ready'), protocol: z.number() });

export interface PageOwner<From> {
  readonly page: PageName;
  /** What the page may say beside 'ready'; everything else is passed over and logged. */
  readonly wishes?: z.ZodType<WishOf<From>>;
  /** The page is there and knows nothing yet: it is to be sent a snapshot, at once or as soon as there is one. */
  ready(): void;
  receive?(wish: WishOf<From>): void;
  /** The page was hidden, which is its end; when it is shown again it is `ready` once more. */
  hidden?(): void;
  /** The tab was closed. */
  closed(): void;
}

/** An empty tab for a page, where the user looks. */
export function newTab(type: string): vscode.WebviewPanel {
  const column = vscode.window.activeTextEditor?.viewColumn ?? vscode.ViewColumn.Active;
  return vscode.window.createWebviewPanel(type, '', column, { enableScripts: true });
}

export class PageHost<To extends { readonly type: string }, From> implements vscode.Disposable {
  private state: 'away' | 'waiting' | 'following' = 'away';
  /** Asked for while no page was there to be told. */
  private untold: ChangeOf<To>[] = [];

  /** @param panel a new tab, or one that VS Code has given back */
  constructor(
    private readonly panel: vscode.WebviewPanel,
    extensionUri: vscode.Uri,
    private readonly log: Log,
    private readonly owner: PageOwner<From>,
  ) {
    const subscriptions = [
      panel.webview.onDidReceiveMessage((raw: unknown) => this.receive(raw)),
      panel.onDidChangeViewState(() => {
        if (panel.visible || this.state === 'away') return;
        this.state = 'away';
        owner.hidden?.();
      }),
    ];
    panel.onDidDispose(() => {
      subscriptions.forEach((subscription) => subscription.dispose());
      this.state = 'away';
      owner.closed();
    });
    furnish(panel, extensionUri, owner.page);
  }

  /** Whether the page has its snapshot and is to be told what changes. */
  get following(): boolean {
    return this.state === 'following';
  }

  /** Whether a page is there, with its snapshot or still without. */
  get present(): boolean {
    return this.state !== 'away';
  }

  set title(title: string) {
    this.panel.title = printable(title);
  }

  reveal(): void {
    this.panel.reveal();
  }

  /** Tells everything anew, where a page is there. */
  snapshot(snapshot: ContentOf<To>): void {
    if (this.state === 'away') return;
    this.state = 'following';
    this.post({
      type: 'snapshot',
      protocol: protocolVersion,
      language: vscode.env.language,
      translations: translations(),
      snapshot,
    });
    this.untold.splice(0).forEach((event) => this.post(event));
  }

  /** Tells what has changed; a page that is away, or without its snapshot, learns it from that. */
  send(change: ChangeOf<To>): void {
    if (this.following) this.post(change);
  }

  /** Tells what a person asked for, once: now, or right after the next snapshot. */
  tell(event: ChangeOf<To>): void {
    if (this.following) this.post(event);
    else this.untold.push(event);
  }

  dispose(): void {
    this.panel.dispose();
  }

  private receive(raw: unknown): void {
    const hello = ready.safeParse(raw);
    if (hello.success) return this.greet(hello.data);
    const wish = this.owner.wishes?.safeParse(raw);
    if (wish?.success) return this.owner.receive?.(wish.data);
    const page = this.owner.page;
    this.log.warn(`The page “${page}” sent something that is no message: ${JSON.stringify(raw)?.slice(0, 200)}`);
  }

  private greet({ protocol }: Ready): void {
    if (protocol !== protocolVersion) {
      // The page compares the snapshot's version with its own and tells the user.
      this.log.warn(`The page “${this.owner.page}” speaks protocol ${protocol}, the extension ${protocolVersion}.`);
    }
    this.state = 'waiting';
    this.owner.ready();
  }

  private post(message: Snapshot<ContentOf<To>> | ChangeOf<To>): void {
    void this.panel.webview.postMessage(message);
  }
}

/** Gives a panel its icon and its page, which begins to run; whoever listens to it does so already. */
function furnish(panel: vscode.WebviewPanel, extensionUri: vscode.Uri, page: PageName): void {
  const file = (...names: string[]) => vscode.Uri.joinPath(extensionUri, ...names);
  panel.iconPath = { light: file('media', 'panel-light.svg'), dark: file('media', 'panel-dark.svg') };
  panel.webview.options = { enableScripts: true, localResourceRoots: [file('dist'), file('media')] };
  panel.webview.html = pageHtml(panel.webview, extensionUri, page);
}

/**
 * A page: everything it loads comes from the extension's own folders, and only the script with the nonce runs. Styles have
 * a nonce of their own, which the page may know: the toolkit asks for it where it tries out what the browser can do.
 */
function pageHtml(webview: vscode.Webview, extensionUri: vscode.Uri, page: PageName): string {
  const [scripts, styles] = [randomBytes(18), randomBytes(18)].map((bytes) => bytes.toString('base64'));
  const file = (name: string) =>
    escape(webview.asWebviewUri(vscode.Uri.joinPath(extensionUri, 'dist', name)).toString());
  const source = webview.cspSource;
  const policy = [
    "default-src 'none'",
    `script-src 'nonce-${scripts}'`,
    `style-src ${source} 'nonce-${styles}'`,
    `img-src ${source} data:`,
    `font-src ${source}`,
  ].join('; ');
  return `<!DOCTYPE html>
<html lang="${escape(vscode.env.language)}">
<head>
  <meta charset="utf-8">
  <meta http-equiv="Content-Security-Policy" content="${escape(policy)}">
  <meta property="csp-nonce" content="${styles}">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>ConvLab</title>
  <link rel="stylesheet" href="${file(`${page}.css`)}">
</head>
<body>
  <div id="app"></div>
  <script nonce="${scripts}" src="${file(`${page}.js`)}"></script>
</body>
</html>`;
}

const escape = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
