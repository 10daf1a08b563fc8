/**
 * What a command of `convlab` is: the words after it and the options it takes, told once, from which cli.ts makes the usage
 * and refuses what is stray. Each file of commands/ describes one or a few; here stand the checks that they share.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { Message, message, UserError } from '../core/messages/message';
import { engineNames } from '../core/contracts/events';
import { presetNames } from '../core/experiment';
import { runsFolderOf } from '../disk/places';
import { exportFormats } from '../trainer/weights/export';
import { givenPath } from './caller';
import { languages } from './language';
import { t } from './speech';

/** The exit statuses of the contract; 0 means that what was asked for has been done. */
export const Exit = { ok: 0, failed: 1, usage: 2, stopped: 130 } as const;

/** Wrong usage: printed with the commands, exit status 2. */
export class UsageError extends UserError {}

/** All options, as `parseArgs` takes them; `value` is what the usage says of the value. */
export const options = {
  preset: { type: 'string', value: presetNames.join('|') },
  engine: { type: 'string', value: ['auto', ...engineNames].join('|') },
  epochs: { type: 'string', value: 'N' },
  seed: { type: 'string', value: 'N' },
  limit: { type: 'string', value: 'N' },
  set: { type: 'string', multiple: true, value: 'optimizer.learningRate=1e-4' },
  start: { type: 'string', value: 'RUN|ID|FILE' },
  threads: { type: 'string', value: 'N' },
  data: { type: 'string', value: 'DIR' },
  resume: { type: 'string', value: 'RUN' },
  runs: { type: 'string', value: 'DIR' },
  format: { type: 'string', value: exportFormats.join('|') },
  out: { type: 'string', value: 'FILE' },
  force: { type: 'boolean' },
  measure: { type: 'boolean' },
  network: { type: 'string', multiple: true, value: 'NAME' },
  again: { type: 'boolean' },
  python: { type: 'string', value: 'FILE' },
  remove: { type: 'boolean' },
  json: { type: 'boolean' },
  lang: { type: 'string', value: languages.join('|') },
  help: { type: 'boolean', short: 'h' },
} as const;

export type OptionName = keyof typeof options;

export type Values = {
  [Name in OptionName]?: (typeof options)[Name] extends { multiple: true }
    ? string[]
    : (typeof options)[Name] extends { type: 'boolean' }
      ? boolean
      : string;
};

export interface Command {
  /** The word after it, if it takes one. */
  readonly argument?: {
    /** As the usage shows it: `<id>`. */
    readonly name: string;
    /** Whether it must be there, given the options; it need not where nothing is said. */
    readonly required?: (values: Values) => boolean;
    /** Whether there may be several. */
    readonly several?: boolean;
  };
  readonly about: Message;
  /** In the order of the usage; `lang` and `help` go with every command. */
  readonly options: readonly OptionName[];
  /** Options that must be there. */
  readonly required?: readonly OptionName[];
  /** Whether it does more than print: its own status then holds when nobody reads any more. */
  readonly works?: boolean;
  /** @returns an exit status @throws UserError where it fails */
  run(args: string[], values: Values): Promise<number> | number;
}

export const badOption = (option: string, value: string, expected: Message) =>
  new UsageError(message('badOption', { option, value, expected: t(expected) }));

/** @throws UsageError for what is not a whole number of at least `least` */
export function wholeNumber(option: OptionName, text: string, least: number): number {
  const n = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(n) || n < least) {
    throw badOption(`--${option}`, text, message('expectedWhole', { least }));
  }
  return n;
}

/** @throws UsageError for what is none of the known */
export function oneOf<T extends string>(option: OptionName, text: string, known: readonly T[]): T {
  const found = known.find((k) => k === text);
  if (found === undefined) throw badOption(`--${option}`, text, message('expectedOneOf', { known: known.join(', ') }));
  return found;
}

export const threadsOf = (values: Values): number | undefined =>
  values.threads === undefined ? undefined : wholeNumber('threads', values.threads, 1);

/** The folder that an option names, as an absolute path. */
export const folderOf = (name: string | undefined): string | undefined =>
  name === undefined ? undefined : givenPath(name);

/** The runs folder that --runs names, or the one of the working folder. */
export const runsFolderFrom = (values: Values): string => folderOf(values.runs) ?? path.resolve(runsFolderOf('.'));

/** A run by its name inside the runs folder, or by a path. @throws UserError where there is none */
export function runNamed(name: string, runsFolder: string): string {
  const folder = [path.resolve(runsFolder, name), givenPath(name)].find((f) => fs.existsSync(f));
  if (folder === undefined) throw new UserError(message('runNotFound', { folder: path.resolve(runsFolder, name) }));
  return folder;
}
