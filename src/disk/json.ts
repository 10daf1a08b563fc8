/**
 * JSON from a folder that anybody may have written: bounded in size and depth before it is parsed. Runs and experiment files
 * are read through here.
 */
import * as fs from 'node:fs';
import { message, UserError } from '../core/messages/message';

/** Ours are some kilobytes long and a handful of levels deep. */
const mostBytes = 1 << 20;
const mostLevels = 100;

/**
 * Reads and parses a file; a byte-order mark, which Windows' editors write, is passed over.
 * @throws UserError beyond the bounds; what the file system or JSON.parse throws otherwise
 */
export function readJson(file: string): unknown {
  return JSON.parse(readJsonText(file));
}

/** The text of a JSON file, within the bounds and without its byte-order mark. @throws as {@link readJson} */
export function readJsonText(file: string): string {
  if (fs.statSync(file).size > mostBytes) throw new UserError(message('jsonTooLarge'));
  const text = fs.readFileSync(file, 'utf8').replace(/^\uFEFF/, '');
  if (levels(text) > mostLevels) throw new UserError(message('jsonTooDeep'));
  return text;
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
