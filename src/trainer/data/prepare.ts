/**
 * Turns examples into network inputs: reads a file, decodes, keeps the decoded image if there is room, augments,
 * normalises. One instance works in each worker thread (worker.ts), or in the trainer's own where there are none
 * (loader.ts); what it makes of an example never depends on which.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { ResolvedExperiment } from '../../core/experiment';
import { apply, drawAugmentation, Framing } from './augment';
import { ImageCache, SharedCache } from './cache';
import { normalizations } from './dataset';
import { decode } from './decode';
import { Flaw, FlawedImage } from './flaws';
import { Gate } from './gate';
import { Image, Raster } from './raster';
import { structureOf, Verdict } from './structure';

/** What all threads know; it is copied to each when it starts. */
export interface Plan {
  readonly source: 'folder' | 'cifar10';
  /** The folder that the names are in. */
  readonly root: string;
  /** An image is an entry of this list from here on. */
  readonly names: readonly string[];
  /** For each entry, 1 where it may be augmented. */
  readonly trained: Uint8Array;
  readonly input: ResolvedExperiment['input'];
  readonly augment: ResolvedExperiment['augment'];
  readonly seed: number;
  readonly cache: SharedCache;
  /** Whether checking ends, where it can, with a file's structure. */
  readonly surveyed?: boolean;
  /** See gate.ts. */
  readonly gate: SharedArrayBuffer;
}

/** One example of a batch. */
export interface Item {
  readonly entry: number;
  /** Position among the training examples, which decides the augmentation; -1: not augmented. */
  readonly index: number;
}

/** Files above this size are decoded, one in a while. */
const mostSurveyed = 2 ** 26;

export class Preparation {
  private readonly raster: Raster;
  private readonly cache: ImageCache;
  private readonly gate: Gate;
  private readonly framing: Framing;
  /** Where a file that is surveyed lies, so that thousands of them need no more room than the largest. */
  private read = Buffer.alloc(2 ** 16);

  constructor(private readonly plan: Plan) {
    this.raster = new Raster(plan.input.size);
    this.cache = new ImageCache(plan.cache);
    this.gate = new Gate(plan.gate);
    const { enlarge = 1, evaluation } = plan.augment?.randomCrop ?? {};
    this.framing = { antialias: plan.input.antialias, enlarge, centred: evaluation === 'centre' };
  }

  /**
   * Writes an example as the network sees it.
   * @param out channels × size × size
   * @throws FlawedImage, with the flaw 'unreadable' where the file is no longer there
   */
  async write(item: Item, epoch: number, out: Float32Array): Promise<void> {
    const image = await this.image(item);
    // Nothing is waited for from here on: the raster is one for all images under way.
    this.apply(image, item, epoch);
    const { mean, std } = normalizations[this.plan.input.normalize];
    this.raster.write(out, mean, std);
  }

  /** What is wrong with an image; undefined where nothing is. */
  async check(entry: number): Promise<Flaw | undefined> {
    const seen = this.plan.surveyed ? this.structure(entry) : undefined;
    if (seen !== undefined) return seen === 'whole' ? undefined : seen;
    try {
      await this.image({ entry, index: -1 });
      return undefined;
    } catch (error) {
      if (error instanceof FlawedImage) return error.flaw;
      throw error;
    }
  }

  private structure(entry: number): Verdict | undefined {
    let file: number | undefined;
    try {
      file = fs.openSync(path.join(this.plan.root, this.plan.names[entry]!), 'r');
      const { size } = fs.fstatSync(file);
      if (size > mostSurveyed) return undefined;
      if (size > this.read.length) this.read = Buffer.alloc(size);
      return structureOf(this.read.subarray(0, fs.readSync(file, this.read, 0, size, 0)));
    } catch {
      // Decoding it says why.
      return undefined;
    } finally {
      if (file !== undefined) fs.closeSync(file);
    }
  }

  private apply(image: Image, { index }: Item, epoch: number): void {
    const { augment, seed } = this.plan;
    const drawn =
      augment && index >= 0 ? drawAugmentation(augment, seed, epoch, index, image.width, image.height) : undefined;
    const fill = augment?.rotationFill ?? 'constant';
    apply(this.raster, image, drawn, this.framing, fill);
  }

  /** An image as it was decoded; or, where it is not to be augmented, perhaps its square, which resizes to itself. */
  private async image({ entry, index }: Item): Promise<Image> {
    const { names, trained, augment, input, cache } = this.plan;
    const kept = this.cache.get(entry);
    if (kept && !(kept.square && augment && index >= 0)) return kept;
    const decoded = await this.decoded(names[entry]!);
    if (kept || cache.arena.byteLength === 0) return decoded;
    // Squares take less room than images; without antialiasing their values are no bytes.
    // The middle of a square's middle would be another.
    if (!input.antialias || this.framing.centred || (augment && trained[entry])) {
      this.cache.put(entry, { ...decoded, square: false });
      return decoded;
    }
    this.apply(decoded, { entry, index: -1 }, 0);
    const square = { width: input.size, height: input.size, data: this.raster.bytes() };
    this.cache.put(entry, { ...square, square: true });
    return square;
  }

  private async decoded(name: string): Promise<Image> {
    let bytes: Buffer;
    try {
      bytes = await fs.promises.readFile(path.join(this.plan.root, name));
    } catch (error) {
      throw new FlawedImage('unreadable', (error as NodeJS.ErrnoException).code ?? (error as Error).message);
    }
    return decode(bytes, this.gate);
  }
}
