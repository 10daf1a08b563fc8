/** How an image was held, from its XMP where its EXIF does not say: Pillow's ImageOps.exif_transpose does so. decode.ts asks. */
import type { Image } from './raster';

/** EXIF's number of an orientation, 1 (upright) where there is none. */
export const orientationOfXmp = (xmp: string): number => Number(/tiff:Orientation(?:="|>)([1-8])/.exec(xmp)?.[1] ?? 1);

/** Turns and mirrors an image upright. */
export function upright(image: Image, orientation: number): Image {
  if (orientation === 1) return image;
  const { width, height, data } = image;
  // From 5 on, rows become columns.
  const [w, h] = orientation >= 5 ? [height, width] : [width, height];
  // Whether rows, or columns, are read from their other end.
  const [fromRight, fromBottom] = [[2, 3, 7, 8].includes(orientation), [3, 4, 6, 7].includes(orientation)];
  const out = new Uint8Array(data.length);
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      const [u, v] = orientation >= 5 ? [y, x] : [x, y];
      const at = ((fromBottom ? height - 1 - v : v) * width + (fromRight ? width - 1 - u : u)) * 3;
      out.set(data.subarray(at, at + 3), (y * w + x) * 3);
    }
  }
  return { width: w, height: h, data: out };
}
