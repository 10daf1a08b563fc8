/**
 * From a file's bytes to an image: what kind of file it is, whether it is whole, and its pixels as red, green and blue
 * bytes, decoded by sharp (libvips). Transparent images are laid on white, EXIF orientation is applied, animations give
 * their first frame, CMYK, grey, palette and 16-bit images become 8-bit sRGB; an RGB colour profile is ignored, as
 * torchvision ignores it. folder.ts sniffs with it, prepare.ts decodes.
 */
import type { Sharp, SharpOptions } from 'sharp';
import { message, UserError } from '../../core/messages/message';
import type { Image } from './raster';

/** Why a file cannot be used. */
export type Flaw = 'empty' | 'notImage' | 'unsupported' | 'cutShort' | 'damaged' | 'tooLarge' | 'unreadable' | 'link';

export class FlawedImage extends Error {
  constructor(
    readonly flaw: Flaw,
    reason: string,
  ) {
    super(reason);
  }
}

/** Images with more pixels are left out: one decoded takes three bytes for each. */
export const mostPixels = 50_000_000;

/** Bytes from a file's beginning that {@link sniff} looks at. */
export const sniffedBytes = 32;

const decodable = ['jpeg', 'png', 'gif', 'webp', 'tiff', 'avif'] as const;
export type ImageFormat = (typeof decodable)[number];

/** The format that a file's first bytes show, whatever its name says, or what is wrong with it. */
export function sniff(head: Uint8Array, fileBytes: number): ImageFormat | Flaw {
  if (fileBytes === 0) return 'empty';
  const text = Buffer.from(head.buffer, head.byteOffset, Math.min(head.length, fileBytes)).toString('latin1');
  if (text.startsWith('\xff\xd8\xff')) return 'jpeg';
  if (text.startsWith('\x89PNG\r\n\x1a\n')) return 'png';
  if (/^GIF8[79]a/.test(text)) return 'gif';
  if (/^RIFF[^]{4}WEBP/.test(text)) return 'webp';
  if (/^(II\*\0|MM\0\*)/.test(text)) return 'tiff';
  if (/^[^]{4}ftypavi[fs]/.test(text)) return 'avif';
  // BMP, HEIC, JPEG 2000, JPEG XL, Photoshop, icons: images, but none that the decoder reads.
  if (/^(BM[^]{4}\0\0\0\0|[^]{4}ftyp(hei|mif|msf)|[^]{4}jP {2}|\xff\x0a|[^]{4}JXL |8BPS|\0\0[\x01\x02]\0)/.test(text)) {
    return 'unsupported';
  }
  return 'notImage';
}

const isFormat = (sniffed: ImageFormat | Flaw): sniffed is ImageFormat =>
  (decodable as readonly string[]).includes(sniffed);

/** Whether {@link sniff} found an image that can be tried. */
export const flawOf = (sniffed: ImageFormat | Flaw): Flaw | undefined => (isFormat(sniffed) ? undefined : sniffed);

type SharpModule = (input: Buffer, options: SharpOptions) => Sharp;
let loaded: Promise<SharpModule> | undefined;

/** Loads the decoder; the main thread does so before any worker, as sharp asks. @throws UserError where it cannot be */
export async function loadDecoder(): Promise<SharpModule> {
  loaded ??= import('sharp').then(({ default: sharp }) => {
    // Images are decoded side by side, one thread each, and never twice in a row.
    sharp.concurrency(1);
    sharp.cache(false);
    return sharp;
  });
  try {
    return await loaded;
  } catch (error) {
    const reason = (error as Error).message.split('\n')[0]!;
    throw new UserError(message('decoderMissing', { reason }), message('decoderMissingAdvice'));
  }
}

/**
 * Decodes an image, always at its full size: whatever shrinks an image while it is decoded averages otherwise than
 * Pillow's resize does, by up to 16 of 255 for a quarter.
 * @throws FlawedImage
 */
export async function decode(bytes: Buffer): Promise<Image> {
  const format = sniff(bytes.subarray(0, sniffedBytes), bytes.length);
  if (!isFormat(format)) throw new FlawedImage(format, format);
  const sharp = await loadDecoder();
  try {
    // A truncated image is an error, an oddity that other programs overlook is not.
    const options: SharpOptions = { failOn: 'error', limitInputPixels: false, ignoreIcc: true };
    const { space, width: storedWidth, height: storedHeight } = await sharp(bytes, options).metadata();
    if (storedWidth * storedHeight > mostPixels) {
      throw new FlawedImage('tooLarge', `${storedWidth} × ${storedHeight}`);
    }
    const { data, info } = await sharp(bytes, { ...options, ignoreIcc: space !== 'cmyk', sequentialRead: true })
      .autoOrient()
      .flatten({ background: '#ffffff' })
      .toColourspace('srgb')
      .raw()
      .toBuffer({ resolveWithObject: true });
    const rgb = info.channels === 3 ? data : tripled(data, info.channels);
    return { width: info.width, height: info.height, data: rgb };
  } catch (error) {
    if (error instanceof FlawedImage) throw error;
    throw new FlawedImage(isCutShort(bytes, format) ? 'cutShort' : 'damaged', (error as Error).message);
  }
}

/** A grey image in three channels. */
function tripled(data: Uint8Array, channels: number): Uint8Array {
  const pixels = data.length / channels;
  const out = new Uint8Array(pixels * 3);
  for (let i = 0; i < pixels; i++) out.fill(data[i * channels]!, i * 3, i * 3 + 3);
  return out;
}

/** Whether the end of a file that could not be decoded is missing. */
function isCutShort(bytes: Buffer, format: ImageFormat): boolean {
  if (format === 'jpeg') return !bytes.includes('\xff\xd9', Math.max(0, bytes.length - 1024), 'latin1');
  if (format === 'png') return !bytes.includes('IEND', Math.max(0, bytes.length - 1024), 'latin1');
  if (format === 'gif') return bytes[bytes.length - 1] !== 0x3b;
  if (format === 'webp') return bytes.readUInt32LE(4) + 8 > bytes.length;
  return false;
}
