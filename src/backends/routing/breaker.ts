/**
 * Keeps requests away from an upstream that fails: after so many failures in a row it gets none for a
 * while, each time for longer; then its health is asked for, and only an upstream that is well gets
 * requests again. Pure but for the clock, which comes in.
 */

export interface BreakerOptions {
  /** Failures in a row that open it. Default 3. */
  readonly threshold?: number;
  /** Milliseconds of the first pause; each next is twice as long. Default 500. */
  readonly firstPauseMs?: number;
  /** Default 15 s. */
  readonly longestPauseMs?: number;
  readonly now?: () => number;
}

export class Breaker {
  readonly #threshold: number;
  readonly #firstPauseMs: number;
  readonly #longestPauseMs: number;
  readonly #now: () => number;
  #failures = 0;
  #openings = 0;
  /** When its health may be asked for; undefined: closed. */
  #openUntil: number | undefined;

  constructor(options: BreakerOptions = {}) {
    const { threshold = 3, firstPauseMs = 500, longestPauseMs = 15_000 } = options;
    this.#threshold = threshold;
    this.#firstPauseMs = firstPauseMs;
    this.#longestPauseMs = longestPauseMs;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Whether requests may pass. */
  get isClosed(): boolean {
    return this.#openUntil === undefined;
  }

  /** Whether its pause is over, so that its health decides. */
  get mayProbe(): boolean {
    return this.#openUntil !== undefined && this.#now() >= this.#openUntil;
  }

  /** A request was answered. */
  succeeded(): void {
    this.#failures = 0;
    this.#openings = 0;
  }

  /** A request failed by the upstream's fault; `hard`: nobody is there at all. */
  failed(options: { readonly hard: boolean }): void {
    this.#failures += 1;
    if (options.hard || this.#failures >= this.#threshold) this.#open();
  }

  /** Its health was asked for, and is well or not. */
  probed(well: boolean): void {
    if (this.isClosed) {
      if (!well) this.failed({ hard: false });
      return;
    }
    if (!well) {
      this.#open();
      return;
    }
    this.#openUntil = undefined;
    this.#failures = 0;
  }

  #open(): void {
    const pause = Math.min(this.#longestPauseMs, this.#firstPauseMs * 2 ** this.#openings);
    this.#openings = Math.min(this.#openings + 1, 30);
    this.#openUntil = this.#now() + pause;
  }
}
