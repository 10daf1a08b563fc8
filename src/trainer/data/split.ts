/**
 * Which image is trained on, validated with and tested with: drawn from the seed, class by class, so that every part
 * has the classes in the proportions of the whole, and no image is in two parts. A run keeps its split in split.json.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { ResolvedExperiment } from '../../core/experiment';
import { message, UserError } from '../../core/messages/message';
import { mostListBytes, readJson } from '../../disk/json';
import { numpyShuffled } from '../../core/numpyShuffle';
import { permutation, Purpose, streamKey } from '../../core/random';

export type Part = 'train' | 'validation' | 'test';

export const parts: readonly Part[] = ['train', 'validation', 'test'];

/** An image by name, within its source. */
export interface Example {
  /** Relative to the source's folder, with '/' between the parts; sorts and identifies the image. */
  readonly name: string;
  readonly label: number;
  /** Size of the file. */
  readonly bytes: number;
  /** SHA-256 of its first bytes, 16 hexadecimal digits; absent where the source is of one piece, and in older runs. */
  readonly head?: string;
}

export interface Candidate extends Example {
  /** The part that the source itself puts the image in, if it does. */
  readonly part?: Part;
}

/**
 * Which way files become pixels, recorded with a run, so that one which an older version began says so when it goes on.
 * 1, or absent: shrunk while they were decoded, and some kinds otherwise than Pillow reads them. 2: as Pillow.
 */
export const pixelsVersion = 2;

/** split.json */
export interface StoredSplit {
  readonly format: 1;
  /** See {@link pixelsVersion}. */
  readonly pixels?: number;
  readonly source: 'folder' | 'cifar10';
  /** The folder that the names are in, absolute. */
  readonly root: string;
  readonly classNames: readonly string[];
  readonly parts: Readonly<Record<Part, readonly Example[]>>;
}

/** The images of one class in one part, in the order in which they are taken, and how many are wanted. */
export interface Allotment {
  readonly part: Part;
  readonly label: number;
  readonly order: readonly Example[];
  readonly wanted: number;
}

/**
 * Draws the parts. What the source itself assigns stays there; a part that the experiment asks for and the source does
 * not give is split off the source's training images. A part that the experiment leaves out (`test`) stays empty.
 * @param candidates sorted by name
 * @param place what the images come from, for messages
 * @throws UserError when there are too few images
 */
export function drawSplit(
  candidates: readonly Candidate[],
  classNames: readonly string[],
  { dataset: { split, splitBy }, seed, limit }: Pick<ResolvedExperiment, 'dataset' | 'seed' | 'limit'>,
  place: string,
): Allotment[] {
  const given = parts.filter((part) => part !== 'train' && candidates.some((c) => c.part === part));
  const pooled = parts.filter((part) => split[part] !== undefined && !given.includes(part));
  const pool = candidates.filter((c) => c.part === undefined || c.part === 'train');
  const givenShare = given.reduce((sum, part) => sum + (shareOnly(split[part]) ?? 0), 0);
  const fractions = pooled.map((part) => {
    const asked = split[part]!;
    return asked > 1 ? asked / pool.length : Math.min(1, asked / (1 - Math.min(0.999, givenShare)));
  });
  const sum = fractions.reduce((a, b) => a + b, 0);
  if (sum > 1 + 1e-9) {
    const asked = Math.round(sum * pool.length);
    throw new UserError(message('datasetSplitTooLarge', { asked, dataset: place, available: pool.length }));
  }
  const byKeras = splitBy === 'keras' && given.length === 0 ? kerasSplit(pool, split, seed) : undefined;
  const allotments = classNames.flatMap((name, label) => {
    if (byKeras) return ofClass(byKeras, label);
    const own = pool.filter((c) => c.label === label);
    const order = permutation(streamKey(seed, Purpose.split, label), own.length);
    const counts = shareOut(own.length, fractions);
    if (!counts) {
      throw new UserError(
        message('imagesTooFew', { folder: place, count: own.length, name, least: pooled.length }),
        message('imagesTooFewAdvice'),
      );
    }
    let next = 0;
    const drawn = pooled.map((part, i): Allotment => {
      const from = next;
      next += counts[i]!;
      const taken = Array.from(order.subarray(from, next), (index) => own[index]!);
      return { part, label, order: taken, wanted: taken.length };
    });
    const assigned = given
      .filter((part) => split[part] !== undefined)
      .map((part): Allotment => {
        const theirs = candidates.filter((c) => c.label === label && c.part === part);
        // Shuffled too, so that a limit takes a sample of them.
        const shuffled = permutation(streamKey(seed, Purpose.split, label, parts.indexOf(part)), theirs.length);
        return { part, label, order: Array.from(shuffled, (index) => theirs[index]!), wanted: theirs.length };
      });
    return [...drawn, ...assigned];
  });
  if (limit === undefined) return allotments;
  const trained = allotments.reduce((n, { part, wanted }) => n + (part === 'train' ? wanted : 0), 0);
  const share = Math.min(1, limit / trained);
  return allotments.map((a) => ({ ...a, wanted: a.wanted && Math.max(1, Math.round(a.wanted * share)) }));
}

