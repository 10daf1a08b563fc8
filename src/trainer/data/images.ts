/**
 * Datasets of images in files: finds the folder, draws or takes up the split, leaves out what cannot be decoded, and
 * reads examples through the worker threads. open.ts makes one for the experiments on cats and dogs.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { datasetTitles, ResolvedExperiment } from '../../core/experiment';
import { Message, message, UserError } from '../../core/messages/message';
import type { DataProvenance } from '../../core/contracts/events';
import { cacheBound, createCache, ImageCache, SharedCache } from './cache';
import type { Dataset } from './dataset';
import { Flaw, mostPixels } from './flaws';
import { createGate } from './gate';
import { indexFolder, LeftOut } from './folder';
import { Loader, ImageLost } from './loader';
import type { Item, Plan } from './prepare';
import type { Image } from './raster';
import { Allotment, Candidate, drawSplit, Example, Part, parts, pixelsVersion, StoredSplit } from './split';
import { breathe } from '../stop';

/** Images that can be had, before they are divided. */
export interface ImageSource {
  readonly kind: StoredSplit['source'];
  readonly root: string;
  readonly classNames: readonly string[];
  readonly candidates: readonly Candidate[];
  readonly leftOut: readonly LeftOut[];
  readonly provenance: DataProvenance;
  /** Where the images are in memory already, whole and decoded. */
  readonly held?: {
    /** Of each image. */
    readonly bytes: number;
    image(name: string): Image;
  };
}

/** What opening a dataset may use of its surroundings. */
export interface DataSurroundings {
  /** The split of the run that goes on. */
  readonly stored?: StoredSplit;
  /** Whether the run that goes on drew its test images (see Dataset); default: so it is done today. */
  readonly testDrawn?: boolean;
  /** Threads that prepare images; default: one per processor. */
  readonly workers?: number;
  /** Bound of the decoded images that are kept, in bytes. */
  readonly cacheBytes?: number;
  /** Take all images to be whole, without decoding any. */
  readonly unchecked?: boolean;
  /** Take blank images for those that would have to be fetched: for an estimate of what a run would take. */
  readonly unfetched?: boolean;
  progress(message: Message): void;
  /** Looked at between two pieces of work; its reason is thrown. */
  readonly signal: AbortSignal;
}

/** Images that are checked between two looks at the clock and at requests to stop. */
const checkChunk = 64;
/** The same, where most are not decoded. */
const surveyChunk = 512;

/** The images of a folder with one sub-folder per class. @throws UserError */
export async function folderSource(folder: string, signal: AbortSignal): Promise<ImageSource> {
  const { root, classNames, candidates, leftOut, givenParts } = await indexFolder(folder, signal);
  const terms = message('termsOwnFolder');
  const title = datasetTitles['cat-dog'];
  const note = givenParts.length > 0 ? { note: message('splitGiven', { parts: givenParts.join(', ') }) } : {};
  return { kind: 'folder', root, classNames, candidates, leftOut, provenance: { title, source: root, terms, ...note } };
}

/** A dataset of the source's images. @throws UserError */
export async function imageDataset(
  source: ImageSource,
  experiment: ResolvedExperiment,
  surroundings: DataSurroundings,
): Promise<Dataset> {
  if (experiment.loss === 'bce_with_logits' && source.classNames.length !== 2) {
    throw new UserError(message('imagesManyClasses', { folder: source.root, count: source.classNames.length }));
  }
  const { stored } = surroundings;
  if (stored) checkUnchanged(stored, source);
  const allotments = stored ? [] : drawSplit(source.candidates, source.classNames, experiment, source.root);
  const lists: { part: Part; order: readonly Example[] }[] = stored
    ? parts.map((part) => ({ part, order: stored.parts[part] }))
    : allotments;
  const examples = lists.flatMap(({ order }) => order);
  const plan: Plan = {
    source: source.kind,
    root: source.root,
    names: examples.map(({ name }) => name),
    trained: Uint8Array.from(lists.flatMap(({ part, order }) => order.map(() => Number(part === 'train')))),
    input: experiment.input,
    augment: experiment.augment,
    seed: experiment.seed,
    cache: heldCache(source, examples) ?? createCache(examples.length, surroundings.cacheBytes ?? cacheBound()),
    gate: createGate(),
  };
  const loader = await Loader.open(plan, surroundings.workers);
  try {
    const entries = new Map(examples.map(({ name }, entry) => [name, entry]));
    const { chosen, leftOut } = stored
      ? { chosen: stored.parts, leftOut: [] }
      : await choose(source, allotments, entries, loader, surroundings);
    const { kind, root, classNames } = source;
    // A run keeps the mark of the version that began it.
    const pixels = stored ? stored.pixels : pixelsVersion;
    const split: StoredSplit = {
      ...{ format: 1, ...(pixels !== undefined && { pixels }), source: kind, root, classNames, parts: chosen },
    };
    const total = source.candidates.length + source.leftOut.length;
    const warnings = stored ? preparedOtherwise(stored) : leftOutMessages([...source.leftOut, ...leftOut], total);
    return new ImageDataset(source, split, warnings, loader, entries);
  } catch (error) {
    await loader.close();
    throw error;
  }
}

