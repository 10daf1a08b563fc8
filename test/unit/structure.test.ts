/** What a file's structure tells without decoding: never anything else than decoding does, and fast where it matters. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { decode } from '../../src/trainer/data/decode';
import type { FlawedImage } from '../../src/trainer/data/flaws';
import { checkImages, folderSource } from '../../src/trainer/data/images';
import { structureOf } from '../../src/trainer/data/structure';
import { drawn, fill, put, temporaryFolder } from './drawnImages';

const golden = 'test/golden/images';
const files = ['.', 'kinds', 'refused'].flatMap((folder) =>
  fs
    .readdirSync(path.join(golden, folder), { withFileTypes: true })
    .flatMap((entry) => (entry.isFile() ? [path.join(folder, entry.name)] : [])),
);
const decoded = (bytes: Buffer): Promise<string> =>
  decode(bytes).then(
    () => 'whole',
    (error: FlawedImage) => error.flaw,
  );

/** The first frame of a picture that moves. */
async function animation(kind: 'gif' | 'webp'): Promise<Buffer> {
  const frames = Buffer.concat([await drawn(1).raw().toBuffer(), await drawn(2).raw().toBuffer()]);
  return sharp(frames, { raw: { width: 48, height: 80, channels: 3, pageHeight: 40 } })
    [kind]()
    .toBuffer();
}

const whole: Record<string, () => Promise<Buffer>> = {
  JPEG: () => drawn(1).jpeg().toBuffer(),
  'progressive JPEG': () => drawn(1).jpeg({ progressive: true }).toBuffer(),
  'JPEG with a preview': () =>
    drawn(1)
      .jpeg()
      .withExif({ IFD0: { ImageDescription: '\xff\xd8\xff\xd9'.repeat(9) } })
      .toBuffer(),
  PNG: () => drawn(1).png().toBuffer(),
  'interlaced PNG': () => drawn(1).png({ progressive: true }).toBuffer(),
  GIF: () => animation('gif'),
  WebP: () => animation('webp'),
  'lossless WebP': () => drawn(1).webp({ lossless: true }).toBuffer(),
  'plain WebP': () => drawn(1).webp().toBuffer(),
};

describe.each(Object.entries(whole))('of a %s', (kind, make) => {
  it('is seen to be whole', async () => {
    expect(structureOf(await make())).toBe('whole');
  });

  it('is never called whole where it is cut short', async () => {
    const bytes = await make();
    // An animation's later frames may be missing.
    const least = kind === 'GIF' ? bytes.length >> 2 : bytes.length - 8;
    for (const end of [0, 3, 10, 25, bytes.length >> 3, bytes.length >> 2, least]) {
      const part = bytes.subarray(0, end);
      const seen = structureOf(part);
      expect(seen).not.toBe('whole');
      if (seen !== undefined) expect(seen).toBe(await decoded(part));
    }
  });
});

it.each(files)('of %s is what decoding it says, or nothing', async (name) => {
  const bytes = fs.readFileSync(path.join(golden, name));
  const seen = structureOf(bytes);
  if (/\.(jpg|png|gif)$/.test(name) && !name.startsWith('refused')) expect(seen).toBe('whole');
  if (seen !== undefined) expect(seen).toBe(await decoded(bytes));
});

it('of a PNG shows any byte that was altered', async () => {
  const bytes = await drawn(3).png().toBuffer();
  for (let at = 16; at < bytes.length - 12; at += 97) {
    const altered = Buffer.from(bytes);
    altered[at]! ^= 0x10;
    expect(structureOf(altered)).not.toBe('whole');
  }
});

it('of an image of too many pixels is told from its header', () => {
  const png = Buffer.from(fs.readFileSync(`${golden}/small.png`));
  png.writeUInt32BE(60_000, 16);
  png.writeUInt32BE(60_000, 20);
  expect(structureOf(png)).toBe('tooLarge');
});

it('is all that a survey looks at where it tells enough', async () => {
  const folder = temporaryFolder();
  await fill(folder, { cat: 3, dog: 3 });
  const bytes = fs.readFileSync(path.join(folder, 'cat/0.jpg'));
  put(folder, 'cat/short.jpg', bytes.subarray(0, bytes.length >> 1));
  put(folder, 'dog/short.bmp', fs.readFileSync(`${golden}/kinds/24.bmp`).subarray(0, 600));
  // A table that promises more codes than there can be: only decoding meets it.
  const odd = Buffer.from(bytes);
  odd.fill(255, odd.indexOf('\xff\xc4', 0, 'latin1') + 5, odd.indexOf('\xff\xc4', 0, 'latin1') + 21);
  expect(await decoded(odd)).toBe('damaged');
  put(folder, 'dog/odd.jpg', odd);
  const surroundings = { workers: 0, progress: () => undefined, signal: new AbortController().signal };
  const found = await checkImages(await folderSource(folder, surroundings.signal), surroundings);
  expect(found).toEqual([
    { name: 'cat/short.jpg', flaw: 'cutShort' },
    { name: 'dog/short.bmp', flaw: 'cutShort' },
  ]);
});