/**
 * Keras's division of a folder (keras/src/utils/dataset_utils.py, `index_directory` and `get_training_or_validation_split`):
 * files in the order of their folders and names, shuffled together by NumPy's generator, the last of them for validation.
 * Classes come out as they fall. Keras looks at .bmp, .gif, .jpeg, .jpg and .png alone, and does not leave out files that
 * it cannot read, so that its division of a folder with others is another.
 * @returns undefined where the parts are not training and validation, or one of them would be empty
 */
function kerasSplit(
  pool: readonly Candidate[],
  { validation, test }: ResolvedExperiment['dataset']['split'],
  seed: number,
): Record<'train' | 'validation', Candidate[]> | undefined {
  if (test !== undefined || validation === undefined) return undefined;
  const folder = ({ name }: Candidate) => name.slice(0, Math.max(0, name.lastIndexOf('/')));
  const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
  const inOrder = [...pool].sort(
    (a, b) => a.label - b.label || compare(folder(a), folder(b)) || compare(a.name, b.name),
  );
  const shuffled = numpyShuffled(inOrder, seed);
  const count = validation > 1 ? validation : Math.floor(validation * shuffled.length);
  if (count < 1 || count >= shuffled.length) return undefined;
  return { train: shuffled.slice(0, -count), validation: shuffled.slice(-count) };
}

/** What one class has of a division. */
const ofClass = (division: Readonly<Record<'train' | 'validation', readonly Candidate[]>>, label: number) =>
  (['train', 'validation'] as const).map((part): Allotment => {
    const order = division[part].filter((candidate) => candidate.label === label);
    return { part, label, order, wanted: order.length };
  });

/** A share; a number of examples says nothing about the others. */
const shareOnly = (asked: number | undefined): number | undefined =>
  asked !== undefined && asked <= 1 ? asked : undefined;

/** Divides n into parts of these fractions, none of them empty; undefined where n is too small for that. */
function shareOut(n: number, fractions: readonly number[]): number[] | undefined {
  let before = 0;
  let total = 0;
  const counts = fractions.map((fraction) => {
    total += fraction;
    const end = Math.round(total * n);
    const count = end - before;
    before = end;
    return count;
  });
  for (let i = 0; i < counts.length; i++) {
    if (counts[i]! > 0) continue;
    const most = counts.indexOf(Math.max(...counts));
    if (counts[most]! < 2) return undefined;
    counts[most]! -= 1;
    counts[i] = 1;
  }
  return counts;
}

const splitFile = 'split.json';

/** The text of split.json: one line per image, so that it can be read and compared. */
export function splitText({ parts: examples, ...rest }: StoredSplit): string {
  const lines = parts.map((part) => {
    const rows = examples[part].map(
      ({ name, label, bytes, head }) => `   ${JSON.stringify([name, label, bytes, ...(head ? [head] : [])])}`,
    );
    return `  ${JSON.stringify(part)}: [${rows.length ? `\n${rows.join(',\n')}` : ''}]`;
  });
  return `${JSON.stringify(rest).slice(0, -1)},"parts":{\n${lines.join(',\n')}\n}}\n`;
}

/**
 * The split of a run that goes on; undefined where it has none yet.
 * @throws UserError where the file is not what ConvLab wrote
 */
export function readSplit(runFolder: string): StoredSplit | undefined {
  const file = path.join(runFolder, splitFile);
  try {
    return checked(readJson(file, mostListBytes) as StoredSplit);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new UserError(
      message('runUnreadable', {
        folder: file,
        reason: error instanceof UserError ? error.userMessage : (error as Error).message,
      }),
    );
  }
}

export const writeSplit = (runFolder: string, split: StoredSplit): void =>
  fs.writeFileSync(path.join(runFolder, splitFile), splitText(split));

function checked(value: StoredSplit): StoredSplit {
  const { format, pixels, source, root, classNames } = value;
  if (format !== 1) throw new Error(`format ${String(format)}`);
  if (pixels !== undefined && typeof pixels !== 'number') throw new Error('pixels');
  if ((source !== 'folder' && source !== 'cifar10') || typeof root !== 'string') throw new Error('source');
  if (!Array.isArray(classNames) || !classNames.every((name) => typeof name === 'string'))
    throw new Error('classNames');
  const read = (part: Part): Example[] =>
    (value.parts[part] as unknown as [unknown, unknown, unknown, unknown][]).map(([name, label, bytes, head]) => {
      if (typeof name !== 'string' || !isInside(name)) throw new Error(`name ${JSON.stringify(name)}`);
      if (typeof label !== 'number' || !(label in classNames)) throw new Error(`label ${String(label)}`);
      if (typeof bytes !== 'number') throw new Error(`size ${String(bytes)}`);
      if (head !== undefined && typeof head !== 'string') throw new Error('digest');
      return { name, label, bytes, ...(head && { head }) };
    });
  return {
    format,
    ...(pixels !== undefined && { pixels }),
    source,
    root,
    classNames,
    parts: { train: read('train'), validation: read('validation'), test: read('test') },
  };
}

/** Whether a name with '/' between its parts stays inside the folder that it is joined to. */
function isInside(name: string): boolean {
  const steps = name.split(/[/\\]/);
  return !path.isAbsolute(name) && !steps.includes('..') && !/^[a-z]:/i.test(name) && !name.includes('\0');
}
