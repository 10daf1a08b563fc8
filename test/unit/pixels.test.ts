/** The pixels that networks meet, against those that Pillow, and so torchvision, makes of the same files (test/golden/images.py). */
import * as fs from 'node:fs';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { apply, drawAugmentation } from '../../src/trainer/data/augment';
import { createCache } from '../../src/trainer/data/cache';
import { decode } from '../../src/trainer/data/decode';
import { createGate } from '../../src/trainer/data/gate';
import { openDataset } from '../../src/trainer/data/open';
import { Plan, Preparation } from '../../src/trainer/data/prepare';
import { Raster } from '../../src/trainer/data/raster';
import { imagesExperiment, put, temporaryFolder } from './drawnImages';

const golden = 'test/golden/images';
const augment = { randomResizedCrop: { scale: [0.3, 1], ratio: [0.75, 1.33] }, horizontalFlip: 0.5 };

/** Rows of red, green, blue bytes. */
const expected = (name: string): Promise<Buffer> =>
  sharp(`${golden}/${name}`).toColourspace('srgb').removeAlpha().raw().toBuffer();

/** The largest difference between channels × size × size values of 0 to 1 and rows of bytes, in 255ths. */
function largestDifference(values: Float32Array, bytes: Uint8Array): number {
  expect(values.length).toBe(bytes.length);
  const area = values.length / 3;
  return bytes.reduce((most, byte, i) => {
    return Math.max(most, Math.abs(values[(i % 3) * area + Math.floor(i / 3)]! * 255 - byte));
  }, 0);
}

/** A file as an experiment with these settings is evaluated on it; read twice, as it is in every epoch. */
async function evaluated(name: string, size: number, changes: object, cacheBytes?: number): Promise<Float32Array> {
  const folder = temporaryFolder();
  const content = fs.readFileSync(`${golden}/${name}`);
  for (const label of ['cat', 'dog']) for (let i = 0; i < 3; i++) put(folder, `${label}/${i}.${name}`, content);
  const experiment = imagesExperiment(changes);
  const dataset = await openDataset(
    { ...experiment, input: { ...experiment.input, size } },
    {
      ...{ dataFolder: folder, workers: 0, cacheBytes, progress: () => undefined },
      signal: new AbortController().signal,
    },
  );
  const [first, second] = [new Float32Array(3 * size * size), new Float32Array(3 * size * size)];
  for (const values of [first, second])
    await dataset.read('validation', Uint32Array.of(0), 0, values, new Int32Array(1));
  await dataset.close!();
  expect(second).toEqual(first);
  return first;
}

describe('for evaluation', () => {
  // Pillow rounds between its two passes, which moves a value by half of 255 at most, and so its rounded one by 1.
  const tolerance = 1.001;

  it.each([
    ['stripes.png', 64],
    ['stripes.png', 50],
    ['large.jpg', 24],
    ['large.jpg', 64],
    ['large.jpg', 100],
    ['small.png', 16],
    ['small.png', 64],
  ] as const)('%s at %i pixels is Pillow’s, whether training augments or not', async (name, size) => {
    const plain = await evaluated(name, size, {});
    expect(largestDifference(plain, await expected(`${name}.${size}.png`))).toBeLessThan(tolerance);
    expect(await evaluated(name, size, { augment })).toEqual(plain);
    expect(await evaluated(name, size, {}, 0)).toEqual(plain);
  });
});

describe('for training', () => {
  it('a resized crop of a large JPEG is Pillow’s', async () => {
    const raster = new Raster(64);
    const crop = { left: 111, top: 57, width: 640, height: 480 };
    const drawn = { crop, mirrored: false, degrees: 0, jitter: [] };
    apply(
      raster,
      await decode(fs.readFileSync(`${golden}/large.jpg`)),
      drawn,
      { antialias: true, enlarge: 1 },
      'constant',
    );
    const bytes = await expected('large.jpg.crop.64.png');
    raster.bytes().forEach((value, i) => expect(Math.abs(value - bytes[i]!)).toBeLessThanOrEqual(1));
  });

  it('every example is augmented from the whole image, kept or not', async () => {
    const { input, augment: settings, seed } = imagesExperiment({ augment });
    const raster = new Raster(32);
    const image = await decode(fs.readFileSync(`${golden}/large.jpg`));
    const drawn = drawAugmentation(settings!, seed, 3, 5, image.width, image.height);
    apply(raster, image, drawn, { antialias: true, enlarge: 1 }, 'constant');
    const asDecoded = raster.bytes();
    for (const [trained, bytes] of [
      [1, 2 ** 24],
      [0, 2 ** 24],
      [1, 0],
    ] as const) {
      const plan: Plan = {
        ...{ source: 'folder', root: golden, names: ['large.jpg'], trained: Uint8Array.of(trained) },
        ...{ input, augment: settings, seed, cache: createCache(1, bytes), gate: createGate() },
      };
      const preparation = new Preparation(plan);
      const values = new Float32Array(3 * 32 * 32);
      // Evaluated first, as when images are checked before the training.
      expect(await preparation.check(0)).toBeUndefined();
      await preparation.write({ entry: 0, index: 5 }, 3, values);
      expect(largestDifference(values, asDecoded)).toBeLessThan(0.001);
    }
  });
});
