/** How far apart two models' predictions are at one place, and summaries over many. */

/** A mean with its standard error. */
export interface Estimate {
  readonly mean: number;
  readonly error: number;
}

/** Values over the places of a text. */
export interface Distribution extends Estimate {
  readonly median: number;
  readonly p99: number;
  readonly max: number;
}

/** ln of the sum of e^logit, and the place of the largest logit. */
export function normalise(logits: Float32Array): { logSum: number; best: number } {
  let best = 0;
  for (let at = 1; at < logits.length; at++) {
    if ((logits[at] as number) > (logits[best] as number)) best = at;
  }
  const largest = logits[best] as number;
  let sum = 0;
  for (let at = 0; at < logits.length; at++) sum += Math.exp((logits[at] as number) - largest);
  return { logSum: largest + Math.log(sum), best };
}

/** D(p || q) from logits and the logarithms of their sums. */
export function divergence(p: Float32Array, pSum: number, q: Float32Array, qSum: number): number {
  let sum = 0;
  for (let at = 0; at < p.length; at++) {
    const logP = (p[at] as number) - pSum;
    const probability = Math.exp(logP);
    if (probability > 0) sum += probability * (logP - ((q[at] as number) - qSum));
  }
  // Rounding may leave a tiny negative number for equal distributions.
  return Math.max(0, sum);
}

/** Mean and standard error; the error is 0 of fewer than two values. */
export function mean(values: readonly number[]): Estimate {
  const count = values.length;
  const average = values.reduce((a, b) => a + b, 0) / count;
  const squares = values.reduce((sum, value) => sum + (value - average) ** 2, 0);
  return { mean: average, error: count < 2 ? 0 : Math.sqrt(squares / count / (count - 1)) };
}

/** Between the two nearest of ascending values. */
function percentile(sorted: Float64Array, share: number): number {
  const place = share * (sorted.length - 1);
  const below = sorted[Math.floor(place)] ?? 0;
  const above = sorted[Math.ceil(place)] ?? 0;
  return below + (above - below) * (place - Math.floor(place));
}

/** Summary of values in any order. */
export function distribution(values: readonly number[]): Distribution {
  const sorted = Float64Array.from(values).sort();
  return {
    ...mean([...sorted]),
    median: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
    max: sorted.at(-1) ?? 0,
  };
}
