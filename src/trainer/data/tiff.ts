/**
 * What a TIFF's first directory says of its pixels, where libvips does not heed it or fails for another reason than it
 * gives. decode.ts asks before it decodes. TIFF 6.0; BigTIFF, whose counts and offsets have eight bytes.
 */

/** Values of tags that matter here, with the defaults of TIFF 6.0. */
export interface TiffLayout {
  readonly bits: readonly number[];
  readonly compression: number;
  readonly photometric: number;
  /** 1 unsigned, 2 signed, 3 floating point. */
  readonly sampleFormat: number;
  /** Of chroma, across and down. */
  readonly subsampling: readonly number[];
  /** Shares of red, green and blue in luma. */
  readonly luma: readonly [number, number, number];
}

export const Photometric = { whiteIsZero: 0, blackIsZero: 1, rgb: 2, palette: 3, separated: 5, ycbcr: 6 } as const;
export const TiffCompression = { none: 1, jpeg: 7 } as const;

const Tag = {
  bits: 258,
  samples: 277,
  compression: 259,
  photometric: 262,
  sampleFormat: 339,
  luma: 529,
  subsampling: 530,
} as const;
/** Bytes of a value of each type that is read here: byte, short, long, rational, long8. */
const typeBytes: Readonly<Record<number, number>> = { 1: 1, 3: 2, 4: 4, 5: 8, 16: 8 };
/** More than any tag here has. */
const mostValues = 64;
const jfifLuma = [0.299, 0.587, 0.114] as const;

/** undefined where the directory cannot be read; whoever decodes the file will say why. */
export function readTiffLayout(bytes: Buffer): TiffLayout | undefined {
  try {
    return layoutOf(new Reader(bytes));
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function layoutOf(reader: Reader): TiffLayout {
  const tags = reader.directory();
  const [red, green, blue] = tags.get(Tag.luma) ?? [];
  return {
    // Some writers give more than there are samples.
    bits: (tags.get(Tag.bits) ?? [1]).slice(0, Math.max(1, tags.get(Tag.samples)?.[0] ?? 1)),
    compression: tags.get(Tag.compression)?.[0] ?? TiffCompression.none,
    photometric: tags.get(Tag.photometric)?.[0] ?? Photometric.whiteIsZero,
    sampleFormat: tags.get(Tag.sampleFormat)?.[0] ?? 1,
    subsampling: tags.get(Tag.subsampling) ?? [2, 2],
    luma: red && green && blue ? [red, green, blue] : jfifLuma,
  };
}

/** Reads numbers; a RangeError where they lie outside of the file. */
class Reader {
  private readonly little: boolean;
  private readonly big: boolean;

  constructor(private readonly bytes: Buffer) {
    this.little = bytes[0] === 0x49;
    this.big = this.number(2, 2) === 43;
  }

  directory(): ReadonlyMap<number, readonly number[]> {
    const wide = this.big ? 8 : 4;
    const at = this.number(this.big ? 8 : 4, wide);
    const first = at + (this.big ? 8 : 2);
    const count = this.number(at, this.big ? 8 : 2);
    const wanted: readonly number[] = Object.values(Tag);
    const tags = new Map<number, readonly number[]>();
    for (let i = 0; i < Math.min(count, 65_535); i++) {
      const entry = first + i * (4 + 2 * wide);
      const [tag, type, length] = [this.number(entry, 2), this.number(entry + 2, 2), this.number(entry + 4, wide)];
      const size = typeBytes[type];
      if (size === undefined || !wanted.includes(tag) || tags.has(tag)) continue;
      // Values that fit stand in the entry itself.
      const inside = entry + 4 + wide;
      const from = size * length <= wide ? inside : this.number(inside, wide);
      const values = Array.from({ length: Math.min(length, mostValues) }, (_, k) => from + k * size);
      tags.set(
        tag,
        values.map((place) =>
          type === 5 ? this.number(place, 4) / this.number(place + 4, 4) : this.number(place, size),
        ),
      );
    }
    return tags;
  }

  private number(at: number, size: number): number {
    if (size === 8) {
      const value = this.little ? this.bytes.readBigUInt64LE(at) : this.bytes.readBigUInt64BE(at);
      return Number(value);
    }
    return this.little ? this.bytes.readUIntLE(at, size) : this.bytes.readUIntBE(at, size);
  }
}

/** What of a TIFF is not read, though the format is; undefined where all is. */
export function unreadCoding({
  bits,
  photometric,
  compression,
  sampleFormat,
  subsampling,
}: TiffLayout): string | undefined {
  if (!(Object.values(Photometric) as number[]).includes(photometric)) return `photometric ${photometric}`;
  const [depth] = bits;
  if (![1, 2, 4, 8, 16].includes(depth!) || bits.some((own) => own !== depth)) return `${bits.join(', ')} bits`;
  if (sampleFormat > 2 || (sampleFormat === 2 && depth !== 8)) return `sample format ${sampleFormat}, ${depth} bits`;
  if (photometric === Photometric.ycbcr && compression !== TiffCompression.jpeg) {
    if (subsampling.some((step) => step !== 1) || depth !== 8) return `YCbCr, chroma ${subsampling.join(' × ')}`;
  }
  return undefined;
}

/** Turns luma and chroma, in place, into red, green and blue. */
export function rgbOfYcbcr(data: Uint8Array, { compression, luma }: TiffLayout): void {
  // Pillow asks libtiff, which heeds the file's own shares, only where pixels are compressed.
  const [red, green, blue] = compression === TiffCompression.none ? jfifLuma : luma;
  const clip = (value: number) => Math.max(0, Math.min(255, Math.round(value)));
  for (let i = 0; i + 2 < data.length; i += 3) {
    const y = data[i]!;
    const [b, r] = [(data[i + 1]! - 128) * (2 - 2 * blue), (data[i + 2]! - 128) * (2 - 2 * red)];
    data[i] = clip(y + r);
    data[i + 1] = clip(y - (r * red + b * blue) / green);
    data[i + 2] = clip(y + b);
  }
}
