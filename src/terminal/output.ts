/**
 * What the terminal writes and how that can fail: words for a person without a character that steers the terminal, JSON
 * for a program, and, once all is written, what became of it. speech.ts and the commands write through it, cli.ts asks at
 * the end.
 */
import { printable } from '../core/messages/plain';
import { Interruption } from './interruption';
import { inAscii, Speech } from './language';

let unicode = true;
let failure: NodeJS.ErrnoException | undefined;

/** From now on words are written in these characters. */
export function writeIn(speech: Speech): void {
  unicode = speech.unicode;
}

/** Text as it may be written to a terminal: several lines, but nothing that is obeyed instead of shown. */
export function shown(text: string): string {
  const plain = printable(text, 'lines').replaceAll('\t', ' ');
  return unicode ? plain : inAscii(plain);
}

export const say = (text: string): boolean => process.stdout.write(`${shown(text)}\n`);
export const complain = (text: string): boolean => process.stderr.write(`${shown(text)}\n`);

/** One line for a program; what would steer a terminal is escaped, so that the value stays what it is. */
export const sayJson = (value: unknown): boolean =>
  process.stdout.write(
    `${JSON.stringify(value).replace(
      /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
      (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
    )}\n`,
  );

/**
 * Watches both outputs: whoever can no longer write to the first need not go on, and the second tells nobody.
 * An output that was closed (`>&-`) takes everything: before any of our code runs, Node opens /dev/null in its place with
 * the flags that `stdio: 'ignore'` and Python's DEVNULL have, from whom silence is asked for. No failure is made of it.
 */
export function watchOutput(): void {
  process.stdout.on('error', (error) => {
    failure ??= error;
    Interruption.interrupt();
  });
  process.stderr.on('error', () => undefined);
}

/**
 * Waits until standard output has taken everything.
 * @returns why it has not: 'gone' where a reader has gone away (`| head`), else the error
 */
export async function outputFailure(): Promise<'gone' | NodeJS.ErrnoException | undefined> {
  await new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
  // 'error' comes after the callbacks.
  await new Promise((resolve) => setImmediate(resolve));
  return failure?.code === 'EPIPE' ? 'gone' : failure;
}
