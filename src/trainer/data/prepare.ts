/**
 * Turns examples into network inputs: reads a file, decodes, keeps the decoded image if there is room, augments,
 * normalises. One instance works in each worker thread (worker.ts), or in the trainer's own where there are none
 * (loader.ts); what it makes of an example never depends on which.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { ResolvedExperiment } from '../../core/experiment';
import { apply, drawAugmentation, smallestCrop } from './augment';
import { ImageCache, SharedCache } from './cache';
import { normalizations } from './dataset';
import { decode, Decoded, Flaw, FlawedImage } from './decode';
import { Raster } from './raster';

/** What all threads know; it is copied to each when it starts. */
export interface Plan {
  readonly source: 'folder' | 'cifar10';
  /** The folder that the names are in. */
  readonly root: string;
  /** An image is an entry of this list from here on. */
  readonly names: readonly string[];
  readonly input: ResolvedExperiment['input'];
  readonly augment: ResolvedExperiment['augment'];
  readonly seed: number;
  readonly cache: SharedCache;
}

/** One example of a batch. */
export interface Item {
  readonly entry: number;
  /** Position among the training examples, which decides the augmentation; -1: not augmented. */
  readonly index: number;
}

/** Shrinking before the crop is averaged leaves at least this many pixels for each of the network's (see `shrinkFactor`). */
const reducingGap = 2;

export class Preparation {
  private readonly raster: Raster;
  private readonly cache: ImageCache;
  private readonly enlarge: number;

  constructor(private readonly plan: Plan) {
    this.raster = new Raster(plan.input.size);
    this.cache = new ImageCache(plan.cache);
    this.enlarge = plan.augment?.randomCrop?.enlarge ?? 1;
  }

  /**
   * Writes an example as the network sees it.
   * @param out channels × size × size
   * @throws FlawedImage, with the flaw 'unreadable' where the file is no longer there
   */
  async write({ entry, index }: Item, epoch: number, out: Float32Array): Promise<void> {
    this.apply(await this.image(entry), index, epoch);
    const { mean, std } = normalizations[this.plan.input.normalize];
    this.raster.write(out, mean, std);
  }

  /** An example as bytes (red, green, blue), augmented but not normalised: what a person can look at. */
  async bytes({ entry, index }: Item, epoch: number): Promise<Uint8Array> {
    this.apply(await this.image(entry), index, epoch);
    return this.raster.bytes();
  }

  /** What is wrong with an image; undefined where it can be decoded. */
  async check(entry: number): Promise<Flaw | undefined> {
    try {
      await this.image(entry);
      return undefined;
    } catch (error) {
      if (error instanceof FlawedImage) return error.flaw;
      throw error;
    }
  }

  private apply(image: Decoded, index: number, epoch: number): void {
    const { augment, seed, input } = this.plan;
    const drawn =
      augment && index >= 0
        ? drawAugmentation(augment, seed, epoch, index, image.sourceWidth, image.sourceHeight)
        : undefined;
    const fill = augment?.rotationFill ?? 'constant';
    apply(this.raster, image, drawn, { antialias: input.antialias, enlarge: this.enlarge }, fill);
  }

  private async image(entry: number): Promise<Decoded> {
    const kept = this.cache.get(entry);
    if (kept) return kept;
    const decoded = await this.decoded(this.plan.names[entry]!);
    this.cache.put(entry, decoded);
    return decoded;
  }

  private async decoded(name: string): Promise<Decoded> {
    let bytes: Buffer;
    try {
      bytes = await fs.promises.readFile(path.join(this.plan.root, name));
    } catch (error) {
      throw new FlawedImage('unreadable', (error as NodeJS.ErrnoException).code ?? (error as Error).message);
    }
    return decode(bytes, (width, height) => this.shrinkFactor(width, height));
  }

  /**
   * The power of two by which a large image is shrunk when it is decoded. Two pixels for each of the network's are
   * left even in the smallest crop: averaged again, they differ from the full image by less than rounding does. Where
   * pixels are picked instead of averaged, shrinking would change which; then there is none.
   */
  private shrinkFactor(width: number, height: number): number {
    const { input, augment } = this.plan;
    if (!input.antialias) return 1;
    const [w, h] = smallestCrop(augment, width, height);
    const spare = Math.min(w, h) / (reducingGap * input.size * this.enlarge);
    return Math.max(1, Math.min(8, 2 ** Math.floor(Math.log2(Math.max(1, spare)))));
  }
}
