/** Contact sheets: what they show is what training reads. */
import * as path from 'node:path';
import sharp from 'sharp';
import { beforeEach, expect, it } from 'vitest';
import type { ResolvedExperiment } from '../../src/core/experiment';
import { exampleSheet } from '../../src/trainer/tasks/examples';
import { openDataset } from '../../src/trainer/data/open';
import { writeSplit } from '../../src/trainer/data/split';
import { drawn, fill, imagesExperiment, put, temporaryFolder } from './drawnImages';

const experiment = (changes: object = {}): ResolvedExperiment =>
  imagesExperiment({
    input: { size: 32, channels: 3, normalize: 'imagenet' },
    augment: { randomResizedCrop: { scale: [0.5, 1], ratio: [0.9, 1.1] }, rotation: 10, horizontalFlip: 0.5 },
    epochs: 3,
    ...changes,
  });

let folder: string;
beforeEach(() => void (folder = temporaryFolder()));
const surroundings = { progress: () => undefined, signal: new AbortController().signal };

const bytesOf = (url: string): Promise<Buffer> => {
  expect(url).toMatch(/^data:image\/png;base64,/);
  return sharp(Buffer.from(url.slice(url.indexOf(',') + 1), 'base64'))
    .raw()
    .toBuffer();
};

/** A training image as the network meets it in an epoch, as bytes. */
async function networkInput(own: ResolvedExperiment, name: string, epoch: number): Promise<Uint8ClampedArray> {
  const dataset = await openDataset(own, { dataFolder: folder, workers: 0, ...surroundings });
  const index = dataset.split!.parts.train.findIndex((example) => example.name === name);
  const values = new Float32Array(3 * 32 * 32);
  await dataset.read('train', Uint32Array.of(index), epoch, values, new Int32Array(1));
  const { mean, std } = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
  const area = 32 * 32;
  return Uint8ClampedArray.from({ length: 3 * area }, (_, i) => {
    const c = i % 3;
    return (values[c * area + Math.floor(i / 3)]! * std[c]! + mean[c]!) * 255;
  });
}

it('shows training images as they are and as each epoch’s augmentation makes them', async () => {
  await fill(folder, { cat: 16, dog: 16 });
  const own = experiment();
  const sheet = await exampleSheet({ experiment: own, dataFolder: folder }, surroundings);
  expect(sheet).toMatchObject({ size: 32, epochs: [1, 2, 3] });
  expect(sheet.examples.map(({ className }) => className)).toEqual(['cat', 'cat', 'cat', 'dog', 'dog', 'dog']);
  const { name, images } = sheet.examples[4]!;
  expect(images).toHaveLength(4);
  const shown = await Promise.all(images.map(bytesOf));
  for (const epoch of [0, 1, 2, 3]) expect([...shown[epoch]!]).toEqual([...(await networkInput(own, name, epoch))]);
  // Nothing is done to the first, and to the others each time something else.
  expect([...shown[0]!]).toEqual([...(await networkInput(experiment({ augment: undefined }), name, 1))]);
  expect(new Set(images).size).toBe(4);
});

it('shows images once where nothing augments them, digits too', async () => {
  await fill(folder, { cat: 40, dog: 40 });
  const own = experiment({ augment: undefined });
  const sheet = await exampleSheet({ experiment: own, dataFolder: folder }, surroundings);
  expect(sheet.epochs).toEqual([]);
  expect(sheet.examples.map(({ images }) => images.length)).toEqual(Array(24).fill(1));
  expect(sheet.examples.filter(({ className }) => className === 'cat')).toHaveLength(12);
  const digits = await exampleSheet(
    {
      experiment: experiment({
        dataset: { name: 'mnist', split: { train: 0.9, validation: 0.1 } },
        input: { size: 32, channels: 1, fit: 'pad' },
        augment: undefined,
      }),
    },
    surroundings,
  );
  expect(digits.examples).toHaveLength(24);
  expect(
    (
      await sharp(await bytesOf(digits.examples[0]!.images[0]!), {
        raw: { width: 32, height: 32, channels: 3 },
      }).stats()
    ).channels[0]!.max,
  ).toBeGreaterThan(200);
});

it('passes over files that cannot be decoded', async () => {
  await fill(folder, { cat: 4, dog: 4 });
  const whole = await drawn(5).jpeg().toBuffer();
  for (let i = 0; i < 4; i++) put(folder, `dog/short ${i}.jpg`, whole.subarray(0, whole.length >> 1));
  const { examples } = await exampleSheet({ experiment: experiment(), dataFolder: folder }, surroundings);
  expect(examples.length).toBeGreaterThan(1);
  expect(examples.length).toBeLessThan(6);
  expect(examples.every(({ name }) => !name.includes('short'))).toBe(true);
});

it('shows a run’s own images', async () => {
  await fill(folder, { cat: 16, dog: 16 });
  const own = experiment();
  const dataset = await openDataset(own, { dataFolder: folder, workers: 0, ...surroundings });
  const split = dataset.split!;
  // As a run would have it that began with another seed.
  const few = { ...split, parts: { ...split.parts, train: split.parts.train.slice(3, 6) } };
  const run = temporaryFolder();
  writeSplit(run, few);
  const { examples } = await exampleSheet({ experiment: own, run }, surroundings);
  expect(examples.map(({ name }) => name)).toEqual(few.parts.train.map(({ name }) => name));
  expect(path.isAbsolute(examples[0]!.name)).toBe(false);
});
