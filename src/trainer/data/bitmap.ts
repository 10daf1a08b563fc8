/**
 * Windows' and OS/2's bitmaps (BMP), which libvips does not read, as Pillow reads them: 1 to 32 bits a pixel, palettes,
 * run lengths and masks. decode.ts calls it. A library would read fewer of them, and none reads them as Pillow does.
 */
import { checkSize, FlawedImage } from './flaws';
import type { Image } from './raster';

/** What the header says. */
interface Header {
  readonly width: number;
  readonly height: number;
  /** Rows from the top, where they usually come from the bottom. */
  readonly topDown: boolean;
  readonly bits: number;
  readonly compression: number;
  /** Red, green, blue and alpha, of pixels of 16 bits and more. */
  readonly masks: readonly number[];
  /** Blue, green, red, and in most files a fourth byte. */
  readonly palette: Uint8Array;
  readonly paletteStep: number;
  readonly pixels: Uint8Array;
}

const Compression = { none: 0, runs8: 1, runs4: 2, masks: 3 } as const;

/** @throws FlawedImage */
export function readBitmap(bytes: Buffer): Image {
  const header = readHeader(bytes);
  const { width, height, bits, compression, palette, paletteStep } = header;
  if (bits > 8) return unpackColours(header);
  const runs = compression === Compression.runs8 || compression === Compression.runs4;
  const indices = runs ? expandRuns(header) : unpackIndices(header);
  const data = new Uint8Array(width * height * 3);
  for (let i = 0; i < indices.length; i++) {
    const at = indices[i]! * paletteStep;
    // An index behind the palette's end is black.
    for (let c = 0; c < 3; c++) data[i * 3 + c] = palette[at + 2 - c] ?? 0;
  }
  return { width, height, data };
}

function readHeader(bytes: Buffer): Header {
  const size = bytes.length >= 18 ? bytes.readUInt32LE(14) : 0;
  if (bytes.length < 14 + size || size < 12) throw new FlawedImage('cutShort', 'header');
  const old = size === 12;
  const word = (at: number) => (size >= at + 4 ? bytes.readUInt32LE(14 + at) : 0);
  const width = old ? bytes.readUInt16LE(18) : bytes.readInt32LE(18);
  const signedHeight = old ? bytes.readUInt16LE(20) : bytes.readInt32LE(22);
  const height = Math.abs(signedHeight);
  const bits = bytes.readUInt16LE(14 + (old ? 10 : 14));
  const compression = old ? Compression.none : word(16);
  checkSize(width, height);
  if (![1, 2, 4, 8, 16, 24, 32].includes(bits)) throw new FlawedImage('coding', `${bits} bits`);
  const packed = bits === 8 ? Compression.runs8 : bits === 4 ? Compression.runs4 : bits > 8 ? Compression.masks : 0;
  if (compression !== Compression.none && compression !== packed)
    throw new FlawedImage('coding', `compression ${compression}`);
  const masked = compression === Compression.masks;
  // Masks stand in the header or, where it is a short one, behind it.
  const mask = (i: number) => (14 + 40 + i * 4 + 4 <= bytes.length ? bytes.readUInt32LE(14 + 40 + i * 4) : 0);
  // Pillow heeds the alpha of 32 bits alone.
  const alpha = size >= 56 && bits === 32 ? mask(3) : 0;
  const masks = masked ? [mask(0), mask(1), mask(2), alpha] : plainMasks(bits);
  const paletteStep = old ? 3 : 4;
  const colours = bits > 8 ? 0 : word(32) || 1 << bits;
  if (colours > 65_536) throw new FlawedImage('damaged', `${colours} colours`);
  const behind = 14 + size + (masked && size < 52 ? 12 : 0);
  const palette = bytes.subarray(behind, behind + colours * paletteStep);
  const told = bytes.readUInt32LE(10);
  // Some writers forget the palette when they say where the pixels begin.
  const start = told > 14 + size || bits > 8 ? told : behind + palette.length;
  return {
    ...{ width, height, topDown: signedHeight < 0, bits, compression, palette, paletteStep },
    masks: masks.some((m) => m !== 0) ? masks : plainMasks(bits),
    pixels: bytes.subarray(start),
  };
}

/** Red, green, blue; the fourth byte of 32 bits is nothing, unless masks say so. */
const plainMasks = (bits: number): number[] => (bits === 16 ? [0x7c00, 0x3e0, 0x1f, 0] : [0xff0000, 0xff00, 0xff, 0]);

