/**
 * `npm run bench -- data FOLDER [--size N] [--pairs N] [--epochs N] [--without-pytorch]`: images per second of the notes'
 * augmentation on a folder of cats and dogs, of ConvLab's pipeline and of torchvision's DataLoader with 0 and 2 workers
 * (in the Python that CONVLAB_PYTHON names, or python3). ConvLab is measured as it ships, with decoded images kept in
 * memory, and with none kept, so that it decodes in every epoch as torchvision does. `data --index FOLDER [--count N]`:
 * seconds and memory of finding the images of a large folder, made of links to the given one's. Figures come from
 * processes that take turns; medians, and ratios pair by pair.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import { parseExperiment, resolveExperiment } from '../src/core/experiment';
import { trainingBatches } from '../src/trainer/data/batches';
import { openDataset } from '../src/trainer/data/open';
import { allocatorTunables } from '../src/trainerClient';
import { child, median, peakMemory, spread } from './parts/workload';

interface Timing {
  /** Of each epoch. */
  readonly seconds: readonly number[];
  readonly examples: number;
  /** Of what was measured. */
  readonly versions?: string;
}

const batchSize = 32;

/** The notes' experiment on cats and dogs; nearly all images are trained on, so that an epoch is as large as theirs. */
const experimentAt = (size: number) =>
  resolveExperiment(
    parseExperiment(
      JSON.stringify({
        id: 'bench',
        title: 'Bench',
        network: { name: 'alexnet' },
        dataset: { name: 'cat-dog', split: { train: 0.99, validation: 0.01 } },
        input: { size, channels: 3, normalize: 'imagenet' },
        augment: {
          randomResizedCrop: { scale: [0.8, 1], ratio: [0.9, 1.1] },
          horizontalFlip: 0.5,
          rotation: 10,
          colorJitter: { brightness: 0.2, contrast: 0.2, saturation: 0.2, hue: 0.05 },
        },
        optimizer: { learningRate: 1e-4 },
        batchSize,
        epochs: 1,
      }),
      'bench.json',
    ),
    'course',
  );

const surroundings = { progress: () => undefined, signal: new AbortController().signal };

/** The child process: epochs of batches as the training loop takes them. */
async function timeConvLab(dataFolder: string, size: number, epochs: number, keep: boolean): Promise<Timing> {
  const dataset = await openDataset(experimentAt(size), {
    ...{ dataFolder, ...surroundings },
    ...(keep ? {} : { cacheBytes: 0 }),
  });
  const seconds: number[] = [];
  for (let epoch = 0; epoch <= epochs; epoch++) {
    const begin = performance.now();
    let checksum = 0;
    for await (const { images } of trainingBatches(dataset, 3 * size * size, batchSize, 1, epoch + 1, 0)) {
      checksum += images[0]!;
    }
    if (!Number.isFinite(checksum)) throw new Error('no images');
    seconds.push((performance.now() - begin) / 1000);
  }
  await dataset.close?.();
  return { seconds: seconds.slice(1), examples: dataset.counts.train };
}

/** The child process: finds, checks by name and first bytes, and divides the images. */
async function timeIndex(dataFolder: string): Promise<{ seconds: number; examples: number; peakMemory: number }> {
  const begin = performance.now();
  const options = { dataFolder, unchecked: true, cacheBytes: 0, workers: 0, ...surroundings };
  const dataset = await openDataset(experimentAt(224), options);
  const seconds = (performance.now() - begin) / 1000;
  const { counts } = dataset;
  await dataset.close?.();
  return { seconds, examples: counts.train + counts.validation, peakMemory: peakMemory() };
}

/** A folder of `count` images, each a link to one of the given folder's. */
function largeFolder(folder: string, count: number): string {
  const large = fs.mkdtempSync(path.join(tmpdir(), 'convlab-index-'));
  for (const name of ['cat', 'dog']) {
    const files = fs.readdirSync(path.join(folder, name));
    fs.mkdirSync(path.join(large, name));
    // Copied once, because another disk's files cannot be linked to.
    files.forEach((file, i) => fs.copyFileSync(path.join(folder, name, file), path.join(large, name, `${i}.jpg`)));
    for (let i = files.length; i < count / 2; i++) {
      fs.linkSync(path.join(large, name, `${i % files.length}.jpg`), path.join(large, name, `${i}.jpg`));
    }
  }
  return large;
}

