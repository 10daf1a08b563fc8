/**
 * Decoded images kept in memory that all worker threads share, up to a bound: what does not fit is decoded again each
 * time. Where only an image's resized square is ever wanted, that is kept. Entries are written once and never move. Made
 * by the dataset, filled and read by prepare.ts.
 */
import { machineMemory } from '../engines/memory';
import type { Image } from './raster';

/** Words of an entry in the table: state, offset in blocks, width, height. */
const entryWords = 4;
const blockBytes = 16;
const State = { empty: 0, writing: 1, whole: 2, square: 3 } as const;

/** What was kept of an image. */
export interface Kept extends Image {
  /** Whether it is the network's square, resized and not augmented; else it is the image as it was decoded. */
  readonly square: boolean;
}

/** The parts of a cache that threads share; passed to a worker as they are. */
export interface SharedCache {
  readonly table: SharedArrayBuffer;
  readonly arena: SharedArrayBuffer;
}

/** An eighth of the memory that this process may use, at most 2 GiB. */
export function cacheBound(): number {
  return Math.min(2 ** 31, Math.floor(machineMemory().total / 8));
}

/**
 * @param entries number of images
 * @param bytes bound of their pixels; the system hands out the memory as it is written to
 */
export function createCache(entries: number, bytes: number): SharedCache {
  const blocks = Math.floor(bytes / blockBytes);
  return {
    // One more word, at the end: the first free block.
    table: new SharedArrayBuffer((entries * entryWords + 1) * 4),
    arena: new SharedArrayBuffer(blocks * blockBytes),
  };
}

export class ImageCache {
  private readonly table: Int32Array;
  private readonly bytes: Uint8Array;
  private readonly blocks: number;

  constructor(shared: SharedCache) {
    this.table = new Int32Array(shared.table);
    this.bytes = new Uint8Array(shared.arena);
    this.blocks = shared.arena.byteLength / blockBytes;
  }

  /** An image that was kept; its pixels must not be written to. */
  get(entry: number): Kept | undefined {
    const at = entry * entryWords;
    const state = Atomics.load(this.table, at);
    if (state !== State.whole && state !== State.square) return undefined;
    const [, offset, width, height] = this.table.subarray(at, at + entryWords);
    const start = offset! * blockBytes;
    const data = this.bytes.subarray(start, start + width! * height! * 3);
    return { width: width!, height: height!, data, square: state === State.square };
  }

  /** Keeps an image if there is room. */
  put(entry: number, { width, height, data, square }: Kept): void {
    const at = entry * entryWords;
    const blocks = Math.ceil(data.length / blockBytes);
    // Another thread may be at the same image.
    if (Atomics.compareExchange(this.table, at, State.empty, State.writing) !== State.empty) return;
    const offset = this.reserve(blocks);
    if (offset === undefined) return void Atomics.store(this.table, at, State.empty);
    this.bytes.set(data, offset * blockBytes);
    this.table.set([offset, width, height], at + 1);
    Atomics.store(this.table, at, square ? State.square : State.whole);
  }

  /** The first of so many free blocks. */
  private reserve(blocks: number): number | undefined {
    const next = this.table.length - 1;
    for (;;) {
      const offset = Atomics.load(this.table, next);
      if (offset + blocks > this.blocks) return undefined;
      if (Atomics.compareExchange(this.table, next, offset, offset + blocks) === offset) return offset;
    }
  }
}
