/**
 * When checkpoints are written, and the writing: they keep to a share of the time, and the best epoch's parameters wait for
 * the next one. The loop asks it after every step and at the end of every epoch.
 */
import { UserError } from '../../core/messages/message';
import { checkpointShare } from '../../core/trainingRules';
import type { RunFolder } from '../../disk/runs';
import type { Model, ModelState } from '../engines/engine';
import { writeBest, writeLast } from './checkpoint';
import type { Position } from './statistics';

/** Within an epoch, checkpoints are at least this far apart, in seconds. */
export const withinEpochSeconds = 60;
/** What a slow disk is taken to write before the first checkpoint has been timed, in bytes a second. */
const slowDisk = 5e6;

export class Checkpoints {
  private lastAt = performance.now();
  /** Seconds that the last one took; 0 before the first, so that the first epoch ends with one. */
  private cost = 0;
  /** What the best epoch so far left, until it is written beside the next checkpoint. */
  private unwrittenBest: { readonly epoch: number; readonly state: ModelState } | undefined;

  /** Whether the last attempt failed. */
  private failing = false;

  /** @param bytes that one checkpoint writes */
  constructor(
    private readonly run: Pick<RunFolder, 'folder' | 'check' | 'beside'>,
    private readonly model: Model,
    private readonly bytes: number,
  ) {}

  /** Seconds that the next one is expected to take, at most. */
  get expected(): number {
    // A disk is busier now than then: five times what it took.
    return this.cost > 0 ? 5 * this.cost : this.bytes / slowDisk;
  }

  /** Counts from now on. */
  begin(): void {
    this.lastAt = performance.now();
  }

  /**
   * Whether a checkpoint would keep to its share of the time: where an epoch takes four seconds and AlexNet's 700 MB
   * two, they are not written after every epoch, and a killed run repeats more than one.
   * @param apart from the last one, at least, in seconds
   */
  due(apart = 0): boolean {
    const since = (performance.now() - this.lastAt) / 1000;
    return since >= Math.max(apart, this.cost / checkpointShare);
  }

  /**
   * Writes one.
   * @param best the epoch that has just ended, if it is the best so far
   * @throws UserError on a full disk, and where the run is another trainer's by now
   */
  async write(position: Position, best?: number): Promise<void> {
    this.run.check();
    const { folder } = this.run;
    const before = performance.now();
    const state = await this.model.save();
    if (best !== undefined) this.unwrittenBest = { epoch: best, state };
    // Before `last`, whose position names the best epoch.
    if (this.unwrittenBest) writeBest(folder, this.unwrittenBest.state, { epoch: this.unwrittenBest.epoch });
    this.unwrittenBest = undefined;
    writeLast(folder, state, { ...position, beside: this.run.beside() } satisfies Position);
    this.lastAt = performance.now();
    this.cost = (this.lastAt - before) / 1000;
  }

  /**
   * Writes one; where the disk is full or another program holds the file, the one before still stands, and the next attempt
   * comes when the next one is due. The best epoch's parameters wait for it in memory.
   * @returns why it could not be written; undefined where it was, and where the same failure has been told already
   * @throws UserError where the run is another trainer's by now
   */
  async attempt(position: Position, best?: number): Promise<UserError | undefined> {
    try {
      await this.write(position, best);
      this.failing = false;
      return undefined;
    } catch (error) {
      // Without its folder, or with another trainer in it, the run has nowhere to go on to.
      this.run.check();
      if (!(error instanceof UserError)) throw error;
      this.lastAt = performance.now();
      const told = this.failing;
      this.failing = true;
      return told ? undefined : error;
    }
  }

  /** Keeps the parameters of the best epoch so far in memory, for the next checkpoint. */
  async keepBest(epoch: number): Promise<void> {
    // The one before goes first, so that there are never two in memory.
    this.unwrittenBest = undefined;
    this.unwrittenBest = { epoch, state: await this.model.save(false) };
  }
}
