/**
 * Reads chosen files out of a gzipped tar archive, into memory: nothing is written where an archive says, and an entry
 * that was not asked for, is no plain file, or is longer than expected is never read. cifar10.ts unpacks with it.
 */
import * as fs from 'node:fs';
import { createGunzip } from 'node:zlib';
import { pipeline } from 'node:stream';

const block = 512;

interface Entry {
  readonly name: string;
  readonly size: number;
  readonly plain: boolean;
}

/**
 * Hands over the wanted files in the archive's order.
 * @param wanted name within the archive and the most bytes that it may have
 * @throws Error where the archive is damaged, or a wanted file is too long
 */
export async function* readTar(
  file: string,
  wanted: ReadonlyMap<string, number>,
): AsyncGenerator<{ readonly name: string; readonly content: Buffer }> {
  // An error of either stream is thrown by the loop that reads.
  const stream = pipeline(fs.createReadStream(file), createGunzip(), () => undefined);
  let header = Buffer.alloc(0);
  let entry: Entry | undefined;
  /** Of the entry at hand: bytes still to come with the padding, and the content where it is wanted. */
  let left = 0;
  let content: Buffer | undefined;
  let filled = 0;
  for await (const piece of stream as AsyncIterable<Buffer>) {
    let chunk = piece;
    while (chunk.length > 0) {
      if (!entry) {
        const taken = Math.min(block - header.length, chunk.length);
        header = Buffer.concat([header, chunk.subarray(0, taken)]);
        chunk = chunk.subarray(taken);
        if (header.length < block) continue;
        entry = readHeader(header);
        header = Buffer.alloc(0);
        if (!entry) continue;
        const most = entry.plain ? wanted.get(entry.name) : undefined;
        if (most !== undefined && entry.size > most) throw new Error(`${entry.name} is too long`);
        left = Math.ceil(entry.size / block) * block;
        content = most === undefined ? undefined : Buffer.alloc(entry.size);
        filled = 0;
      } else {
        const taken = chunk.subarray(0, left);
        if (content && filled < content.length) filled += taken.copy(content, filled);
        left -= taken.length;
        chunk = chunk.subarray(taken.length);
      }
      if (entry && left === 0) {
        if (content) yield { name: entry.name, content };
        entry = undefined;
      }
    }
  }
  if (entry || header.length > 0) throw new Error('the archive is cut short');
}

/** undefined for the empty blocks at an archive's end. */
function readHeader(header: Buffer): Entry | undefined {
  if (header.every((byte) => byte === 0)) return undefined;
  const text = (from: number, length: number) =>
    header
      .subarray(from, from + length)
      .toString('utf8')
      .replace(/\0[^]*$/, '');
  const number = (from: number, length: number) => parseInt(text(from, length).trim(), 8);
  // The sum of the header's bytes, with its own eight counted as blanks.
  let sum = 8 * 0x20;
  header.forEach((byte, i) => (sum += i >= 148 && i < 156 ? 0 : byte));
  const size = number(124, 12);
  if (sum !== number(148, 8) || !Number.isSafeInteger(size) || size < 0) throw new Error('the archive is damaged');
  const prefix = text(257, 5) === 'ustar' ? text(345, 155) : '';
  const kind = header[156]!;
  return { name: prefix ? `${prefix}/${text(0, 100)}` : text(0, 100), size, plain: kind === 0 || kind === 0x30 };
}
