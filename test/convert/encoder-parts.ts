/** Parts of encoders in double precision, from a checkpoint's own tensors. */
import { randomNormal } from '../../src/synthetic/random-model.js';
import type { Weights } from './checkpoint.js';

export type Row = readonly number[];
export type Gelu = (x: number) => number;

const at = (values: ArrayLike<number>, index: number) => values[index] as number;

export const plus = (a: Row, b: Row): Row => a.map((x, i) => x + at(b, i));
export const times = (a: Row, factor: number): Row => a.map((x) => x * factor);
export const multiplied = (a: Row, b: Row): Row => a.map((x, i) => x * at(b, i));

/** What checkpoints are trained with: Abramowitz and Stegun 7.1.5, exact to 1e-9. */
export const exactGelu: Gelu = (x) => {
  const z = x / Math.SQRT2;
  if (Math.abs(z) > 4) return (x / 2) * (1 + Math.sign(z));
  let [term, sum] = [z, z];
  for (let n = 1; n < 80; n++) {
    term *= (-z * z) / n;
    sum += term / (2 * n + 1);
  }
  return (x / 2) * (1 + (2 / Math.sqrt(Math.PI)) * sum);
};

/** What engines compute. */
export const tanhGelu: Gelu = (x) =>
  0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

export function softmax(scores: Row): Row {
  const most = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - most));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / total);
}

/** Operations with the tensors of a checkpoint. */
export class EncoderParts {
  readonly #weights: ReadonlyMap<string, Weights>;
  readonly #epsilon: number;

  constructor(weights: ReadonlyMap<string, Weights>, epsilon: number) {
    this.#weights = weights;
    this.#epsilon = epsilon;
  }

  values(name: string): Float32Array {
    const found = this.#weights.get(name);
    if (found === undefined) throw new Error(`No ${name}`);
    return found.values;
  }

  /** A row of a table. */
  row(name: string, index: number, width: number): Row {
    return [...this.values(name).subarray(index * width, (index + 1) * width)];
  }

  /** With the bias that there may be. */
  linear(x: Row, name: string): Row {
    const all = this.values(`${name}.weight`);
    const bias = this.#weights.get(`${name}.bias`)?.values;
    return product(x, all).map((value, i) => value + (bias ? at(bias, i) : 0));
  }

  /** A layer norm. */
  norm(x: Row, name: string): Row {
    const mean = x.reduce((a, b) => a + b, 0) / x.length;
    const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
    const scale = 1 / Math.sqrt(variance + this.#epsilon);
    const [weight, bias] = [this.values(`${name}.weight`), this.values(`${name}.bias`)];
    return x.map((value, i) => (value - mean) * scale * at(weight, i) + at(bias, i));
  }
}

/** A row through rows of a matrix. */
export function product(
  x: Row,
  all: ArrayLike<number>,
  first = 0,
  rows = all.length / x.length,
): Row {
  return Array.from({ length: rows }, (_, row) =>
    x.reduce((sum, value, i) => sum + value * at(all, (first + row) * x.length + i), 0),
  );
}

/**
 * Attention in both directions over `heads` heads.
 * @param bias added to the scores of a head between two places.
 */
export function attend(
  q: readonly Row[],
  k: readonly Row[],
  v: readonly Row[],
  heads: number,
  bias: (head: number, from: number, to: number) => number = () => 0,
): Row[] {
  return q.map((query, t) => {
    const width = query.length / heads;
    return Array.from({ length: heads }, (_, head) => {
      const part = (x: Row) => x.slice(head * width, (head + 1) * width);
      const own = part(query);
      const scores = k.map(
        (key, s) =>
          part(key).reduce((sum, x, i) => sum + x * at(own, i), 0) / Math.sqrt(width) +
          bias(head, t, s),
      );
      const shares = softmax(scores);
      return shares.reduce<Row>(
        (sum, share, s) => plus(sum, times(part(v[s] as Row), share)),
        own.map(() => 0),
      );
    }).flat();
  });
}

/** The mean of a text's rows, of length 1. */
export function meanVector(rows: readonly Row[]): Row {
  const sum = rows.reduce(plus);
  return times(sum, 1 / Math.hypot(...sum));
}

/** Random tensors, gathered by name. */
export class TensorMaker {
  readonly found = new Map<string, Weights>();

  add(name: string, shape: readonly number[], gain: number, mean = 0): void {
    const random = randomNormal(this.found.size + 1);
    const length = shape.reduce((a, b) => a * b, 1);
    const values = Float32Array.from({ length }, () => mean + gain * random());
    this.found.set(name, { shape, values });
  }

  linear(name: string, from: number, to: number, bias = true): void {
    this.add(`${name}.weight`, [to, from], 1 / Math.sqrt(from));
    if (bias) this.add(`${name}.bias`, [to], 0.2);
  }

  norm(name: string, width: number): void {
    this.add(`${name}.weight`, [width], 0.1, 1);
    this.add(`${name}.bias`, [width], 0.1);
  }
}
