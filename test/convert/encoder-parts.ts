/** Parts of encoders in double precision, from a checkpoint's own tensors, and random tensors of such checkpoints. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Model } from '../../src/index.js';
import { randomNormal } from '../../src/synthetic/random-model.js';
import { temporaryFile } from '../support/tiny-model.js';
import { safetensors, type Weights } from './checkpoint.js';
import { add, dot, headsOf, type Row, softmax, times } from './double-precision.js';
import { writeWordPiece } from './wordpiece.js';

export type Gelu = (x: number) => number;

const at = (values: ArrayLike<number>, index: number) => values[index] as number;

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
    return Float64Array.from(this.values(name).subarray(index * width, (index + 1) * width));
  }

  /** With the bias that there may be. */
  linear(x: Row, name: string): Row {
    const bias = this.#weights.get(`${name}.bias`)?.values;
    const y = product(x, this.values(`${name}.weight`));
    return bias ? add(y, bias) : y;
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
  return Float64Array.from({ length: rows }, (_, row) => dot(x, all, (first + row) * x.length));
}

/**
 * Attention in both directions.
 * @param bias added to the scores of a head between two places.
 */
export function attendBoth(
  q: readonly Row[],
  k: readonly Row[],
  v: readonly Row[],
  heads: number,
  bias: (head: number, from: number, to: number) => number = () => 0,
): Row[] {
  const width = (q[0]?.length ?? 0) / heads;
  const [keys, values] = [k, v].map((rows) => rows.map((x) => headsOf(x, width))) as [
    Row[][],
    Row[][],
  ];
  return q.map((x, t) => {
    const seen = headsOf(x, width).map((query, head) => {
      const scores = keys.map(
        (key, s) => dot(query, key[head] as Row) / Math.sqrt(width) + bias(head, t, s),
      );
      return softmax(scores).reduce<Row>(
        (sum, share, s) => add(sum, times(values[s]?.[head] as Row, share)),
        new Float64Array(width),
      );
    });
    return Float64Array.from(seen.flatMap((head) => [...head]));
  });
}

/** The mean of a text's rows, of length 1. */
export function meanVector(rows: readonly Row[]): Row {
  const sum = rows.reduce((a, b) => add(a, b));
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

/** Writes a checkpoint that is pooled by the mean and cuts texts as `words`; its folder. */
export function encoderCheckpoint(config: object, weights: ReadonlyMap<string, Weights>): string {
  const folder = temporaryFile(`encoder-${Math.random().toString(36).slice(2)}`);
  mkdirSync(join(folder, '1_Pooling'), { recursive: true });
  const write = (name: string, value: object) =>
    writeFileSync(join(folder, name), JSON.stringify(value));
  write('config.json', config);
  writeWordPiece(folder);
  write('1_Pooling/config.json', { pooling_mode_mean_tokens: true });
  writeFileSync(join(folder, 'model.safetensors'), safetensors([...weights], 'F32'));
  return folder;
}

/**
 * Holds the vectors of an encoder against those of a reference.
 * @param bounds of a component's difference: with the engine's GELU, which comes from ggml's table, and the exact one
 */
export async function assertVectors(
  model: Model,
  reference: (ids: readonly number[], gelu: Gelu) => ArrayLike<number>,
  bounds: { readonly usual: number; readonly exact: number },
): Promise<void> {
  const texts = ['The rivers of Europe.', 'a', 'bc the unknown river of the europe a b c'];
  const { vectors } = await model.embed(texts);
  for (const [index, text] of texts.entries()) {
    const ids = model.tokenizer.encode(text);
    const worst = (gelu: Gelu) =>
      Math.max(
        ...Array.from(reference(ids, gelu), (value, i) =>
          Math.abs(value - (vectors[index]?.[i] ?? 9)),
        ),
      );
    const [usual, exact] = [worst(tanhGelu), worst(exactGelu)];
    assert.ok(usual < bounds.usual && exact < bounds.exact, `${text}: ${usual}, ${exact}`);
  }
}