class ImageDataset implements Dataset {
  readonly classNames: readonly string[];
  readonly counts: Dataset['counts'];
  readonly provenance: DataProvenance;
  /** An image takes longer than another now and then; two batches ahead even that out. */
  readonly readAhead = 2;
  private readonly entriesOf: Record<Part, Uint32Array>;

  constructor(
    source: ImageSource,
    readonly split: StoredSplit,
    readonly warnings: readonly Message[],
    private readonly loader: Loader,
    entries: ReadonlyMap<string, number>,
  ) {
    this.classNames = source.classNames;
    this.provenance = source.provenance;
    const of = <T>(what: (examples: readonly Example[]) => T): Record<Part, T> => ({
      train: what(split.parts.train),
      validation: what(split.parts.validation),
      test: what(split.parts.test),
    });
    this.counts = of((examples) => examples.length);
    this.entriesOf = of((examples) => Uint32Array.from(examples, ({ name }) => entries.get(name)!));
  }

  async read(part: Part, indices: Uint32Array, epoch: number, images: Float32Array, labels: Int32Array): Promise<void> {
    const examples = this.split.parts[part];
    const items = Array.from(indices, (index): Item => {
      return { entry: this.entriesOf[part][index]!, index: part === 'train' && epoch > 0 ? index : -1 };
    });
    indices.forEach((index, i) => (labels[i] = examples[index]!.label));
    try {
      await this.loader.load(items, epoch, images);
    } catch (error) {
      if (!(error instanceof ImageLost)) throw error;
      const lost = items.findIndex(({ entry }) => entry === error.entry);
      const file = path.join(this.split.root, examples[indices[lost]!]!.name);
      if (!fs.existsSync(this.split.root)) throw folderGone(this.split.root);
      const text = message('imageLost', { file, reason: error.reason });
      throw new UserError(text, message('imageLostAdvice'), { cause: error });
    }
  }

  close(): Promise<void> {
    return this.loader.close();
  }
}

const folderGone = (folder: string): UserError =>
  new UserError(message('imagesFolderGone', { folder }), message('imageLostAdvice'));

/**
 * Takes from each allotment, in its order, as many images as are wanted and can be decoded. What was decoded for that
 * is kept for training as far as there is room.
 */
async function choose(
  { classNames, root, held }: ImageSource,
  allotments: readonly Allotment[],
  entries: ReadonlyMap<string, number>,
  loader: Loader,
  { unchecked, progress, signal }: DataSurroundings,
): Promise<{ chosen: Record<Part, Example[]>; leftOut: LeftOut[] }> {
  const leftOut: LeftOut[] = [];
  const total = allotments.reduce((sum, { wanted }) => sum + wanted, 0);
  let done = 0;
  const taken: (Allotment & { good: Example[] })[] = [];
  for (const allotment of allotments) {
    const { order, wanted } = allotment;
    const good: Example[] = [];
    for (let next = 0; good.length < wanted && next < order.length;) {
      const tried = order.slice(next, next + Math.min(checkChunk, wanted - good.length));
      next += tried.length;
      const found =
        unchecked || held
          ? []
          : await flawsOf(
              tried.map(({ name }) => entries.get(name)!),
              loader,
              root,
            );
      tried.forEach(({ name, label, bytes, head }, i) => {
        const flaw = found[i];
        if (flaw) leftOut.push({ name, flaw });
        else good.push({ name, label, bytes, ...(head && { head }) });
      });
      done += tried.length - found.filter(Boolean).length;
      if (!held) progress(message('checkingImages', { done, total }));
      await breathe(signal);
    }
    taken.push({ ...allotment, good });
  }
  const chosen: Record<Part, Example[]> = { train: [], validation: [], test: [] };
  for (const { label, wanted, good } of taken) {
    if (wanted > 0 && good.length === 0) {
      // In a class of a few images, all of a part can be bad: one of its training images takes the place.
      const spare = taken.find((other) => other.part === 'train' && other.label === label)!.good;
      if (spare.length < 2) {
        const count = allotments.reduce((n, a) => n + (a.label === label ? a.order.length : 0), 0);
        const figures = { count, name: classNames[label]!, folder: root };
        throw new UserError(
          message('imagesFewWhole', { ...figures, whole: spare.length }),
          message('imagesTooFewAdvice'),
        );
      }
      good.push(spare.pop()!);
    }
  }
  for (const { part, good } of taken) chosen[part].push(...good);
  return { chosen, leftOut };
}

