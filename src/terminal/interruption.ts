/**
 * How a command that works is asked to stop: by a signal (Ctrl+C, SIGTERM, a terminal that closes), or because its output
 * can no longer be written. A request counts whenever it comes, also between two trainers; commands run inside `during`.
 */
import type { TaskName } from '../core/contracts/tasks';
import type { Trainer, TrainerEnd } from '../trainerClient';

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Signals this close to one another are one request: Ctrl+C reaches the whole group, and npm passes it on once more. */
const oneRequestMs = 500;

export class Interruption {
  /** The one under way, for `interrupt`. */
  private static current: Interruption | undefined;
  private askedAt: number | undefined;
  private trainer: Trainer | undefined;
  private onStop: (() => void) | undefined;

  /** Does work that a signal stops; without it a signal ends the process at once. */
  static async during<R>(work: (interruption: Interruption) => Promise<R>): Promise<R> {
    const interruption = new Interruption();
    const onSignal = () => interruption.request(performance.now());
    Interruption.current = interruption;
    signals.forEach((signal) => process.on(signal, onSignal));
    try {
      return await work(interruption);
    } finally {
      Interruption.current = undefined;
      signals.forEach((signal) => process.removeListener(signal, onSignal));
    }
  }

  /** Stops what is under way, as a signal would. */
  static interrupt(): void {
    const { current } = Interruption;
    if (current && !current.asked) current.request(performance.now());
  }

  /** Whether somebody has asked to stop. */
  get asked(): boolean {
    return this.askedAt !== undefined;
  }

  /**
   * Waits for a trainer, which the first request asks to stop and a later one ends.
   * @param onStop called when it is asked to
   */
  async ended<T extends TaskName>(trainer: Trainer<T>, onStop?: () => void): Promise<TrainerEnd<T>> {
    this.trainer = trainer;
    this.onStop = onStop;
    if (this.asked) this.stop();
    const end = await trainer.ended;
    this.trainer = this.onStop = undefined;
    return end;
  }

  /** @param now in milliseconds, from any origin */
  private request(now: number): void {
    if (this.askedAt !== undefined) {
      if (now - this.askedAt >= oneRequestMs) this.trainer?.kill();
      return;
    }
    this.askedAt = now;
    this.stop();
  }

  private stop(): void {
    this.onStop?.();
    void this.trainer?.stop();
  }
}
