/** The first frame of a GIF, where it does not fill the screen: what lies around it. decode.ts asks after it has decoded. */
import type { Image } from './raster';

interface Frame {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  /** The colour of index 0: red, green, blue. */
  readonly ground: Uint8Array;
  readonly transparent: boolean;
}

/** Paints what the first frame leaves free of the screen in its palette's first colour, as Pillow does; in place. */
export function paintAround({ width, height, data }: Image, bytes: Uint8Array): void {
  const frame = firstFrame(bytes);
  // Where a colour is transparent, all around is, and white already.
  if (!frame || frame.transparent) return;
  const [right, bottom] = [frame.left + frame.width, frame.top + frame.height];
  if (frame.left === 0 && frame.top === 0 && right >= width && bottom >= height) return;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const within = x >= frame.left && x < right && y >= frame.top && y < bottom;
      if (!within) data.set(frame.ground, (y * width + x) * 3);
    }
  }
}

/** undefined where the file ends before it. */
function firstFrame(bytes: Uint8Array): Frame | undefined {
  const word = (at: number) => bytes[at]! | (bytes[at + 1]! << 8);
  const tableBytes = (flags: number) => (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0);
  const flags = bytes[10]!;
  const global = bytes.subarray(13, 13 + tableBytes(flags));
  let transparent = false;
  for (let at = 13 + global.length; at < bytes.length;) {
    if (bytes[at] === 0x2c) {
      const own = bytes.subarray(at + 10, at + 10 + tableBytes(bytes[at + 9]!));
      const ground = (own.length > 0 ? own : global).subarray(0, 3);
      if (ground.length < 3) return undefined;
      return { left: word(at + 1), top: word(at + 3), width: word(at + 5), height: word(at + 7), ground, transparent };
    }
    if (bytes[at] !== 0x21) return undefined;
    // An extension; that of graphics says whether a colour is transparent.
    if (bytes[at + 1] === 0xf9) transparent = (bytes[at + 3]! & 1) === 1;
    at += 2;
    for (let size; (size = bytes[at]); at += size + 1);
    at += 1;
  }
  return undefined;
}
