/** Every kind of image file, against what Pillow reads in it, and files that are not read, with the reason (test/golden/images.py). */
import * as fs from 'node:fs';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { streamKey, word } from '../../src/core/random';
import { english } from '../../src/core/messages/message';
import { decode } from '../../src/trainer/data/decode';
import { Flaw, FlawedImage } from '../../src/trainer/data/flaws';
import { Gate, createGate } from '../../src/trainer/data/gate';
import { leftOutMessages } from '../../src/trainer/data/images';
import type { Image } from '../../src/trainer/data/raster';
import { structureOf } from '../../src/trainer/data/structure';

const golden = 'test/golden/images';
const files = fs.readdirSync(`${golden}/kinds`).filter((name) => !name.endsWith('.png'));
const read = (name: string) => fs.readFileSync(`${golden}/${name}`);
const flawOf = (bytes: Buffer): Promise<Flaw | 'none'> =>
  decode(bytes).then(
    () => 'none',
    (error: FlawedImage) => error.flaw,
  );

it('has files of every kind', () => {
  expect(files.length).toBeGreaterThan(40);
});

it.each(files)('%s is read as Pillow reads it', async (name) => {
  const image = await decode(read(`kinds/${name}`));
  const pillow = sharp(`${golden}/kinds/${name}.png`).toColourspace('srgb').removeAlpha().raw();
  const { data, info } = await pillow.toBuffer({ resolveWithObject: true });
  expect([image.width, image.height]).toEqual([info.width, info.height]);
  const most = image.data.reduce((max, value, i) => Math.max(max, Math.abs(value - data[i]!)), 0);
  // Transforms and formulas that round otherwise differ by 1.
  expect(most).toBeLessThanOrEqual(1);
});

describe('a whole file that is not read', () => {
  it.each<[string, Flaw]>([
    ['lab.tif', 'coding'],
    ['12-bit.tif', 'coding'],
    ['float.tif', 'coding'],
    ['lossless.jpg', 'coding'],
    ['targa.tga', 'unsupported'],
    ['icon.ico', 'unsupported'],
    ['jpeg2000.jp2', 'unsupported'],
    ['sgi.sgi', 'unsupported'],
    ['pcx.pcx', 'unsupported'],
  ])('%s is called %s', async (name, flaw) => {
    expect(await flawOf(read(`refused/${name}`))).toBe(flaw);
  });

  it('a sequence of AVIF without a still image is no damage', async () => {
    // One that also holds a still image gives that.
    expect(['none', 'coding']).toContain(await flawOf(read('refused/sequence.avif')));
  });

  it('is told of in a sentence', () => {
    const told = (flaw: Flaw) => english(leftOutMessages([{ name: 'cat/1', flaw }], 9)[0]!);
    expect(told('coding')).toMatch(
      /^1 of 9 files .* store their pixels in a way that cannot be read .* such as cat\/1\.$/,
    );
    expect(told('unsupported')).toMatch(/PBM, PGM, PPM/);
  });
});

describe('a file that ends too early', () => {
  it.each(files.filter((name) => /\.(bmp|p[bgp]m)$/.test(name)))('%s is cut short', async (name) => {
    const whole = read(`kinds/${name}`);
    expect(await flawOf(whole.subarray(0, whole.length - (whole.length >> 2)))).toBe('cutShort');
  });
});

describe('a header that lies', () => {
  const size = (width: number, height: number) => {
    const bytes = Buffer.from(read('kinds/24.bmp'));
    bytes.writeInt32LE(width, 18);
    bytes.writeInt32LE(height, 22);
    return bytes;
  };

  it.each<[string, Buffer, Flaw]>([
    ['a bitmap of no height', size(29, 0), 'damaged'],
    ['a bitmap of negative width', size(-29, 18), 'damaged'],
    ['a bitmap beyond the bound', size(100_000, 100_000), 'tooLarge'],
    ['a bitmap that promises more than there is', size(290, 18), 'cutShort'],
    ['a pixmap beyond the bound', Buffer.from('P6 100000 100000 255\n'), 'tooLarge'],
    ['a pixmap without numbers', Buffer.from('P6 12 x 255\n'), 'damaged'],
    ['a plain pixmap that promises more than there is', Buffer.from('P3 7000 7000 255\n1 2 3\n'), 'cutShort'],
    ['a greymap of no values', Buffer.from('P5 2 2 0\n    '), 'damaged'],
  ])('%s is refused', async (_, bytes, flaw) => {
    expect(await flawOf(bytes)).toBe(flaw);
  });

  it('a TIFF whose directory lies outside of it does no harm', async () => {
    const bytes = Buffer.from(read('kinds/signed.tif'));
    for (const at of [5, 1_000_000, 0xffffffff]) {
      bytes.writeUInt32LE(at, 4);
      expect(await flawOf(bytes)).toBe('damaged');
    }
  });
});

describe('altered bytes', () => {
  // What libvips reads is its own to survive; of these files our readers see every byte.
  it.each(files.filter((name) => /\.(bmp|p[bgp]m|gif|tif)$/.test(name)))(
    'of %s give an image or a reason',
    async (name) => {
      const whole = read(`kinds/${name}`);
      const key = streamKey(7, files.indexOf(name));
      for (let i = 0; i < 150; i++) {
        const bytes = Buffer.from(whole.subarray(0, i % 5 === 0 ? word(key, i * 9 + 8) % whole.length : whole.length));
        for (let k = 0; k <= i % 4 && bytes.length > 0; k++) {
          // Half of them in the header.
          const at = word(key, i * 9 + k * 2) % (k % 2 === 0 ? Math.min(64, bytes.length) : bytes.length);
          bytes[at] = word(key, i * 9 + k * 2 + 1) & 255;
        }
        const image = await decode(bytes).catch((error: unknown) => error);
        if (image instanceof FlawedImage) continue;
        const { width, height, data } = image as Image;
        expect(data.length).toBe(width * height * 3);
        const seen = structureOf(bytes);
        if (seen !== undefined) expect(seen).toBe('whole');
      }
    },
  );
});

it('large images wait for one another, small ones do not', async () => {
  const shared = createGate();
  // Two threads, as it were.
  const [one, other] = [new Gate(shared, 100), new Gate(shared, 100)];
  const leaveFirst = await one.enter(60);
  const leaveSmall = await other.enter(30);
  let entered = false;
  const waiting = other.enter(1000).then((leave) => {
    entered = true;
    return leave;
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(entered).toBe(false);
  leaveFirst();
  leaveSmall();
  (await waiting)();
  expect(Atomics.load(new Int32Array(shared), 0)).toBe(0);
});
