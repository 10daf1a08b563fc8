/** Why an image cannot be used. The readers of images throw it; folder.ts and images.ts count it. */

/**
 * `unsupported` is a format that is not read at all, `coding` a way of keeping pixels that is not, in a format that is.
 */
export type Flaw =
  'empty' | 'notImage' | 'unsupported' | 'coding' | 'cutShort' | 'damaged' | 'tooLarge' | 'unreadable' | 'link';

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

/** @throws FlawedImage where an image of this size is too large, or none at all */
export function checkSize(width: number, height: number): void {
  if (!(width > 0 && height > 0)) throw new FlawedImage('damaged', `${width} × ${height}`);
  if (width * height > mostPixels) throw new FlawedImage('tooLarge', `${width} × ${height}`);
}
