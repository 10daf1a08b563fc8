/**
 * Ends a transfer when the process is asked to stop, even where nothing comes: registry.ts and download.ts fetch under one.
 */

/** Between two looks at whether the process is asked to stop, and between two words on how far a transfer is. */
export const lookMs = 200;

export class Watch {
  private readonly abort = new AbortController();
  private readonly timer: NodeJS.Timeout;
  private halted: { readonly error: unknown } | undefined;
  /** Ends the connection. */
  readonly signal = this.abort.signal;

  /** @param pause lets the process attend to other things; rejects where it is to stop */
  constructor(pause: () => Promise<void>) {
    this.timer = setInterval(() => {
      pause().catch((error: unknown) => {
        this.halted ??= { error };
        this.abort.abort();
      });
    }, lookMs);
  }

  /** @throws what `pause` rejected with, where it did */
  check(): void {
    if (this.halted) throw this.halted.error;
  }

  end(): void {
    clearInterval(this.timer);
  }
}
