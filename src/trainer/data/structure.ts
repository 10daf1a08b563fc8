/**
 * Whether an image file is whole, by its structure and checksums and without decoding a pixel: hundreds of times as fast.
 * prepare.ts asks where a folder is only surveyed; what damages pixels alone shows when they are decoded.
 */
import * as zlib from 'node:zlib';
import { Flaw, mostPixels } from './flaws';
import { isFormat, sniff, sniffedBytes } from './formats';
import { segmentsOf } from './jpeg';

export type Verdict = Flaw | 'whole';

/** undefined where only decoding tells: another format, or something out of the ordinary. */
export function structureOf(bytes: Buffer): Verdict | undefined {
  const format = sniff(bytes.subarray(0, sniffedBytes), bytes.length);
  if (!isFormat(format)) return format;
  const judge = { jpeg, png, gif, webp }[format as string];
  try {
    return judge?.(bytes);
  } catch (error) {
    // A number that would lie behind the file's end.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Whether an image of this size can be one, and a whole one. */
const sized = (width: number, height: number): Verdict | undefined =>
  width === 0 || height === 0 ? undefined : width * height > mostPixels ? 'tooLarge' : 'whole';

/** So many bytes may stand behind the end of an image. */
const mostTrailing = 1024;

function jpeg(bytes: Buffer): Verdict | undefined {
  let verdict: Verdict | undefined;
  const tables = new Set<number>();
  for (const { marker, content } of segmentsOf(bytes)) {
    tables.add(marker);
    // Baseline and progressive; the decoder knows what to say of others.
    if (marker >= 0xc0 && marker <= 0xc2 && bytes[content] === 8) {
      verdict = sized(bytes.readUInt16BE(content + 3), bytes.readUInt16BE(content + 1));
    }
    if (marker !== 0xda) continue;
    if (verdict !== 'whole' || !tables.has(0xdb) || !tables.has(0xc4))
      return verdict === 'tooLarge' ? verdict : undefined;
    const end = bytes.lastIndexOf('\xff\xd9', undefined, 'latin1');
    return end < content ? 'cutShort' : bytes.length - end <= mostTrailing ? 'whole' : undefined;
  }
  // It ends within its tables.
  return undefined;
}

function png(bytes: Buffer): Verdict | undefined {
  const verdict = sized(bytes.readUInt32BE(16), bytes.readUInt32BE(20));
  if (verdict !== 'whole' || zlib.crc32 === undefined) return verdict === 'tooLarge' ? verdict : undefined;
  let hasPixels = false;
  for (let at = 8; at < bytes.length;) {
    const length = bytes.readUInt32BE(at);
    const end = at + 8 + length;
    const name = bytes.toString('latin1', at + 4, at + 8);
    // Decoders do without the end, where all pixels are there.
    if (end + 4 > bytes.length) return undefined;
    if (zlib.crc32(bytes.subarray(at + 4, end)) !== bytes.readUInt32BE(end)) return undefined;
    hasPixels ||= name === 'IDAT';
    if (name === 'IEND') return hasPixels ? 'whole' : undefined;
    at = end + 4;
  }
  return undefined;
}

/** Up to the end of the first frame, which is the one that is used. */
function gif(bytes: Buffer): Verdict | undefined {
  const tableBytes = (flags: number) => (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0);
  const verdict = sized(bytes.readUInt16LE(6), bytes.readUInt16LE(8));
  let at = 13 + tableBytes(bytes.readUInt8(10));
  for (;;) {
    const block = bytes.readUInt8(at);
    if (block !== 0x21 && block !== 0x2c) return undefined;
    at += block === 0x21 ? 2 : 11 + tableBytes(bytes.readUInt8(at + 9));
    for (let size; (size = bytes.readUInt8(at)) > 0; at += size + 1);
    at += 1;
    // Of a screen that is out of all proportion the decoder makes its own.
    if (block === 0x2c) return verdict === 'whole' ? verdict : undefined;
  }
}

function webp(bytes: Buffer): Verdict | undefined {
  if (bytes.readUInt32LE(4) + 8 > bytes.length) return 'cutShort';
  const kind = bytes.toString('latin1', 12, 16);
  if (kind === 'VP8X') return sized(bytes.readUIntLE(24, 3) + 1, bytes.readUIntLE(27, 3) + 1);
  if (kind === 'VP8 ') return sized(bytes.readUInt16LE(26) & 0x3fff, bytes.readUInt16LE(28) & 0x3fff);
  if (kind !== 'VP8L') return undefined;
  const packed = bytes.readUInt32LE(21);
  return sized((packed & 0x3fff) + 1, ((packed >>> 14) & 0x3fff) + 1);
}
