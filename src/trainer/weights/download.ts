/**
 * Downloads a large file that is known by the first digits of its SHA-256: through the proxy that the environment names,
 * going on where an earlier download broke off. imagenet.ts fetches weights with it.
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { message, UserError } from '../../core/messages/message';
import { diskError, makeFolder, replace } from '../../disk/files';
import { Lock } from '../../disk/lock';
import { Patience, PatienceLimits, usualPatience } from '../patience';
import { breathe } from '../stop';

export interface Wanted {
  readonly address: string;
  /** Where it is to lie; it appears when it is complete and verified. What is there so far lies beside it, as `.part`. */
  readonly file: string;
  /** The first hexadecimal digits of its SHA-256. */
  readonly digits: string;
}

export interface DownloadSurroundings {
  /** Bytes that have come, and how many there will be, as far as that is known. */
  received(bytes: number, total: number | undefined): void;
  /** Ends the connection, whether anything comes or not; its reason is thrown. */
  readonly signal: AbortSignal;
}

/** No file of weights that ConvLab fetches is near this. Whoever sends more would only fill the disk. */
const mostBytes = 2 ** 30;
/** How often in a row a connection may end without having brought what patience asks for. */
const fruitlessTries = 3;
const waitMs = 1000;

/** The server's answer leaves no hope that another try would help. */
class Refused extends Error {}

/**
 * @param limits other than the usual ones only in tests
 * @returns its SHA-256
 * @throws UserError where the file cannot be had, with what was received kept; and the signal's reason
 */
export async function download(
  wanted: Wanted,
  surroundings: DownloadSurroundings,
  limits = usualPatience,
): Promise<string> {
  const { address, file, digits } = wanted;
  const folder = path.dirname(file);
  let lock: Lock | undefined;
  try {
    makeFolder(folder);
    lock = Lock.take(`${file}.lock`);
  } catch (error) {
    throw diskError(folder, error, 'cache');
  }
  // Another process is at it: two cannot share one part.
  const part = lock ? `${file}.part` : `${file}.${process.pid}.part`;
  try {
    for (;;) {
      const continued = sizeOf(part) > 0;
      await receive(address, part, surroundings, limits);
      const sha256 = await digestOf(part, surroundings.signal);
      if (sha256.startsWith(digits)) {
        replace(part, file);
        return sha256;
      }
      fs.rmSync(part, { force: true });
      // What was there before may have been of another file; a whole one in one piece is beyond doubt.
      if (!continued) {
        throw new UserError(message('downloadOther', { address, digits, found: sha256.slice(0, digits.length) }));
      }
    }
  } finally {
    if (lock) lock.release();
    else fs.rmSync(part, { force: true });
  }
}

/** Appends to `part` until it is whole, taking up broken connections. */
async function receive(
  address: string,
  part: string,
  { received, signal }: DownloadSurroundings,
  limits: PatienceLimits,
): Promise<void> {
  const { EnvHttpProxyAgent, fetch } = await import('undici');
  const dispatcher = new EnvHttpProxyAgent({ headersTimeout: limits.ms, bodyTimeout: limits.ms });
  try {
    for (let fruitless = 0; ;) {
      const before = sizeOf(part);
      let broken: unknown = new Error('the server ends its answers early');
      const patience = new Patience(signal, limits);
      try {
        if (await receiveOnce(part, before, patience)) return;
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof UserError) throw error;
        if (error instanceof Refused) throw failure(address, error);
        broken = error;
      } finally {
        patience.end();
      }
      // Crumbs are no progress: with one a connection, this would go on for ever.
      fruitless = sizeOf(part) - before >= limits.bytes ? 0 : fruitless + 1;
      if (fruitless >= fruitlessTries) throw failure(address, broken);
      await setTimeout(waitMs, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  } finally {
    await dispatcher.destroy();
  }

  /** One connection. @returns whether the file is whole */
  async function receiveOnce(part: string, before: number, patience: Patience): Promise<boolean> {
    const response = await fetch(address, {
      // Ranges are of the bytes as they lie there.
      headers: { 'accept-encoding': 'identity', ...(before > 0 && { range: `bytes=${before}-` }) },
      dispatcher,
      signal: patience.signal,
    });
    const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get('content-range') ?? '');
    if (response.status === 416) {
      // There is nothing behind what is there: it is whole, or not of this file.
      await response.body?.cancel();
      if (before === 0) throw new Refused('HTTP 416 for the whole file');
      return true;
    }
    if (response.status !== 200 && response.status !== 206) {
      await response.body?.cancel();
      throw new Refused(`HTTP ${response.status} ${response.statusText}`.trim());
    }
    if (response.status === 206 && Number(range?.[1]) !== before) throw new Refused('another range than asked for');
    let bytes = response.status === 206 ? before : 0;
    const length = Number(response.headers.get('content-length') ?? NaN);
    const total = response.status === 206 ? Number(range![2]) : Number.isNaN(length) ? undefined : length;
    if ((total ?? 0) > mostBytes) throw new Refused(`${total} bytes are more than any such file has`);
    await writing(part, bytes > 0 ? 'a' : 'w', async (write) => {
      for await (const chunk of response.body ?? []) {
        write(chunk as Uint8Array);
        patience.count((chunk as Uint8Array).length);
        bytes += (chunk as Uint8Array).length;
        if (bytes > (total ?? mostBytes)) throw new Refused('more bytes than announced');
        received(bytes, total);
      }
    });
    return total === undefined || bytes === total;
  }
}

/** @throws UserError on a full disk */
async function writing(file: string, flags: 'a' | 'w', fill: (write: (bytes: Uint8Array) => void) => Promise<void>) {
  const guarded = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw diskError(path.dirname(file), error, 'cache');
    }
  };
  const descriptor = guarded(() => fs.openSync(file, flags));
  try {
    await fill((bytes) => {
      for (let at = 0; at < bytes.length;) at += guarded(() => fs.writeSync(descriptor, bytes, at));
    });
  } finally {
    fs.closeSync(descriptor);
  }
}

/** What went wrong at the bottom: fetch itself says only that it failed. */
function failure(address: string, error: unknown): UserError {
  let cause = error as { cause?: unknown; code?: unknown; message?: string; errors?: unknown[] };
  while (cause.cause instanceof Error) cause = cause.cause;
  // An address with several hosts behind it fails with one error each.
  if (Array.isArray(cause.errors) && cause.errors.length > 0) cause = cause.errors[0] as typeof cause;
  const reason = [cause.code, cause.message].filter(Boolean).join(': ');
  return new UserError(message('downloadFailed', { address, reason }), undefined, { cause: error });
}

const sizeOf = (file: string): number => fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0;

const pieceBytes = 8 * 2 ** 20;

/** SHA-256 of a file, in hexadecimal digits. @throws UserError where it cannot be read, and the signal's reason */
export async function digestOf(file: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  let descriptor: number | undefined;
  try {
    descriptor = fs.openSync(file, 'r');
    const piece = new Uint8Array(pieceBytes);
    for (let count; (count = fs.readSync(descriptor, piece)) > 0; await breathe(signal))
      hash.update(piece.subarray(0, count));
    return hash.digest('hex');
  } catch (error) {
    if (typeof (error as NodeJS.ErrnoException).code !== 'string') throw error;
    throw new UserError(message('weightsUnreadable', { file, reason: (error as Error).message }));
  } finally {
    if (descriptor !== undefined) fs.closeSync(descriptor);
  }
}
