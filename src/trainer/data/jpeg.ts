/** The segments of a JPEG before its scans, for structure.ts and for the reason why decode.ts could not decode one. */

/** Markers in their order, and where the content of each begins; the last is that of the first scan. */
export function* segmentsOf(bytes: Buffer): Generator<{ marker: number; content: number }> {
  for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff;) {
    const marker = bytes[at + 1]!;
    // Bytes that fill up.
    if (marker === 0xff) at++;
    else {
      yield { marker, content: at + 4 };
      if (marker === 0xda) return;
      at += 2 + bytes.readUInt16BE(at + 2);
    }
  }
}

/** Whether it is lossless, hierarchical or of another depth than 8 bits, which the decoder does not know. */
export const isUncommonJpeg = (bytes: Buffer): boolean =>
  [...segmentsOf(bytes)].some(
    ({ marker, content }) =>
      (marker >= 0xc0 && marker <= 0xc2 && bytes[content] !== 8) ||
      [0xc3, 0xc5, 0xc6, 0xc7, 0xcb, 0xcd, 0xce, 0xcf].includes(marker),
  );
