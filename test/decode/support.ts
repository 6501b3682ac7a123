/** Random numbers, statistics and slow references that the tests of decoding share. */

/** A small seeded generator (splitmix-like), so that every test sees the same numbers. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A whole number of 32 bits. */
  word(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let x = this.#state;
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    return (x ^ (x >>> 16)) >>> 0;
  }

  /** In [0, 1). */
  uniform(): number {
    return this.word() / 0x100000000;
  }

  /** A whole number in [0, limit). */
  below(limit: number): number {
    return Math.floor(this.uniform() * limit);
  }

  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  logits(size: number, spread = 3): Float32Array {
    return Float32Array.from({ length: size }, () => this.normal() * spread);
  }
}

/**
 * Chi-square statistic as a standard normal deviate (Wilson-Hilferty); cells expected fewer than
 * ten times are pooled. Above 4 means: that is no chance.
 */
export function chiSquareDeviate(observed: ArrayLike<number>, expected: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < observed.length; i++) total += observed[i] as number;
  let statistic = 0;
  let cells = 0;
  let pooledObserved = 0;
  let pooledExpected = 0;
  for (let i = 0; i < observed.length; i++) {
    const e = (expected[i] as number) * total;
    const o = observed[i] as number;
    if (e === 0 && o > 0) return Number.POSITIVE_INFINITY;
    if (e < 10) {
      pooledExpected += e;
      pooledObserved += o;
    } else {
      statistic += (o - e) ** 2 / e;
      cells += 1;
    }
  }
  if (pooledExpected > 0) {
    statistic += (pooledObserved - pooledExpected) ** 2 / pooledExpected;
    cells += 1;
  }
  const freedom = cells - 1;
  if (freedom < 1) return 0;
  const spread = 2 / (9 * freedom);
  return (Math.cbrt(statistic / freedom) - (1 - spread)) / Math.sqrt(spread);
}

export function softmax(logits: ArrayLike<number>, temperature = 1): number[] {
  const values = Array.from(logits, (logit) => logit / temperature);
  const largest = Math.max(...values);
  const weights = values.map((value) => Math.exp(value - largest));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

/** Ids that top-k, then top-p, then min-p leave, by sorting everything; ascending. */
export function slowFilter(
  logits: Float32Array,
  settings: { temperature: number; topK: number; topP: number; minP: number },
): number[] {
  let order = Array.from(logits.keys()).sort(
    (a, b) => (logits[b] as number) - (logits[a] as number) || a - b,
  );
  if (settings.topK > 0) order = order.slice(0, settings.topK);
  const probabilities = softmax(
    order.map((id) => logits[id] as number),
    settings.temperature,
  );
  let size = order.length;
  if (settings.topP < 1) {
    let reached = 0;
    size = 0;
    do reached += probabilities[size++] as number;
    while (size < order.length && reached < settings.topP);
  }
  const floor = settings.minP * (probabilities[0] as number);
  return order
    .slice(0, size)
    .filter((_, i) => (probabilities[i] as number) >= floor)
    .sort((a, b) => a - b);
}
