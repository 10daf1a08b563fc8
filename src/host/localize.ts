/**
 * How the editor's side speaks: messages, and the titles of experiments, in the editor's language. Everything in host/
 * that shows a text goes through here; the panel gets the same translations with its snapshot.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as vscode from 'vscode';
import { DatasetName, datasetTitles } from '../core/experiment';
import { bundleOf, fill, Message, plainArgs, textOf, UserError } from '../core/messages/message';

/** Translations by English text that VS Code did not load itself; see {@link loadTranslations}. */
let ours: Readonly<Record<string, string>> | undefined;

/**
 * VS Code loads the bundle whose name is its language; other names of Chinese (zh-hk, zh-hant) get the nearest one here.
 * @param extensionFolder the folder that holds l10n/
 */
export function loadTranslations(extensionFolder: string): void {
  ours = undefined;
  const name = bundleOf(vscode.env.language);
  if (vscode.l10n.bundle || !name) return;
  try {
    const file = path.join(extensionFolder, 'l10n', `bundle.l10n.${name}.json`);
    ours = JSON.parse(fs.readFileSync(file, 'utf8')) as Record<string, string>;
  } catch {
    // English is readable; a missing translation must not keep the extension from starting.
  }
}

/** The translations of the current language by English text; empty in English. */
export function translations(): Readonly<Record<string, string>> {
  return vscode.l10n.bundle ?? ours ?? {};
}

/** Renders a message. */
export function t({ id, args }: Message): string {
  // A run that a newer ConvLab wrote may hold messages that this one does not know.
  const english = textOf(id);
  if (english === undefined) return id;
  const plain = plainArgs(args, t);
  return ours ? fill(ours[english] ?? english, plain) : vscode.l10n.t(english, plain);
}

/** Renders a text that comes from an experiment file: its title or question, translated where the bundles know it. */
export function translate(english: string): string {
  return translations()[english] ?? english;
}

/** What a dataset is called. */
export const datasetTitle = (name: DatasetName): string => t(datasetTitles[name]);

/** What happened and what to do next. */
export function sentence(what: Message, advice?: Message): string {
  return advice ? `${t(what)} ${t(advice)}` : t(what);
}

export const errorSentence = (error: UserError): string => sentence(error.userMessage, error.advice);

/** Accuracies and losses, such as 0.9891. */
export const figure = (value: number): string => value.toFixed(4);

/**
 * Date and time in few characters: the year only where it is another one.
 * @param time ISO 8601
 */
export function dateTime(time: string, now = new Date()): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return time;
  const year = date.getFullYear() === now.getFullYear() ? undefined : 'numeric';
  const parts = { year, month: 'short', day: 'numeric', hour: 'numeric', minute: '2-digit' } as const;
  return new Intl.DateTimeFormat(vscode.env.language, parts).format(date);
}

export const count = (n: number): string => new Intl.NumberFormat(vscode.env.language).format(n);
