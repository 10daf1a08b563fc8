/**
 * Lets threads decode many small images at once and large ones in turn, so that what is being decoded takes a bounded
 * room however many threads there are. Made by the dataset, passed by every image in prepare.ts.
 */
import { setTimeout } from 'node:timers/promises';

/** Pixels that are decoded at once, of three bytes each; a larger image is decoded when there is no other. */
const mostAtOnce = 64_000_000;
const patienceMs = 5;

/** What threads share. */
export const createGate = (): SharedArrayBuffer => new SharedArrayBuffer(4);

export class Gate {
  private readonly underWay: Int32Array;

  constructor(
    shared: SharedArrayBuffer,
    private readonly most = mostAtOnce,
  ) {
    this.underWay = new Int32Array(shared);
  }

  /** Waits until there is room for so many pixels. @returns what gives it back */
  async enter(pixels: number): Promise<() => void> {
    const taken = Math.min(pixels, this.most);
    for (;;) {
      const now = Atomics.load(this.underWay, 0);
      if (now + taken > this.most) await setTimeout(patienceMs);
      else if (Atomics.compareExchange(this.underWay, 0, now, now + taken) === now) break;
    }
    return () => void Atomics.sub(this.underWay, 0, taken);
  }
}