/** The bytes from a row on; all rows are checked to be there. */
function rowsOf({ width, height, topDown, bits, pixels }: Header): (row: number) => Uint8Array {
  // Rows are whole words.
  const stride = Math.ceil((width * bits) / 32) * 4;
  const used = Math.ceil((width * bits) / 8);
  if (pixels.length < stride * (height - 1) + used)
    throw new FlawedImage('cutShort', `${pixels.length} bytes of pixels`);
  return (row) => pixels.subarray((topDown ? row : height - 1 - row) * stride);
}

function unpackIndices(header: Header): Uint8Array {
  const { width, height, bits } = header;
  const row = rowsOf(header);
  const out = new Uint8Array(width * height);
  const perByte = 8 / bits;
  for (let y = 0; y < height; y++) {
    const from = row(y);
    for (let x = 0; x < width; x++) {
      const shift = 8 - bits * ((x % perByte) + 1);
      out[y * width + x] = (from[Math.floor(x / perByte)]! >> shift) & ((1 << bits) - 1);
    }
  }
  return out;
}

function unpackColours(header: Header): Image {
  const { width, height, bits, masks } = header;
  const row = rowsOf(header);
  const data = new Uint8Array(width * height * 3);
  const step = bits / 8;
  const plain = step > 2 && plainMasks(bits).every((mask, i) => mask === masks[i]);
  const channels = masks.map(channelOf);
  for (let y = 0, to = 0; y < height; y++) {
    const from = row(y);
    for (let x = 0; x < width; x++, to += 3) {
      const at = x * step;
      if (plain) {
        for (let c = 0; c < 3; c++) data[to + c] = from[at + 2 - c]!;
        continue;
      }
      let pixel = 0;
      for (let i = 0; i < step; i++) pixel |= from[at + i]! << (8 * i);
      const cover = channels[3]!.most === 0 ? 1 : valueOf(pixel, channels[3]!) / 255;
      for (let c = 0; c < 3; c++) data[to + c] = Math.round(valueOf(pixel, channels[c]!) * cover + 255 * (1 - cover));
    }
  }
  return { width, height, data };
}

/** The bits of a pixel that a mask names. */
interface Channel {
  readonly mask: number;
  readonly shift: number;
  readonly most: number;
}

function channelOf(mask: number): Channel {
  const shift = mask === 0 ? 0 : 31 - Math.clz32(mask & -mask);
  return { mask, shift, most: mask >>> shift };
}

/** 0 to 255; fractions are cut off, as Pillow cuts them. */
const valueOf = (pixel: number, { mask, shift, most }: Channel): number =>
  most === 0 ? 0 : Math.floor((((pixel & mask) >>> shift) * 255) / most);

/**
 * Run lengths of indices, which go on from row to row as Pillow's do. What a file leaves out has index 0; one that ends
 * in the middle is cut short.
 */
function expandRuns({ width, height, topDown, compression, pixels }: Header): Uint8Array {
  const all = new Uint8Array(width * height);
  const narrow = compression === Compression.runs4;
  const nibble = (byte: number, i: number) => (!narrow ? byte : i % 2 === 0 ? byte >> 4 : byte & 15);
  let [to, x] = [0, 0];
  for (let at = 0; to < all.length;) {
    const [count, byte] = [pixels[at], pixels[at + 1]];
    if (count === undefined || byte === undefined) throw new FlawedImage('cutShort', 'run lengths');
    at += 2;
    if (count > 0) {
      const fitting = Math.min(count, Math.max(0, width - x));
      for (let i = 0; i < fitting; i++) all[to++] = nibble(byte, i);
      x += fitting;
    } else if (byte === 0) {
      to = Math.ceil(to / width) * width;
      x = 0;
    } else if (byte === 1) {
      break;
    } else if (byte === 2) {
      to += (pixels[at] ?? 0) + (pixels[at + 1] ?? 0) * width;
      x = to % width;
      at += 2;
    } else {
      const length = narrow ? Math.ceil(byte / 2) : byte;
      if (at + length > pixels.length) throw new FlawedImage('cutShort', 'run lengths');
      for (let i = 0; i < byte && to < all.length; i++) all[to++] = nibble(pixels[at + (narrow ? i >> 1 : i)]!, i);
      x += byte;
      // To whole words.
      at += length + (length % 2);
    }
  }
  if (topDown) return all;
  const out = new Uint8Array(all.length);
  for (let y = 0; y < height; y++) out.set(all.subarray(y * width, (y + 1) * width), (height - 1 - y) * width);
  return out;
}
