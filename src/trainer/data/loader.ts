/**
 * Spreads the preparation of images over worker threads. All threads take examples of the same batch, whoever is free
 * the next one, and write to memory that they share with this one. Made by the image dataset, which reads through it.
 */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { Worker } from 'node:worker_threads';
import { loadDecoder } from './decode';
import { Flaw, FlawedImage } from './flaws';
import { Item, Plan, Preparation } from './prepare';

/** Work for every thread: examples of a batch, or images to be looked at. Everything in it is shared, not copied. */
export interface ToWorker {
  readonly id: number;
  /** One word: the next example that nobody has taken. */
  readonly next: Int32Array;
  /** Entry and index of each example (see Item). */
  readonly items: Int32Array;
  readonly count: number;
  readonly epoch: number;
  /** Filled with the examples; undefined: the images are only checked. */
  readonly images?: Float32Array;
  /** When checking, filled with 0, or 1 + the place of what is wrong in {@link flaws}. */
  readonly verdicts?: Uint8Array;
}

export interface FromWorker {
  readonly id: number;
  /** Set where the work failed. */
  readonly lost?: { readonly entry: number; readonly reason: string };
  readonly defect?: string;
}

export const flaws: readonly Flaw[] = [
  'empty',
  'notImage',
  'unsupported',
  'coding',
  'cutShort',
  'damaged',
  'tooLarge',
  'unreadable',
  'link',
];

/** An image that was whole when the run began and can no longer be read. */
export class ImageLost extends Error {
  constructor(
    readonly entry: number,
    readonly reason: string,
  ) {
    super(reason);
  }
}

/** Images that a thread has under way: while the decoder's threads work on one it augments another. */
const underWay = 2;

/** Takes examples until there are no more. */
export async function workOn(preparation: Preparation, job: ToWorker): Promise<void> {
  const taken = Array.from({ length: underWay }, () => takeExamples(preparation, job));
  // Only when none of them writes to the job's memory any more.
  for (const outcome of await Promise.allSettled(taken)) if (outcome.status === 'rejected') throw outcome.reason;
}

async function takeExamples(preparation: Preparation, job: ToWorker): Promise<void> {
  const { next, items, count, images, verdicts, epoch } = job;
  for (let i = Atomics.add(next, 0, 1); i < count; i = Atomics.add(next, 0, 1)) {
    const item: Item = { entry: items[i * 2]!, index: items[i * 2 + 1]! };
    if (!images) {
      const flaw = await preparation.check(item.entry);
      verdicts![i] = flaw ? 1 + flaws.indexOf(flaw) : 0;
      continue;
    }
    const length = images.length / count;
    try {
      await preparation.write(item, epoch, images.subarray(i * length, (i + 1) * length));
    } catch (error) {
      if (error instanceof FlawedImage) throw new ImageLost(item.entry, error.message);
      throw error;
    }
  }
}

/** Threads that are worth starting here. */
export const defaultWorkers = (): number => Math.max(1, Math.min(8, os.availableParallelism()));

const shared = (bytes: number) => new SharedArrayBuffer(bytes);

export class Loader {
  private readonly workers: Worker[] = [];
  private readonly own?: Preparation;
  private readonly waiting = new Map<
    number,
    { left: number; settle: (failure?: FromWorker) => void; failure?: FromWorker }
  >();
  private jobs = 0;
  private broken?: Error;
  /** Buffers of batches that were read, for the next ones of the same length. */
  private spare: Float32Array[] = [];

  private constructor(plan: Plan, workers: number, script: string) {
    if (workers === 0) this.own = new Preparation(plan);
    for (let i = 0; i < workers; i++) {
      const worker = new Worker(script, { workerData: plan });
      worker.on('message', (answer: FromWorker) => this.receive(answer));
      worker.on('error', (error) => this.fail(error));
      // Threads alone must not keep the trainer from ending.
      worker.unref();
      this.workers.push(worker);
    }
  }

  /** @param workers threads beside this one; 0: this one does the work, also where the threads' program is missing */
  static async open(plan: Plan, workers = defaultWorkers()): Promise<Loader> {
    await loadDecoder();
    const script = path.join(__dirname, 'images.js');
    return new Loader(plan, fs.existsSync(script) ? workers : 0, script);
  }

  /**
   * Fills `images` with examples.
   * @throws ImageLost
   */
  async load(items: readonly Item[], epoch: number, images: Float32Array): Promise<void> {
    const at = this.spare.findIndex((buffer) => buffer.length === images.length);
    const buffer = at >= 0 ? this.spare.splice(at, 1)[0]! : new Float32Array(shared(images.byteLength));
    await this.work({ ...this.job(items), epoch, images: buffer });
    images.set(buffer);
    // As many as are read ahead at once; an epoch's last batch is shorter and needs its own.
    this.spare = [buffer, ...this.spare].slice(0, 3);
  }

  /** What is wrong with each of these images, if anything; those that are whole may be kept decoded. */
  async check(entries: readonly number[]): Promise<(Flaw | undefined)[]> {
    const verdicts = new Uint8Array(shared(entries.length));
    await this.work({ ...this.job(entries.map((entry) => ({ entry, index: -1 }))), epoch: 0, verdicts });
    return Array.from(verdicts, (verdict) => (verdict ? flaws[verdict - 1] : undefined));
  }

  async close(): Promise<void> {
    this.fail(new Error('closed'));
    await Promise.all(this.workers.map((worker) => worker.terminate()));
  }

  private job(items: readonly Item[]): Pick<ToWorker, 'id' | 'next' | 'items' | 'count'> {
    const words = new Int32Array(shared(items.length * 8));
    items.forEach(({ entry, index }, i) => words.set([entry, index], i * 2));
    return { id: this.jobs++, next: new Int32Array(shared(4)), items: words, count: items.length };
  }

  private async work(job: ToWorker): Promise<void> {
    if (this.own) return workOn(this.own, job);
    if (this.broken) throw this.broken;
    const failure = await new Promise<FromWorker | undefined>((settle) => {
      this.waiting.set(job.id, { left: this.workers.length, settle });
      for (const worker of this.workers) {
        worker.ref();
        worker.postMessage(job);
      }
    });
    if (this.broken) throw this.broken;
    if (failure?.lost) throw new ImageLost(failure.lost.entry, failure.lost.reason);
    if (failure) throw new Error(failure.defect);
  }

  private receive(answer: FromWorker): void {
    const job = this.waiting.get(answer.id);
    if (!job) return;
    if (answer.lost || answer.defect !== undefined) job.failure ??= answer;
    if (--job.left > 0) return;
    this.waiting.delete(answer.id);
    if (this.waiting.size === 0) this.workers.forEach((worker) => worker.unref());
    job.settle(job.failure);
  }

  private fail(error: Error): void {
    this.broken ??= error;
    for (const { settle } of this.waiting.values()) settle();
    this.waiting.clear();
  }
}
