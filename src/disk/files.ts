/**
 * Files and folders: making folders, replacing a file so that readers see the old content or the new, and the sentences for
 * what goes wrong. Everything in ConvLab that writes does it through here.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { message, UserError } from '../core/messages/message';

/** How long a file may be held by another program, such as an antivirus or a backup, before a write gives up. */
const heldMs = 5_000;

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

/** Another program has the file open. On Windows that is told as a lack of permission, too. */
const isHeld = (error: unknown): boolean =>
  codeOf(error) === 'EBUSY' || (process.platform === 'win32' && ['EPERM', 'EACCES'].includes(codeOf(error) ?? ''));

function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/**
 * Renames a file over another, waiting for seconds where a program such as an antivirus holds one of them.
 * @throws what the file system throws
 */
export function replace(from: string, to: string, rename: (from: string, to: string) => void = fs.renameSync): void {
  const until = performance.now() + heldMs;
  for (let wait = 10; ; wait = Math.min(wait * 2, 500)) {
    try {
      return rename(from, to);
    } catch (error) {
      if (!isHeld(error) || performance.now() + wait > until) throw error;
      pause(wait);
    }
  }
}

/** Writes a small file so that a reader sees the old content or the new, never a part. */
export function writeAtomically(file: string, text: string): void {
  const temporary = `${file}.${process.pid}.tmp`;
  try {
    fs.writeFileSync(temporary, text);
    replace(temporary, file);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  }
}

/** Writes all of the bytes at the descriptor's position; the system may take them in parts. */
export function writeFully(descriptor: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += fs.writeSync(descriptor, bytes, at, Math.min(bytes.length - at, 1 << 30));
}

/** Fills `bytes` from a place in a file; the system may give them in parts. @returns false where the file ends before */
export function readFully(descriptor: number, bytes: Uint8Array, position: number): boolean {
  for (let at = 0; at < bytes.length;) {
    const n = fs.readSync(descriptor, bytes, at, Math.min(bytes.length - at, 1 << 30), position + at);
    if (n === 0) return false;
    at += n;
  }
  return true;
}

/**
 * Makes a folder and those above it that are missing. Node's own recursive form never returns where a folder is reported as
 * missing after it was refused, as under /proc (nodejs/node#31481 and its like), and hides that a disk is read-only.
 * @throws what the file system throws
 */
export function makeFolder(folder: string): void {
  const missing: string[] = [];
  let at = path.resolve(folder);
  for (; !isFolder(at); at = path.dirname(at)) {
    missing.push(at);
    if (path.dirname(at) === at) break;
  }
  for (const next of missing.reverse()) {
    try {
      fs.mkdirSync(next);
    } catch (error) {
      // Another process made it in the meantime.
      if (codeOf(error) !== 'EEXIST' || !isFolder(next)) throw error;
    }
  }
}

const isFolder = (name: string): boolean => fs.statSync(name, { throwIfNoEntry: false })?.isDirectory() ?? false;

/** What was to be written; the sentence names it, and its advice says what helps. */
export type Purpose = 'run' | 'cache';

/**
 * Turns a failed write into a sentence.
 * @param place the folder that was to be written to
 */
export function diskError(place: string, error: unknown, purpose: Purpose = 'run'): UserError {
  if (error instanceof UserError) return error;
  const { code, message: reason } = error as NodeJS.ErrnoException;
  const cause = { cause: error };
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    const advice = message(purpose === 'cache' ? 'diskFullCacheAdvice' : 'diskFullAdvice');
    return new UserError(message('diskFull', { folder: place, reason: code }), advice, cause);
  }
  if (purpose === 'cache') {
    const text = message('cacheNotWritable', { folder: place, reason: whyNot(code, reason) });
    return new UserError(text, message('cacheNotWritableAdvice'), cause);
  }
  if (code === 'ENOENT' && !isFolder(place)) {
    return new UserError(message('runsFolderGone', { folder: place }), message('runsFolderGoneAdvice'), cause);
  }
  const text = message('runFolderNotWritable', { folder: place, reason: whyNot(code, reason) });
  return new UserError(text, message('chooseAnotherRunsFolder'), cause);
}

/** The system's reason in the user's words, where there are such; else as the system gives it. */
function whyNot(code: string | undefined, reason: string) {
  if (code === 'EROFS') return message('reasonReadOnly');
  if (code === 'EACCES' || code === 'EPERM') return message('reasonNotPermitted');
  if (code === 'EBUSY') return message('reasonHeld');
  return reason;
}
