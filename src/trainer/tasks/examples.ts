/**
 * A contact sheet: a few training images as they are, and as the augmentation of several epochs makes them, just as the
 * network meets them. `main.ts` makes one for the editor, before a run or, with the run's own images, beside it.
 */
import type { Sharp, SharpOptions } from 'sharp';
import { parseResolved } from '../../core/experiment';
import type { ExamplesRequest, ExampleSheet } from '../../core/contracts/tasks';
import { Dataset, normalizations } from '../data/dataset';
import { loadDecoder } from '../data/decode';
import { openDataset } from '../data/open';
import { ImageLost } from '../data/loader';
import { readSplit } from '../data/split';
import { breathe } from '../stop';
import type { TaskSurroundings } from './task';

/** Images on a sheet that shows what augmentation does to each of them, and the epochs that it shows. */
const augmentedExamples = 6;
const shownEpochs = [1, 2, 3, 4, 5, 6, 7];
/** Images on a sheet that shows each as it is. */
const plainExamples = 24;
/** Small images are sent as they are; of larger ones nobody sees what JPEG changes. */
const largestPng = 64;

/** One thread is enough for a few images, and room for those alone; the others are not looked at. */
const sparing = { unchecked: true, workers: 0, cacheBytes: 64 * 2 ** 20 };

/**
 * @throws UserError where the data cannot be had, and the signal's reason
 */
export async function exampleSheet(
  { run, ...request }: ExamplesRequest,
  { progress, signal }: Pick<TaskSurroundings<'examples'>, 'progress' | 'signal'>,
): Promise<ExampleSheet> {
  const experiment = parseResolved(request.experiment, request.experiment?.id ?? 'experiment');
  const stored = run === undefined ? undefined : readSplit(run);
  const encode = imageEncoder(experiment.input, await loadDecoder());
  const dataset = await openDataset(experiment, {
    ...request,
    ...sparing,
    stored,
    progress,
    signal,
  });
  try {
    const epochs = experiment.augment ? shownEpochs.filter((epoch) => epoch <= experiment.epochs) : [];
    const count = epochs.length > 0 ? augmentedExamples : plainExamples;
    const examples: ExampleSheet['examples'][number][] = [];
    for (const index of spread(dataset.counts.train, count)) {
      await breathe(signal);
      const example = await show(dataset, index, [0, ...epochs], experiment.input, encode);
      if (example) examples.push({ name: dataset.split?.parts.train[index]?.name ?? String(index + 1), ...example });
    }
    return { provenance: dataset.provenance, size: experiment.input.size, epochs, examples };
  } finally {
    await dataset.close?.();
  }
}

/** Places all over the training images, which are in the order of their classes. */
function spread(available: number, count: number): number[] {
  const shown = Math.min(available, count);
  return Array.from({ length: shown }, (_, i) => Math.floor(((i + 0.5) * available) / shown));
}

/** undefined where the file turns out to be none that can be decoded: training would leave it out. */
async function show(
  dataset: Dataset,
  index: number,
  epochs: readonly number[],
  { channels, size }: ExamplesRequest['experiment']['input'],
  encode: (values: Float32Array) => Promise<string>,
): Promise<{ className: string; images: string[] } | undefined> {
  const labels = new Int32Array(1);
  const images: string[] = [];
  for (const epoch of epochs) {
    const values = new Float32Array(channels * size * size);
    try {
      await dataset.read('train', Uint32Array.of(index), epoch, values, labels);
    } catch (error) {
      if ((error as Error).cause instanceof ImageLost) return undefined;
      throw error;
    }
    images.push(await encode(values));
  }
  return { className: dataset.classNames[labels[0]!]!, images };
}

/** Turns network inputs back into images, as `data:` URLs. */
function imageEncoder(
  { channels, size, normalize }: ExamplesRequest['experiment']['input'],
  sharp: (input: Buffer, options: SharpOptions) => Sharp,
): (values: Float32Array) => Promise<string> {
  const { mean, std } = normalizations[normalize];
  const area = size * size;
  return async (values) => {
    const bytes = new Uint8ClampedArray(area * channels);
    for (let c = 0; c < channels; c++) {
      for (let i = 0; i < area; i++) bytes[i * channels + c] = (values[c * area + i]! * std[c]! + mean[c]!) * 255;
    }
    const image = sharp(Buffer.from(bytes.buffer), { raw: { width: size, height: size, channels } });
    const [kind, encoded] =
      size <= largestPng ? ['png', image.png()] : ['jpeg', image.jpeg({ quality: 90, chromaSubsampling: '4:4:4' })];
    return `data:image/${kind};base64,${(await (encoded as Sharp).toBuffer()).toString('base64')}`;
  };
}
