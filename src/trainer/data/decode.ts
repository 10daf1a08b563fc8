/**
 * From a file's bytes to an image: its pixels as red, green and blue bytes, decoded by sharp (libvips) or by the readers
 * beside this file, as Pillow would read them. Transparent images are laid on white, orientation is applied,
 * animations give their first frame, CMYK, grey, palette and 16-bit images become 8-bit RGB; colour profiles are ignored,
 * as torchvision ignores them. prepare.ts calls it.
 */
import type { Sharp, SharpOptions } from 'sharp';
import { message, UserError } from '../../core/messages/message';
import { readBitmap } from './bitmap';
import { checkSize, Flaw, FlawedImage } from './flaws';
import { ImageFormat, isFormat, sniff, sniffedBytes } from './formats';
import type { Gate } from './gate';
import { paintAround } from './gif';
import { isUncommonJpeg } from './jpeg';
import { readNetpbm } from './netpbm';
import { orientationOfXmp, upright } from './orientation';
import type { Image } from './raster';
import { Photometric, readTiffLayout, rgbOfYcbcr, TiffCompression, unreadCoding } from './tiff';

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
 * @param gate passed before the pixels are decoded
 * @throws FlawedImage
 */
export async function decode(bytes: Buffer, gate?: Gate): Promise<Image> {
  const format = sniff(bytes.subarray(0, sniffedBytes), bytes.length);
  if (!isFormat(format)) throw new FlawedImage(format, format);
  if (format === 'bmp') return readBitmap(bytes);
  if (format === 'netpbm') return readNetpbm(bytes);
  const sharp = await loadDecoder();
  let leave: (() => void) | undefined;
  try {
    const tiff = format === 'tiff' ? readTiffLayout(bytes) : undefined;
    const unread = tiff && unreadCoding(tiff);
    if (unread !== undefined) throw new FlawedImage('coding', unread);
    // A truncated image is an error, an oddity that other programs overlook is not.
    const options: SharpOptions = { failOn: 'error', limitInputPixels: false, ignoreIcc: true };
    const { space, depth, width, height, orientation, xmpAsString } = await sharp(bytes, options).metadata();
    checkSize(width, height);
    leave = await gate?.enter(width * height);
    const image = sharp(bytes, { ...options, sequentialRead: true }).autoOrient();
    if (space === 'cmyk') {
      const inks = image.pipelineColourspace('cmyk').toColourspace('cmyk');
      return fromInks(await pixelsOf(inks, depth === 'ushort' ? 'ushort' : 'uchar'));
    }
    // Pillow takes signed bytes for unsigned ones.
    if (depth === 'char') return inRgb(await pixelsOf(image, 'char'));
    const rgb = inRgb(await pixelsOf(image.flatten({ background: '#ffffff' }).toColourspace('srgb')));
    if (format === 'gif') paintAround(rgb, bytes);
    if (tiff?.photometric === Photometric.ycbcr && tiff.compression !== TiffCompression.jpeg)
      rgbOfYcbcr(rgb.data, tiff);
    return orientation === undefined && xmpAsString ? upright(rgb, orientationOfXmp(xmpAsString)) : rgb;
  } catch (error) {
    if (error instanceof FlawedImage) throw error;
    throw new FlawedImage(flawBehind(bytes, format, error as Error), (error as Error).message);
  } finally {
    leave?.();
  }
}

interface Samples extends Image {
  readonly channels: number;
}

async function pixelsOf(image: Sharp, depth: 'uchar' | 'char' | 'ushort' = 'uchar'): Promise<Samples> {
  const { data, info } = await image.raw({ depth }).toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  if (depth !== 'ushort') return { width, height, channels, data };
  // Of 16 bits the upper eight, as everywhere.
  const words = new Uint16Array(data.buffer, data.byteOffset, data.length / 2);
  return { width, height, channels, data: Uint8Array.from(words, (word) => word >> 8) };
}

/** Three channels of one, and of more the first three. */
function inRgb({ width, height, channels, data }: Samples): Image {
  if (channels === 3) return { width, height, data };
  const out = new Uint8Array(width * height * 3);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) out[i * 3 + c] = data[i * channels + (channels < 3 ? 0 : c)]!;
  }
  return { width, height, data: out };
}

/** Inks to light by Pillow's formula, (255 − ink) (255 − black) / 255, whatever the profile says. */
function fromInks({ width, height, channels, data }: Samples): Image {
  const out = new Uint8Array(width * height * 3);
  for (let i = 0; i < width * height; i++) {
    const at = i * channels;
    const light = 255 - data[at + 3]!;
    for (let c = 0; c < 3; c++) out[i * 3 + c] = light - Math.round((data[at + c]! * light) / 255);
  }
  return { width, height, data: out };
}

/** What libtiff and libvips say of pixels that they do not know how to read. */
const tiffNotRead = /not configured|not supported|not a whole number of bytes/i;

/** Why a file could not be decoded. */
function flawBehind(bytes: Buffer, format: ImageFormat, { message: reason }: Error): Flaw {
  if (format === 'tiff' && tiffNotRead.test(reason)) return 'coding';
  if (format === 'jpeg' && isUncommonJpeg(bytes)) return 'coding';
  // The decoder's words for a sequence without a still image.
  if (format === 'avif' && /unsupported image format/.test(reason)) return 'coding';
  return isCutShort(bytes, format) ? 'cutShort' : 'damaged';
}

/** Whether the end of a file that could not be decoded is missing. */
function isCutShort(bytes: Buffer, format: ImageFormat): boolean {
  if (format === 'jpeg') return !bytes.includes('\xff\xd9', Math.max(0, bytes.length - 1024), 'latin1');
  if (format === 'png') return !bytes.includes('IEND', Math.max(0, bytes.length - 1024), 'latin1');
  if (format === 'gif') return bytes[bytes.length - 1] !== 0x3b;
  if (format === 'webp') return bytes.readUInt32LE(4) + 8 > bytes.length;
  return false;
}
