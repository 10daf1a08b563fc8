/** The messages between the extension host and its pages. */
import type { ComparedRun } from '../comparison';
import type { RunState } from '../history';
import type { Message } from '../messages/message';
import type { RunEvent } from './events';
import type { ExampleSheet } from './tasks';

/** What a page that shows examples is told, in this order; the last one stays. */
export type ExamplesAnswer =
  | { readonly kind: 'status'; readonly message: Message }
  | { readonly kind: 'sheet'; readonly sheet: ExampleSheet }
  | { readonly kind: 'failed'; readonly message: Message; readonly advice?: Message };

/** Messages for the panel. */
export type ToPanel =
  /** Everything at once: on 'ready', and whenever the panel is shown again. */
  | { readonly type: 'snapshot'; readonly protocol: number; readonly snapshot: PanelSnapshot }
  /** What happened since, in order. */
  | { readonly type: 'changes'; readonly events: readonly RunEvent[] }
  | { readonly type: 'state'; readonly state: RunState; readonly status?: Message }
  | { readonly type: 'examples'; readonly answer: ExamplesAnswer };

export interface PanelSnapshot {
  /** Identifies the run: its folder's name. */
  readonly run: string;
  readonly title: string;
  readonly question: string;
  readonly state: RunState;
  /** What the trainer is doing before its first event. */
  readonly status?: Message;
  /** The run so far; its step events may be thinned. */
  readonly events: readonly RunEvent[];
  /** Display language, such as 'zh-tw', and the translations by English text. */
  readonly language: string;
  readonly translations: Readonly<Record<string, string>>;
}

export type FromPanel =
  | { readonly type: 'ready'; readonly protocol: number }
  | { readonly type: 'stop' }
  | { readonly type: 'resume' }
  | { readonly type: 'showLog' }
  | { readonly type: 'revealFolder' }
  /** The tab with the examples is shown for the first time. */
  | { readonly type: 'examples' };

/** Everything that the comparison page draws; sent on 'ready' and whenever runs have changed. */
export interface ToComparison {
  readonly type: 'comparison';
  readonly protocol: number;
  /** Every run with an epoch to show, in the order of the notes. */
  readonly runs: readonly ComparedRun[];
  /** Names of the runs to begin with, unless the page has kept a choice of its own. */
  readonly chosen: readonly string[];
  /** Names of runs that the user has just asked for, to be added to whatever is shown. */
  readonly added: readonly string[];
  readonly language: string;
  readonly translations: Readonly<Record<string, string>>;
}

export type FromComparison =
  { readonly type: 'ready'; readonly protocol: number } | { readonly type: 'openRun'; readonly run: string };

/** All that the page of examples shows; sent on 'ready' and whenever there is more to tell. */
export interface ToExamples {
  readonly type: 'examples';
  readonly protocol: number;
  readonly title: string;
  readonly answer: ExamplesAnswer;
  readonly language: string;
  readonly translations: Readonly<Record<string, string>>;
}

export type FromExamples = { readonly type: 'ready'; readonly protocol: number };