/** What keeps each of these images from being used. @throws UserError where their folder is gone */
async function flawsOf(entries: readonly number[], loader: Loader, root: string): Promise<(Flaw | undefined)[]> {
  const found = await loader.check(entries);
  // A drive that was pulled out is no folder of bad images.
  if (found.includes('unreadable') && !fs.existsSync(root)) throw folderGone(root);
  return found;
}

/**
 * Surveys a source: looks at the structure of every file, and decodes those of which that does not tell.
 * @returns the files that cannot be used
 */
export async function checkImages(
  { kind, root, candidates }: ImageSource,
  { workers, progress, signal }: Pick<DataSurroundings, 'workers' | 'progress' | 'signal'>,
): Promise<LeftOut[]> {
  const loader = await Loader.open(
    {
      ...{ source: kind, root, names: candidates.map(({ name }) => name), augment: undefined, seed: 0 },
      trained: new Uint8Array(candidates.length),
      input: { size: 32, channels: 3, fit: 'resize', antialias: true, normalize: 'none' },
      cache: createCache(candidates.length, 0),
      gate: createGate(),
      surveyed: true,
    },
    workers,
  );
  try {
    const leftOut: LeftOut[] = [];
    for (let next = 0; next < candidates.length; next += surveyChunk) {
      const tried = candidates.slice(next, next + surveyChunk);
      const found = await flawsOf(
        tried.map((_, i) => next + i),
        loader,
        root,
      );
      tried.forEach(({ name }, i) => found[i] && leftOut.push({ name, flaw: found[i] }));
      progress(message('checkingImages', { done: next + tried.length, total: candidates.length }));
      await breathe(signal);
    }
    return leftOut;
  } finally {
    await loader.close();
  }
}

/** A cache that holds all of the source's images from the start, so that none is ever read or decoded. */
function heldCache({ held }: ImageSource, examples: readonly Example[]): SharedCache | undefined {
  if (!held) return undefined;
  const shared = createCache(examples.length, examples.length * held.bytes);
  const cache = new ImageCache(shared);
  examples.forEach(({ name }, entry) => {
    const image = held.image(name);
    cache.put(entry, { ...image, square: false });
  });
  return shared;
}

/** Images of memory are what they were; files became other pixels in other versions. */
const preparedOtherwise = ({ source, pixels = 1 }: StoredSplit): Message[] =>
  source === 'folder' && pixels !== pixelsVersion ? [message('imagesPreparedOtherwise')] : [];

/** A run that goes on must meet the images that it began with. */
function checkUnchanged(stored: StoredSplit, source: ImageSource): void {
  const there = new Map(source.candidates.map((candidate) => [candidate.name, candidate]));
  for (const part of parts) {
    for (const { name, bytes, head } of stored.parts[part]) {
      const now = there.get(name);
      if (now?.bytes === bytes && (head === undefined || head === now.head)) continue;
      const file = path.join(source.root, name);
      throw new UserError(
        now ? message('imageChanged', { file }) : message('imageMissing', { file }),
        message('imageChangedAdvice'),
      );
    }
  }
}

/** One sentence for each reason, with a count and an example. */
export function leftOutMessages(leftOut: readonly LeftOut[], total: number): Message[] {
  const reasons: Record<Flaw, (figures: { count: number; total: number; example: string }) => Message> = {
    empty: (figures) => message('leftOutEmpty', figures),
    notImage: (figures) => message('leftOutNotImage', figures),
    unsupported: (figures) => message('leftOutUnsupported', figures),
    coding: (figures) => message('leftOutCoding', figures),
    cutShort: (figures) => message('leftOutCutShort', figures),
    damaged: (figures) => message('leftOutDamaged', figures),
    tooLarge: (figures) => message('leftOutTooLarge', { ...figures, most: mostPixels / 1e6 }),
    unreadable: (figures) => message('leftOutUnreadable', figures),
    link: (figures) => message('leftOutLink', figures),
  };
  return (Object.keys(reasons) as Flaw[]).flatMap((flaw) => {
    const found = leftOut.filter((l) => l.flaw === flaw);
    return found.length ? [reasons[flaw]({ count: found.length, total, example: found[0]!.name })] : [];
  });
}
