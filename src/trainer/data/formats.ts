/** What a file's first bytes show of its format, whatever its name says. folder.ts and decode.ts ask. */
import type { Flaw } from './flaws';

/** Bytes from a file's beginning that {@link sniff} looks at. */
export const sniffedBytes = 256;

const decodable = ['jpeg', 'png', 'gif', 'webp', 'tiff', 'avif', 'bmp', 'netpbm'] as const;
export type ImageFormat = (typeof decodable)[number];

/** In this order. BigTIFF has 43 where TIFF has 42. */
const signatures: readonly (readonly [ImageFormat, RegExp])[] = [
  ['jpeg', /^\xff\xd8\xff/],
  ['png', /^\x89PNG\r\n\x1a\n/],
  ['gif', /^GIF8[79]a/],
  ['webp', /^RIFF[^]{4}WEBP/],
  ['tiff', /^(II[*+]\0|MM\0[*+])/],
  // The kinds of header that there are, by their length.
  ['bmp', /^BM[^]{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0/],
  ['netpbm', /^P[1-6](\s|#)[\s\d#]/],
];

/** Formats of images that are not read. */
const others: readonly RegExp[] = [
  // JPEG 2000 and JPEG XL, each in a box and bare.
  /^[^]{4}(jP {2}|JXL )/,
  /^\xff(\x4f\xff\x51|\x0a)/,
  // Photoshop, icons, textures, GIMP, portable anymaps beyond the six, animated PNG's relatives, BPG.
  /^(8BPS|\0\0[\x01\x02]\0[\x01-\xff]\0|icns|DDS |BLP[12]|gimp xcf|P7\n|P[Ff]\n|[\x8a\x8b][MJ]NG|BPG\xfb|qoif)/,
  // High dynamic range, SGI, PCX, Sun, pixmaps of X, FITS; bitmaps with a header that nobody knows.
  /^(v\/1\x01|#\?R(ADIANC|GB)E|\x01\xda[\0\x01][\x01\x02]|\x0a[\0-\x05][\0\x01][\x01\x02\x04\x08]|\x59\xa6\x6a\x95|\/\* XPM|SIMPLE {2}=|BM[^]{4}\0{4})/,
  // Targa and a bitmap without its file's header, by what their headers can hold.
  /^[^][\0\x01][\x01-\x03\x09-\x0b][^]{13}[\x08\x0f\x10\x18\x20][\0-\x3f]/,
  /^[\x0c\x28\x6c\x7c]\0{3}[^]{8}\x01\0[\x01\x04\x08\x10\x18\x20]\0/,
  // Vector drawings.
  /^(\xef\xbb\xbf)?\s*(<\?xml[^]*)?<svg/,
];

/** The format that a file's first bytes show, or what is wrong with it. */
export function sniff(head: Uint8Array, fileBytes: number): ImageFormat | Flaw {
  if (fileBytes === 0) return 'empty';
  const text = Buffer.from(head.buffer, head.byteOffset, Math.min(head.length, fileBytes)).toString('latin1');
  const found = signatures.find(([, pattern]) => pattern.test(text));
  if (found) return found[0];
  const brands = brandsOf(text);
  if (brands?.some((brand) => /^avi[fs]$/.test(brand))) return 'avif';
  // HEIC and its relatives; other files of this family are films.
  if (brands) return brands.some((brand) => /^(hei|hev|mif|msf)/.test(brand)) ? 'unsupported' : 'notImage';
  return others.some((pattern) => pattern.test(text)) ? 'unsupported' : 'notImage';
}

/** The brands of an ISO media file: its own, and behind its version those that it is compatible with. */
function brandsOf(text: string): string[] | undefined {
  if (text.slice(4, 8) !== 'ftyp') return undefined;
  const box = text.slice(0, Buffer.from(text, 'latin1').readUInt32BE(0));
  return (box.slice(8).match(/[^]{4}/g) ?? []).filter((_, i) => i !== 1);
}

export const isFormat = (sniffed: ImageFormat | Flaw): sniffed is ImageFormat =>
  (decodable as readonly string[]).includes(sniffed);

/** Whether {@link sniff} found an image that can be tried. */
export const flawOf = (sniffed: ImageFormat | Flaw): Flaw | undefined => (isFormat(sniffed) ? undefined : sniffed);
