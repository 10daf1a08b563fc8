/**
 * A text on its way to where it is shown: {id, args}, rendered by vscode.l10n in the extension host and by @vscode/l10n in
 * pages and terminal. An argument that is a text itself, such as the name of a dataset, is a message too.
 */
import { MessageId, texts } from './texts';

type Placeholders<Text extends string> = Text extends `${string}{${infer Name}}${infer Rest}`
  ? Name | Placeholders<Rest>
  : never;

/** What is put into a text: as it is, or rendered first where it is a message, or several sentences. */
export type MessageArg = string | number | Message | readonly Message[];

export type MessageArgs<Id extends MessageId> = Record<Placeholders<(typeof texts)[Id]>, MessageArg>;

/** A sentence on its way to where it is shown. */
export interface Message {
  readonly id: MessageId;
  readonly args: Readonly<Record<string, MessageArg>>;
}

/** Makes a message; the arguments are checked against the placeholders of its text. */
export function message<Id extends MessageId>(
  id: Id,
  ...args: [Placeholders<(typeof texts)[Id]>] extends [never] ? [] : [MessageArgs<Id>]
): Message {
  return { id, args: (args[0] ?? {}) as Message['args'] };
}

/** A failure that the user can understand: its message says what happened, to what, and what to do next. */
export class UserError extends Error {
  constructor(
    readonly userMessage: Message,
    /** What to do next, where the first sentence does not say it. */
    readonly advice?: Message,
    options?: ErrorOptions,
  ) {
    super(english(userMessage) + (advice ? ` ${english(advice)}` : ''), options);
    this.name = 'UserError';
  }
}

/** The message in English with its placeholders filled: for logs, and the fallback of every renderer. */
export function english({ id, args }: Message): string {
  return fill(textOf(id) ?? id, plainArgs(args, english));
}

/**
 * The English text of an id; undefined for one that a newer version wrote. Earlier versions said "picture" in the ids that
 * stand in the events of their runs.
 */
export function textOf(id: string): string | undefined {
  const find = (name: string) => (Object.hasOwn(texts, name) ? texts[name as MessageId] : undefined);
  return find(id) ?? find(id.replace('Picture', 'Image').replace('picture', 'image'));
}

/** A message's arguments as they are put into its text. @param render for those that are messages themselves */
export function plainArgs(
  args: Message['args'],
  render: (message: Message) => string,
): Record<string, string | number> {
  const plain = (arg: MessageArg): string | number => {
    if (typeof arg !== 'object') return arg;
    return 'id' in arg ? render(arg) : arg.map(render).join(' ');
  };
  return Object.fromEntries(Object.entries(args).map(([name, arg]) => [name, plain(arg)]));
}

/** Puts arguments into the {placeholders} of a text. */
export function fill(text: string, args: Readonly<Record<string, string | number>>): string {
  return text.replace(/\{(\w+)\}/g, (placeholder, name: string) => String(args[name] ?? placeholder));
}

/** A number of threads. */
export const threadsMessage = (count: number): Message =>
  count === 1 ? message('threadsOne') : message('threads', { count });

/** The bundle for a language tag: 'zh-tw' for traditional characters, 'zh-cn' for other Chinese, none for the rest. */
export function bundleOf(language: string): 'zh-tw' | 'zh-cn' | undefined {
  const tag = language.toLowerCase();
  if (/^zh-(tw|hk|mo|hant)\b/.test(tag)) return 'zh-tw';
  return /^zh\b/.test(tag) ? 'zh-cn' : undefined;
}
