/**
 * What things cost here: milliseconds by size, learnt from use. One table holds the passes of the
 * target by rows, another the proposals of a drafter by tokens. Knows no clock and no policy.
 */

interface Entry {
  ms: number;
  samples: number;
}

/** Weight of a new sample once a size is known. */
const learningRate = 0.1;
/** A size may take so much more than its share of a smaller size says. */
const plausible = 1.25;
/** A sample counts as at most this many times the usual. */
const clip = 1.5;

export class CostTable {
  readonly #entries = new Map<number, Entry>();
  #sizes: number[] = [];

  /** Largest size measured; 0 if none. */
  get largest(): number {
    return this.#sizes.at(-1) ?? 0;
  }

  /** How often anything was measured. */
  get measurements(): number {
    let sum = 0;
    for (const { samples } of this.#entries.values()) sum += samples;
    return sum;
  }

  /** How often this very size was measured. */
  samples(size: number): number {
    return this.#entries.get(size)?.samples ?? 0;
  }

  /**
   * Takes one measurement. The least of the first three counts, because first calls also pay for
   * memory and compilation; later outliers (another process, a pause) are cut.
   */
  record(size: number, ms: number): void {
    if (!(ms >= 0) || ms === Infinity) return;
    const entry = this.#entries.get(size);
    if (entry === undefined) {
      this.#entries.set(size, { ms, samples: 1 });
      this.#sizes = [...this.#entries.keys()].sort((a, b) => a - b);
      return;
    }
    entry.samples += 1;
    if (entry.samples <= 3) {
      entry.ms = Math.min(entry.ms, ms);
      return;
    }
    entry.ms += learningRate * (Math.min(ms, clip * entry.ms) - entry.ms);
  }

  /**
   * Expected milliseconds; undefined while nothing is known. Between sizes measured by a straight
   * line; beyond the largest, each step adds `slope` of the smallest size's cost. Never more than
   * a larger size was measured to take, nor much more than as many of a smaller one: that would be
   * an outlier.
   */
  estimate(size: number, slope: number): number | undefined {
    let estimate = this.#line(size, slope);
    if (estimate === undefined) return undefined;
    for (const known of this.#sizes) {
      const ms = this.#entries.get(known)?.ms ?? Infinity;
      const bound = known > size ? ms : (ms * plausible * size) / known;
      if (known !== size) estimate = Math.min(estimate, bound);
    }
    return estimate;
  }

  #line(size: number, slope: number): number | undefined {
    const exact = this.#entries.get(size);
    if (exact !== undefined) return exact.ms;
    let below: number | undefined;
    let above: number | undefined;
    for (const known of this.#sizes) {
      if (known < size) below = known;
      else if (above === undefined) above = known;
    }
    const at = (known: number): number => this.#entries.get(known)?.ms ?? 0;
    if (below !== undefined && above !== undefined) {
      const share = (size - below) / (above - below);
      return at(below) + share * (at(above) - at(below));
    }
    if (above !== undefined) return at(above);
    if (below === undefined) return undefined;
    const smallest = this.#sizes[0] ?? below;
    return at(below) + (size - below) * slope * (at(smallest) / Math.max(1, smallest));
  }

  /** Everything measured, by size. */
  toJSON(): Record<string, number> {
    return Object.fromEntries(
      this.#sizes.map((size) => [size, Number((this.#entries.get(size)?.ms ?? 0).toFixed(4))]),
    );
  }
}
