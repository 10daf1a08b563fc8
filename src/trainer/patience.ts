/**
 * How long a server is waited for. Silence alone does not tell: one that sends a byte now and then is never silent and never
 * done. registry.ts and weights/download.ts ask.
 */

export interface PatienceLimits {
  /** The span that is looked at, in milliseconds. */
  readonly ms: number;
  /** What must come within it at least, in bytes. */
  readonly bytes: number;
}

/** A kilobyte a second: a twentieth of what a modem brought. */
export const usualPatience: PatienceLimits = { ms: 60_000, bytes: 60_000 };

/** Aborts its signal where too little comes, and when the outer one is aborted. */
export class Patience {
  private readonly stop = new AbortController();
  private readonly timer: NodeJS.Timeout;
  private readonly passOn = () => this.stop.abort(this.outer.reason);
  private came = 0;

  constructor(
    private readonly outer: AbortSignal,
    private readonly limits: PatienceLimits = usualPatience,
  ) {
    outer.throwIfAborted();
    outer.addEventListener('abort', this.passOn);
    this.timer = setInterval(() => this.look(), limits.ms);
  }

  get signal(): AbortSignal {
    return this.stop.signal;
  }

  /** Notes that bytes have come. */
  count(bytes: number): void {
    this.came += bytes;
  }

  /** Waits for something that may not know of the signal, and no longer than patience lasts. @throws the signal's reason */
  async wait<T>(something: Promise<T>): Promise<T> {
    const { signal } = this;
    signal.throwIfAborted();
    let give: () => void;
    const given = new Promise<never>((_, reject) => {
      give = () => reject(signal.reason as Error);
      signal.addEventListener('abort', give);
    });
    // What comes of it afterwards is nobody's affair.
    something.catch(() => undefined);
    try {
      return await Promise.race([something, given]);
    } finally {
      signal.removeEventListener('abort', give!);
    }
  }

  /** No more is waited for. */
  end(): void {
    clearInterval(this.timer);
    this.outer.removeEventListener('abort', this.passOn);
  }

  private look(): void {
    const { ms, bytes } = this.limits;
    if (this.came < bytes) this.stop.abort(new Error(`no more than ${this.came} bytes came in ${ms / 1000} s`));
    this.came = 0;
  }
}
