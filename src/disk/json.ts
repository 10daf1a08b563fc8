/**
 * JSON from a folder that anybody may have written: bounded in size and depth before it is parsed. Runs, their events,
 * experiment files, speeds and installations are read through here.
 */
import * as fs from 'node:fs';
import { message, UserError } from '../core/messages/message';

/** Ours are some kilobytes long and a handful of levels deep. */
const mostBytes = 1 << 20;
/** Of lists: the events of hundreds of epochs, or a split of a hundred thousand images, come to some megabytes. */
export const mostListBytes = 128 << 20;
const mostLevels = 100;

/**
 * Reads and parses a file of at most `most` bytes; a byte-order mark, which Windows' editors write, is passed over.
 * @throws UserError beyond the bounds; what the file system or JSON.parse throws otherwise
 */
export function readJson(file: string, most = mostBytes): unknown {
  return JSON.parse(readJsonText(file, most));
}

/** The text of a JSON file, within the bounds and without its byte-order mark. @throws as {@link readJson} */
export function readJsonText(file: string, most = mostBytes): string {
  const text = bounded(file, most).replace(/^\uFEFF/, '');
  if (levels(text) > mostLevels) throw new UserError(message('jsonTooDeep'));
  return text;
}

/**
 * The values of a file of one JSON text a line. Lines that cannot be parsed, as a process leaves one that is killed, are
 * passed over.
 * @throws UserError where the file, or a line of it, is beyond the bounds; what the file system throws otherwise
 */
export function readJsonLines(file: string): unknown[] {
  const values: unknown[] = [];
  for (const line of bounded(file, mostListBytes).split('\n')) {
    if (!line.trim()) continue;
    if (line.length > mostBytes) throw new UserError(message('jsonTooLarge'));
    if (levels(line) > mostLevels) throw new UserError(message('jsonTooDeep'));
    try {
      values.push(JSON.parse(line));
    } catch {
      // Torn.
    }
  }
  return values;
}

/** A file's text. A link to a device or a pipe would be read or waited for without end. */
function bounded(file: string, most: number): string {
  const stat = fs.statSync(file);
  if (!stat.isFile()) throw new UserError(message('notAFile'));
  if (stat.size > most) throw new UserError(message('jsonTooLarge'));
  return fs.readFileSync(file, 'utf8');
}

/** How deep lists and objects are nested; brackets within strings do not count. */
function levels(text: string): number {
  let deepest = 0;
  let level = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quoted) {
      if (c === '\\') i++;
      else if (c === '"') quoted = false;
    } else if (c === '"') quoted = true;
    else if (c === '{' || c === '[') deepest = Math.max(deepest, ++level);
    else if (c === '}' || c === ']') level--;
  }
  return deepest;
}
