/**
 * The messages between the extension host and its pages: one union per direction and page. A page says 'ready' and is
 * sent everything at once as its snapshot, then only what has changed. What a person asked for travels as an event, told
 * once, never as state that is applied again with every message. A new page is two unions here, a bundle of src/webview
 * that calls `connect`, and an owner in src/host that makes a `PageHost`.
 */
import type { ComparedRun } from '../comparison';
import type { RunState } from '../history';
import type { Message } from '../messages/message';
import type { RunEvent } from './events';
import type { ExampleSheet } from './tasks';

/** Everything at once: on 'ready', and whenever changes would not do. The same for every page. */
export interface Snapshot<Content> {
  readonly type: 'snapshot';
  readonly protocol: number;
  /** Display language, such as 'zh-tw', and the translations by English text. */
  readonly language: string;
  readonly translations: Readonly<Record<string, string>>;
  readonly snapshot: Content;
}

/** What every page says first, and again each time it has been hidden. */
export interface Ready {
  readonly type: 'ready';
  readonly protocol: number;
}

/** What a snapshot of a page holds. */
export type ContentOf<To> = To extends Snapshot<infer Content> ? Content : never;
/** What a page is told after its snapshot. */
export type ChangeOf<To> = Exclude<To, { readonly type: 'snapshot' }>;
/** What a page asks for after 'ready'. */
export type WishOf<From> = Exclude<From, Ready>;

/** What a page that shows examples is told, in this order; the last one stays. */
export type ExamplesAnswer =
  | { readonly kind: 'status'; readonly message: Message }
  | { readonly kind: 'sheet'; readonly sheet: ExampleSheet }
  | { readonly kind: 'failed'; readonly message: Message; readonly advice?: Message };

/** How a run stands, apart from its events. */
export interface RunSituation {
  readonly state: RunState;
  /** What the trainer is doing where the events do not say it. */
  readonly status?: Message;
  /** Whether the run's folder has been renamed, moved or deleted: what is shown is what was read before. */
  readonly gone?: boolean;
}

/** Messages for the page of a run. */
export type ToRun =
  | Snapshot<RunSnapshot>
  /** What happened since, in order. */
  | { readonly type: 'changes'; readonly events: readonly RunEvent[] }
  | ({ readonly type: 'state' } & RunSituation)
  | { readonly type: 'examples'; readonly answer: ExamplesAnswer };

export interface RunSnapshot extends RunSituation {
  /** Identifies the run: its folder's name. */
  readonly run: string;
  readonly title: string;
  readonly question: string;
  /** The run so far; its step events may be thinned. */
  readonly events: readonly RunEvent[];
}

export type FromRun =
  | Ready
  | { readonly type: 'stop' }
  | { readonly type: 'resume' }
  | { readonly type: 'showLog' }
  | { readonly type: 'revealFolder' }
  /** The tab with the examples is shown for the first time. */
  | { readonly type: 'examples' };

/** Messages for the comparison. */
export type ToComparison =
  | Snapshot<ComparisonSnapshot>
  /** Rows that are new or differ from what was sent before, and the lists as they are now. */
  | ({ readonly type: 'rows' } & ComparisonSnapshot)
  /** The user has asked for these runs: they are shown from now on, until the user hides them. */
  | { readonly type: 'add'; readonly runs: readonly string[] };

export interface ComparisonSnapshot extends ComparisonLists {
  /** In a snapshot every row, after it those that are new or another. */
  readonly rows: readonly ComparedRun[];
}

export interface ComparisonLists {
  /** Names of all runs with an epoch to show, in the order of the notes. */
  readonly order: readonly string[];
  /** Names of runs to begin with, unless the page has kept a choice of its own. */
  readonly chosen: readonly string[];
  /** Names of those whose folder is no longer there: their rows are what was read before. */
  readonly gone: readonly string[];
}

export type FromComparison = Ready | { readonly type: 'openRun'; readonly run: string };

/** Messages for the page of examples. */
export type ToExamples = Snapshot<ExamplesContent> | ({ readonly type: 'examples' } & ExamplesContent);

export interface ExamplesContent {
  readonly title: string;
  readonly answer: ExamplesAnswer;
}

export type FromExamples = Ready;
