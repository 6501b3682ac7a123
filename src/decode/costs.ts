/**
 * What things cost here: milliseconds by size, learnt from use. One table holds the passes of the
 * target by rows, another the proposals of a drafter by tokens. Knows no clock and no policy.
 */

interface Entry {
  readonly size: number;
  ms: number;
  samples: number;
}

/**
 * Weights of a new sample once a size is known: what took longer counts less, since other programs
 * only ever make things slower. So every size comes near the time that it takes undisturbed, which is
 * what sizes can be compared by; a mean would say how busy the machine was while each was measured.
 */
const slowerRate = 0.05;
const fasterRate = 0.3;
/** A size may take so much more than its share of a smaller size says. */
const plausible = 1.25;
/** A sample counts as at most this many times the usual. */
const clip = 1.2;

export class CostTable {
  /** By size; searched in every step of decoding, so they are few and lie in a list. */
  readonly #entries: Entry[] = [];

  /** Largest size measured; 0 if none. */
  get largest(): number {
    return this.#entries.at(-1)?.size ?? 0;
  }

  /** How often anything was measured. */
  get measurements(): number {
    let sum = 0;
    for (const { samples } of this.#entries) sum += samples;
    return sum;
  }

  /** How often this very size was measured. */
  samples(size: number): number {
    return this.#find(size)?.samples ?? 0;
  }

  /**
   * Takes one measurement. The least of the first three counts, because first calls also pay for
   * memory and compilation.
   */
  record(size: number, ms: number): void {
    if (!(ms >= 0) || ms === Infinity) return;
    const entry = this.#find(size);
    if (entry === undefined) {
      this.#entries.push({ size, ms, samples: 1 });
      this.#entries.sort((a, b) => a.size - b.size);
      return;
    }
    entry.samples += 1;
    if (entry.samples <= 3) {
      entry.ms = Math.min(entry.ms, ms);
      return;
    }
    const difference = Math.min(ms, clip * entry.ms) - entry.ms;
    entry.ms += (difference > 0 ? slowerRate : fasterRate) * difference;
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
    for (const { size: known, ms } of this.#entries) {
      const bound = known > size ? ms : (ms * plausible * size) / known;
      if (known !== size && bound < estimate) estimate = bound;
    }
    return estimate;
  }

  #find(size: number): Entry | undefined {
    for (const entry of this.#entries) if (entry.size === size) return entry;
    return undefined;
  }

  #line(size: number, slope: number): number | undefined {
    let below: Entry | undefined;
    let above: Entry | undefined;
    for (const entry of this.#entries) {
      if (entry.size === size) return entry.ms;
      if (entry.size < size) below = entry;
      else above ??= entry;
    }
    if (below !== undefined && above !== undefined) {
      const share = (size - below.size) / (above.size - below.size);
      return below.ms + share * (above.ms - below.ms);
    }
    if (above !== undefined) return above.ms;
    if (below === undefined) return undefined;
    const smallest = this.#entries[0] ?? below;
    return below.ms + (size - below.size) * slope * (smallest.ms / Math.max(1, smallest.size));
  }

  /** Everything measured, by size. */
  toJSON(): Record<string, number> {
    return Object.fromEntries(this.#entries.map(({ size, ms }) => [size, Number(ms.toFixed(4))]));
  }
}
