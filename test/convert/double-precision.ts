/**
 * Parts of decoders in double precision, over a checkpoint's own names and layouts. Slow and plain on purpose;
 * shares nothing with the engine or the converter.
 */
import type { Checkpoint } from './checkpoint.js';

export type Row = Float64Array;

const at = (values: ArrayLike<number>, index: number) => values[index] as number;
export const silu = (x: number) => x / (1 + Math.exp(-x));
export const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
export const add = (a: Row, b: ArrayLike<number>): Row => a.map((value, i) => value + at(b, i));
export const times = (a: Row, factor: number): Row => a.map((value) => value * factor);

export function dot(a: ArrayLike<number>, b: ArrayLike<number>, start = 0): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += at(a, i) * at(b, start + i);
  return sum;
}

export function softmax(scores: readonly number[]): number[] {
  const most = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

/** x in heads of that many elements. */
export function headsOf(x: Row, length: number): Row[] {
  return Array.from({ length: x.length / length }, (_, h) => x.slice(h * length, (h + 1) * length));
}

export interface Turn {
  readonly base: number;
  /** Elements that are turned, from the first on. Default: all. */
  readonly dimensions?: number;
  /** Pairs are neighbours, or half of the turned elements apart. Default: apart. */
  readonly neighbours?: boolean;
  /** Factor of a pair's frequency, and of the result. */
  readonly slower?: (pair: number) => number;
  readonly magnitude?: number;
}

/** A head turned by its position. */
export function turn(x: Row, position: number, options: Turn): Row {
  const { base, dimensions = x.length, neighbours = false, slower, magnitude = 1 } = options;
  const half = dimensions / 2;
  const result = x.slice();
  for (let pair = 0; pair < half; pair++) {
    const angle = (position * (slower?.(pair) ?? 1)) / base ** ((2 * pair) / dimensions);
    const [i, j] = neighbours ? [2 * pair, 2 * pair + 1] : [pair, pair + half];
    const [c, s] = [Math.cos(angle) * magnitude, Math.sin(angle) * magnitude];
    result[i] = at(x, i) * c - at(x, j) * s;
    result[j] = at(x, j) * c + at(x, i) * s;
  }
  return result;
}

export interface YarnOptions {
  readonly base: number;
  readonly dimensions: number;
  readonly factor: number;
  readonly original: number;
  /** Whether the ends of the ramp are whole pairs. Default true. */
  readonly whole?: boolean;
}

/** YaRN's frequencies (arXiv 2309.00071): slow pairs by the factor, fast ones not, a ramp between. */
export function yarn({ base, dimensions, factor, original, whole = true }: YarnOptions) {
  const pairOf = (turns: number) =>
    (dimensions * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(base));
  const [low, high] = whole
    ? [Math.floor(pairOf(32)), Math.ceil(pairOf(1))]
    : [pairOf(32), pairOf(1)];
  const first = Math.max(low, 0);
  const last = Math.min(high, dimensions - 1);
  return (pair: number): number => {
    const ramp = Math.min(1, Math.max(0, (pair - first) / Math.max(0.001, last - first)));
    return ramp / factor + (1 - ramp);
  };
}

export interface Attention {
  readonly scale: number;
  readonly window?: number;
  /** For each head a score that takes away and gives nothing. */
  readonly sinks?: ArrayLike<number> | undefined;
}

/** What each row sees of those before it and itself: heads of q over heads of k and v, by groups. */
export function attend(
  q: readonly Row[][],
  k: readonly Row[][],
  v: readonly Row[][],
  { scale, window = Number.POSITIVE_INFINITY, sinks }: Attention,
): Row[] {
  return q.map((heads, t) => {
    const group = heads.length / (k[0] as Row[]).length;
    const first = Math.max(0, t - window + 1);
    const seen = heads.map((query, h) => {
      const of = Math.floor(h / group);
      const scores: number[] = [];
      for (let s = first; s <= t; s++) scores.push(scale * dot(query, (k[s] as Row[])[of] as Row));
      if (sinks !== undefined) scores.push(at(sinks, h));
      const shares = softmax(scores);
      let result: Row = new Float64Array(((v[0] as Row[])[of] as Row).length);
      for (let s = first; s <= t; s++) {
        result = add(result, times((v[s] as Row[])[of] as Row, at(shares, s - first)));
      }
      return result;
    });
    return Float64Array.from(seen.flatMap((head) => [...head]));
  });
}

/** The places of the largest values. */
export function largest(values: readonly number[], count: number): number[] {
  return values
    .map((value, index) => ({ value, index }))
    .sort((a, b) => b.value - a.value)
    .slice(0, count)
    .map(({ index }) => index);
}

/** A checkpoint's tensors as functions of rows. */
export class Doubles {
  readonly #checkpoint: Checkpoint;

  constructor(checkpoint: Checkpoint) {
    this.#checkpoint = checkpoint;
  }

  n(key: string): number {
    return this.#checkpoint.config[key] as number;
  }

  has(name: string): boolean {
    return this.#checkpoint.weights.has(name);
  }

  values(name: string): Float32Array {
    const found = this.#checkpoint.weights.get(name)?.values;
    if (found === undefined) throw new Error(`No ${name}`);
    return found;
  }

  /** Rows of a matrix in a tensor, from `first` on, times x. */
  matrix(x: Row, name: string, first: number, rows: number): Row {
    const all = this.values(name);
    return Float64Array.from({ length: rows }, (_, row) => dot(x, all, (first + row) * x.length));
  }

  linear(x: Row, name: string): Row {
    const y = this.matrix(x, `${name}.weight`, 0, this.values(`${name}.weight`).length / x.length);
    return this.has(`${name}.bias`) ? add(y, this.values(`${name}.bias`)) : y;
  }

  /** @param shift added to the weights. Default 0. */
  norm(x: Row, name: string, shift = 0): Row {
    const scale = 1 / Math.sqrt(dot(x, x) / x.length + this.n('rms_norm_eps'));
    const weight = this.values(`${name}.weight`);
    return x.map((value, i) => value * scale * (shift + at(weight, i)));
  }

  /** The network of three matrices. */
  gated(x: Row, name: string): Row {
    const up = this.linear(x, `${name}.up_proj`);
    const inner = this.linear(x, `${name}.gate_proj`).map((value, i) => silu(value) * at(up, i));
    return this.linear(inner, `${name}.down_proj`);
  }

  embed(token: number, name = 'model.embed_tokens.weight'): Row {
    const width = this.n('hidden_size');
    return Float64Array.from(this.values(name).subarray(token * width, (token + 1) * width));
  }

  /** Logits of rows behind the last layer. */
  logits(rows: readonly Row[], shift = 0): Row[] {
    const head = this.has('lm_head.weight') ? 'lm_head' : 'model.embed_tokens';
    return rows.map((x) => this.linear(this.norm(x, 'model.norm', shift), head));
  }
}
