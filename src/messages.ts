/**
 * Every sentence that a user can read, in English, by id. A text travels between processes as {id, args} and is
 * rendered where it is shown: by vscode.l10n in the extension host, by @vscode/l10n in the panel and the terminal.
 * The translations in l10n/ are keyed by the English text; a unit test keeps them complete.
 */

export const texts = {
  // Experiments
  experimentNotFound: 'There is no experiment called “{id}”.',
  experimentNotFoundNearest: 'There is no experiment called “{id}”. Did you mean “{nearest}”?',
  experimentUnreadable: 'The experiment file {file} could not be read: {reason}',
  experimentNotJson: 'The experiment file {file} is not valid JSON: {reason}',
  experimentInvalid: '{file}: {problems}',
  experimentProblem: 'at “{path}”: {problem}',
  experimentProblemTop: 'at the top level: {problem}',
  unknownKey: 'unknown key “{key}”',
  unknownKeyNearest: 'unknown key “{key}”; did you mean “{nearest}”?',
  settingInvalid: 'The setting {setting} is not usable: {problems}',
} as const;

export type MessageId = keyof typeof texts;

type Placeholders<Text extends string> = Text extends `${string}{${infer Name}}${infer Rest}`
  ? Name | Placeholders<Rest>
  : never;

export type MessageArgs<Id extends MessageId> = Record<Placeholders<(typeof texts)[Id]>, string | number>;

/** A sentence on its way to where it is shown. */
export interface Message {
  readonly id: MessageId;
  readonly args: Readonly<Record<string, string | number>>;
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
  return fill(texts[id], args);
}

/** Puts arguments into the {placeholders} of a text. */
export function fill(text: string, args: Message['args']): string {
  return text.replace(/\{(\w+)\}/g, (placeholder, name: string) => String(args[name] ?? placeholder));
}
