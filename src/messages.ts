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

  // Runs on disk
  runFolderNotWritable: 'ConvLab cannot write to the runs folder {folder}: {reason}',
  chooseAnotherRunsFolder: 'Make the folder writable, or choose another one.',
  runNotFound: 'There is no run at {folder}.',
  runUnreadable: 'The run at {folder} cannot be read: {reason}',
  runBusy: 'The run {run} is being trained by another process ({pid}).',
  runBusyAdvice: 'Wait until it ends or stop it first.',
  runFinished: 'The run {run} has already finished; there is nothing to go on with.',
  diskFull: 'The disk of {folder} is full: {reason}',
  diskFullAdvice: 'Free some space and resume the run; what was written stays readable.',
  diskTooSmall: 'This run needs about {needed} of disk space for its checkpoints, but {folder} has {free} left.',
  diskTooSmallAdvice: 'Free some space or choose a runs folder on another disk.',
  checkpointDamaged: 'The checkpoint {file} is damaged ({reason}).',
  checkpointFallback:
    'The newest checkpoint was damaged ({reason}), so training goes on from the one before it: epoch {epoch}, step {step}.',
  checkpointRestart: 'Every checkpoint of this run is damaged or missing, so training starts again from its beginning.',

  // The trainer process
  trainerMissing: 'The trainer {file} is missing.',
  trainerMissingAdvice: 'Reinstall ConvLab, or run “npm run build” in a checkout.',
  trainerVersion: 'The trainer speaks version {theirs} of the protocol and this part of ConvLab version {ours}.',
  trainerVersionAdvice: 'Reload the window so that both come from the same version.',
  trainerSilent: 'The trainer process did not answer within {seconds} seconds.',
  trainerCrashed: 'The trainer process ended unexpectedly ({how}). Its last words: {lines}',
  trainerCrashedAdvice: 'What was trained so far is kept: resume the run to go on from its last checkpoint.',
  trainerOutOfMemory: 'The system ended the trainer process ({how}), most likely because memory ran out.',
  trainerOutOfMemoryAdvice: 'Close other programs or use a smaller batch, then resume the run.',
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
