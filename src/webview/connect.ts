/**
 * A page's end of the line to the extension host: says 'ready', sees that both speak the same version, builds the page
 * from its first snapshot and hands it what follows. Every page ends with a call of {@link connect}.
 */
import { protocolVersion } from '../core/contracts/events';
import { ChangeOf, ContentOf, Ready, Snapshot, WishOf } from '../core/contracts/pages';
import { message } from '../core/messages/message';
import { h } from './dom';
import { Language } from './language';
import { showError, versionsDiffer } from './notice';
import { onThemeChange } from './theme';

/** What a page is to whoever connects it. */
export interface View<To> {
  /** Draws a snapshot: the first one right after the page was made, later ones in the same page. */
  show(snapshot: ContentOf<To>): void;
  change(change: ChangeOf<To>): void;
  themeChanged(): void;
  /** The page is given up, because it cannot go on. */
  dispose(): void;
}

/** What a page may do. @typeParam Kept what VS Code keeps for it while it is hidden or the window is reloaded */
export interface Host<From, Kept> {
  readonly root: HTMLElement;
  readonly kept: Kept | undefined;
  keep(state: Kept): void;
  say(wish: WishOf<From>): void;
  /** Does something; where it throws, the page says that it cannot go on, rather than standing still as if a run did. */
  attempt(work: () => void): void;
}

type ViewClass<To, From, Kept> = new (snapshot: ContentOf<To>, language: Language, host: Host<From, Kept>) => View<To>;

declare function acquireVsCodeApi(): {
  postMessage(message: unknown): void;
  getState(): unknown;
  setState(state: unknown): void;
};

/** @param broken the sentence where the page cannot go on; its argument is the reason */
export function connect<To extends { readonly type: string }, From, Kept = undefined>(
  view: ViewClass<To, From, Kept>,
  broken: 'panelBroken' | 'comparisonBroken',
): void {
  const vscode = acquireVsCodeApi();
  const root = h('main', { class: 'panel' });
  (document.getElementById('app') ?? document.body).append(root);
  let page: View<To> | undefined;
  let language = new Language('en', {});
  let spoken = '';
  const giveUp = () => {
    page?.dispose();
    page = undefined;
  };
  const attempt = (work: () => void) => {
    try {
      work();
    } catch (error) {
      console.error(error);
      giveUp();
      const reason = error instanceof Error ? error.message : String(error);
      showError(root, language.text(message(broken, { reason })), language.text(message('panelBrokenAdvice')));
    }
  };
  const host: Host<From, Kept> = {
    root,
    get kept() {
      return vscode.getState() as Kept | undefined;
    },
    keep: (state) => vscode.setState(state),
    say: (wish) => vscode.postMessage(wish),
    attempt,
  };
  window.addEventListener('message', ({ data }: MessageEvent<Snapshot<ContentOf<To>> | ChangeOf<To>>) => {
    // Changes before the first snapshot are part of it.
    if (!isSnapshot<ContentOf<To>>(data)) return attempt(() => page?.change(data));
    if (data.protocol !== protocolVersion) {
      giveUp();
      return versionsDiffer(root, data.protocol);
    }
    attempt(() => {
      if (data.language !== spoken) giveUp();
      if (!page) {
        spoken = data.language;
        language = new Language(data.language, data.translations);
        document.documentElement.lang = language.tag;
        page = new view(data.snapshot, language, host);
      }
      page.show(data.snapshot);
    });
  });
  onThemeChange(() => attempt(() => page?.themeChanged()));
  vscode.postMessage({ type: 'ready', protocol: protocolVersion } satisfies Ready);
}

const isSnapshot = <Content>(data: { readonly type: string }): data is Snapshot<Content> => data.type === 'snapshot';
