/**
 * How the terminal speaks: messages in its language. cli.ts chooses it; all commands speak so.
 */
import * as l10n from '@vscode/l10n';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { bundleOf, Message, message, plainArgs, textOf, UserError } from '../core/messages/message';
import { printable } from '../core/messages/plain';
import type { DataProvenance } from '../core/contracts/events';
import type { Speech } from './language';
import { shown, writeIn } from './output';
import { StatusLine } from './statusLine';

let wide = false;

/** From now on the terminal speaks so. */
export function speak(speech: Speech): void {
  writeIn(speech);
  ({ wide } = speech);
  const name = bundleOf(speech.tag);
  const file = name && path.join(__dirname, '..', 'l10n', `bundle.l10n.${name}.json`);
  if (file && fs.existsSync(file)) l10n.config({ contents: fs.readFileSync(file, 'utf8') });
}

/** The message in the language of the terminal; an argument cannot begin a line of its own. */
export const t = ({ id, args }: Message): string => {
  const plain = Object.entries(plainArgs(args, t)).map(([name, arg]) => [
    name,
    typeof arg === 'string' ? printable(arg) : arg,
  ]);
  return l10n.t(textOf(id) ?? id, Object.fromEntries(plain) as Record<string, string | number>);
};
/** A text that comes from an experiment file: its title or question, translated where the bundles know it. */
export const translate = (english: string): string => printable(l10n.t(english));

/** A status line for what is said so. */
export const statusLine = () => new SpokenStatusLine(wide);

class SpokenStatusLine extends StatusLine {
  override show(text: string): void {
    super.show(shown(text));
  }
}

/** What happened and what to do next. */
export const sentences = (what: Message, advice?: Message): string =>
  [what, ...(advice ? [advice] : [])].map(t).join(' ');
export const sentence = ({ userMessage, advice }: UserError): string => sentences(userMessage, advice);

/** Which data these are, in a sentence or two. */
export function dataLine({ title, source, terms, note }: DataProvenance): string {
  const used = t(message('dataUsed', { title, source, terms: t(terms) }));
  return note ? `${used} ${t(message('dataNote', { note: t(note) }))}` : used;
}
