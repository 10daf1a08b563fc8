/**
 * Netpbm's bitmaps, greymaps and pixmaps (PBM, PGM, PPM; plain and raw), which libvips as shipped with sharp does not read.
 * decode.ts calls it. They are a header and numbers: less than what a library would bring.
 */
import { checkSize, FlawedImage } from './flaws';
import type { Image } from './raster';

/** @throws FlawedImage */
export function readNetpbm(bytes: Buffer): Image {
  const kind = bytes[1]! - 0x30;
  const plain = kind <= 3;
  const bitmap = kind === 1 || kind === 4;
  const channels = kind === 3 || kind === 6 ? 3 : 1;
  const tokens = new Tokens(bytes, 2);
  const [width, height, most] = [tokens.number(), tokens.number(), bitmap ? 1 : tokens.number()];
  checkSize(width, height);
  if (most < 1 || most > 65_535) throw new FlawedImage('damaged', `largest value ${most}`);
  const count = width * height * channels;
  const samples = plain
    ? plainSamples(tokens, count, bitmap)
    : rawSamples(bytes.subarray(tokens.at + 1), width, count, bitmap, most);
  const data = new Uint8Array(width * height * 3);
  const copies = 3 / channels;
  for (let i = 0; i < count; i++) {
    const value = samples[i]!;
    // Black is 1 in a bitmap.
    const byte = bitmap ? 255 * (1 - value) : most === 255 ? value : Math.min(255, Math.round((value * 255) / most));
    for (let k = 0; k < copies; k++) data[i * copies + k] = byte;
  }
  return { width, height, data };
}

/** Numbers between white space and comments. */
class Tokens {
  constructor(
    private readonly bytes: Buffer,
    /** The byte behind what was read. */
    public at: number,
  ) {}

  get left(): number {
    return this.bytes.length - this.at;
  }

  number(): number {
    this.skip();
    let value = 0;
    const from = this.at;
    for (let digit; (digit = this.digit()) !== undefined; this.at++) value = Math.min(value * 10 + digit, 2 ** 31);
    if (this.at === from) throw this.missing();
    return value;
  }

  /** One digit, which need not stand apart. */
  bit(): number {
    this.skip();
    const digit = this.digit();
    if (digit === undefined || digit > 1) throw this.missing();
    this.at++;
    return digit;
  }

  private digit(): number | undefined {
    const byte = this.bytes[this.at]!;
    return byte >= 0x30 && byte <= 0x39 ? byte - 0x30 : undefined;
  }

  private skip(): void {
    for (; this.at < this.bytes.length; this.at++) {
      const byte = this.bytes[this.at]!;
      if (byte === 0x23)
        while (this.at < this.bytes.length && !/[\r\n]/.test(String.fromCharCode(this.bytes[this.at]!))) this.at++;
      else if (byte !== 0x20 && !(byte >= 0x09 && byte <= 0x0d)) return;
    }
  }

  private missing(): FlawedImage {
    return new FlawedImage(this.at >= this.bytes.length ? 'cutShort' : 'damaged', `no number at byte ${this.at}`);
  }
}

function plainSamples(tokens: Tokens, count: number, bitmap: boolean): Uint16Array {
  // A digit each, and white space between numbers.
  if (tokens.left < (bitmap ? count : 2 * count - 1)) throw new FlawedImage('cutShort', `${tokens.left} bytes`);
  const samples = new Uint16Array(count);
  for (let i = 0; i < count; i++) samples[i] = bitmap ? tokens.bit() : Math.min(65_535, tokens.number());
  return samples;
}

function rawSamples(
  raw: Buffer,
  width: number,
  count: number,
  bitmap: boolean,
  most: number,
): Uint16Array | Uint8Array {
  const rowBytes = Math.ceil(width / 8);
  const needed = bitmap ? rowBytes * (count / width) : most > 255 ? count * 2 : count;
  if (raw.length < needed) throw new FlawedImage('cutShort', `${raw.length} of ${needed} bytes`);
  if (most > 255) return Uint16Array.from({ length: count }, (_, i) => raw.readUInt16BE(i * 2));
  if (!bitmap) return raw.subarray(0, count);
  return Uint16Array.from({ length: count }, (_, i) => {
    const x = i % width;
    return (raw[Math.floor(i / width) * rowBytes + (x >> 3)]! >> (7 - (x & 7))) & 1;
  });
}