function compare(folder: string, size: number, pairs: number, epochs: number, python: string | undefined): void {
  const own = (keep: boolean) => (): Timing =>
    child(process.execPath, [__filename, folder, '--child', keep ? 'keep' : 'decode', ...settings], allocatorTunables);
  const settings = ['--size', String(size), '--epochs', String(epochs)];
  const theirs = (workers: number) => (): Timing =>
    child(
      python!,
      [path.join(__dirname, '../../bench/data.py'), folder, ...[size, batchSize, workers, epochs].map(String)],
      undefined,
    );
  const rows: { title: string; time: () => Timing; timings: Timing[] }[] = [
    { title: 'ConvLab, images kept decoded', time: own(true), timings: [] },
    { title: 'ConvLab, decoding every time', time: own(false), timings: [] },
    ...(python === undefined ? [] : [0, 2]).map((workers) => ({
      title: `torchvision, ${workers} workers`,
      ...{ time: theirs(workers), timings: [] },
    })),
  ];
  for (let pair = 0; pair < pairs; pair++) for (const row of rows) row.timings.push(row.time());
  const rate = ({ seconds, examples }: Timing) => examples / median(seconds);
  console.log(`${cpus()[0]!.model.trim()}, ${availableParallelism()} processors, Node ${process.version}`);
  console.log(rows.at(-1)!.timings[0]!.versions ?? 'without torchvision');
  console.log(`${size} px, batches of ${batchSize}`.padEnd(34) + 'images/s   over torchvision’s, 0 workers, 2 workers');
  for (const { title, timings } of rows) {
    const ratios = rows
      .filter((other) => other.title.startsWith('torchvision'))
      .map((other) => spread(timings.map((timing, i) => rate(timing) / rate(other.timings[i]!))));
    console.log(`  ${title.padEnd(34)}${median(timings.map(rate)).toFixed(0).padStart(6)}   ${ratios.join('   ')}`);
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      child: { type: 'string' },
      index: { type: 'boolean', default: false },
      count: { type: 'string', default: '25000' },
      size: { type: 'string', default: '224' },
      pairs: { type: 'string', default: '3' },
      epochs: { type: 'string', default: '2' },
      'without-pytorch': { type: 'boolean', default: false },
    },
  });
  const folder = positionals[0];
  if (folder === undefined) throw new Error('Usage: npm run bench -- data FOLDER [--index]');
  const [size, pairs, epochs] = [values.size, values.pairs, values.epochs].map(Number) as [number, number, number];
  if (values.child === 'index') return console.log(JSON.stringify(await timeIndex(folder)));
  if (values.child)
    return console.log(JSON.stringify(await timeConvLab(folder, size, epochs, values.child === 'keep')));
  if (!values.index) {
    const python = values['without-pytorch'] ? undefined : (process.env['CONVLAB_PYTHON'] ?? 'python3');
    if (python && spawnSync(python, ['-c', 'import torch']).status !== 0) throw new Error(`${python} has no PyTorch`);
    return compare(folder, size, pairs, epochs, python);
  }
  const large = largeFolder(folder, Number(values.count));
  try {
    const found = Array.from({ length: pairs }, () =>
      child<Awaited<ReturnType<typeof timeIndex>>>(
        process.execPath,
        [__filename, large, '--child', 'index'],
        undefined,
      ),
    );
    const mebibytes = found.map(({ peakMemory }) => peakMemory / 2 ** 20);
    console.log(
      `${found[0]!.examples} images: ${spread(found.map(({ seconds }) => seconds))} s, ${spread(mebibytes, 0)} MiB`,
    );
  } finally {
    fs.rmSync(large, { recursive: true });
  }
}

void main();
