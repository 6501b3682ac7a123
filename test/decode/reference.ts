/**
 * Slow references in double precision of a qwen3 target (or one of qwen35's layers of attention) and of multi-token prediction, written from the
 * formats' descriptions: plain loops over plain arrays, everything from scratch at every question. They
 * share nothing with `src/`.
 */
import type { GgufContent } from '../../src/gguf/writer.js';

export type Row = Float64Array<ArrayBuffer>;

export interface ReferenceShape {
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly embedding: number;
  /** Elements of a head that are rotated; default: all. */
  readonly rotated?: number;
}

const epsilon = 1e-6;
export const ropeBase = 10000;

/** The F32 tensors of a model as doubles. */
export class Tensors {
  readonly #values = new Map<string, Row>();

  constructor(content: GgufContent) {
    for (const { name, data } of content.tensors) {
      if (!(data instanceof Uint8Array)) throw new TypeError(`${name} is not in memory`);
      if (name === 'd2t') continue;
      const copy = data.slice();
      this.#values.set(name, Float64Array.from(new Float32Array(copy.buffer)));
    }
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  get(name: string): Row {
    const found = this.#values.get(name);
    if (found === undefined) throw new RangeError(`no tensor ${name}`);
    return found;
  }

  /** Row `index` of a table. */
  row(name: string, index: number, width: number): Row {
    return this.get(name).slice(index * width, (index + 1) * width);
  }
}

export function times(matrix: Row, x: Row): Row {
  const out = new Float64Array(matrix.length / x.length);
  for (let o = 0; o < out.length; o++) {
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += (matrix[o * x.length + i] ?? 0) * (x[i] ?? 0);
    out[o] = sum;
  }
  return out;
}

export function plus(a: Row, b: Row): Row {
  return a.map((value, i) => value + (b[i] ?? 0));
}

export function normed(x: Row, weight: Row): Row {
  const mean = x.reduce((sum, value) => sum + value * value, 0) / x.length;
  return x.map((value, i) => (value / Math.sqrt(mean + epsilon)) * (weight[i] ?? 0));
}

/** Each head on its own: RMS norm, then the rotation of pairs (i, i + half) of its first elements. */
function turned(x: Row, weight: Row, position: number, rotated = weight.length): Row {
  const size = weight.length;
  const out = new Float64Array(x.length);
  for (let head = 0; head < x.length; head += size) {
    const part = normed(x.slice(head, head + size), weight);
    out.set(part, head);
    for (let i = 0; i < rotated / 2; i++) {
      const angle = position * ropeBase ** ((-2 * i) / rotated);
      const [a, b] = [part[i] ?? 0, part[i + rotated / 2] ?? 0];
      out[head + i] = a * Math.cos(angle) - b * Math.sin(angle);
      out[head + i + rotated / 2] = a * Math.sin(angle) + b * Math.cos(angle);
    }
  }
  return out;
}

/** The nearest number of half precision: what a cache of F16 keeps. */
export function half(x: number): number {
  if (x === 0) return 0;
  const step = 2 ** (Math.max(-14, Math.floor(Math.log2(Math.abs(x)))) - 10);
  const low = Math.floor(x / step);
  const rest = x / step - low;
  const up = rest > 0.5 || (rest === 0.5 && low % 2 !== 0);
  return (low + (up ? 1 : 0)) * step;
}

export interface Cached {
  readonly position: number;
  readonly k: Row;
  readonly v: Row;
}

export class Block {
  constructor(
    readonly tensors: Tensors,
    readonly at: string,
    readonly shape: ReferenceShape,
  ) {}

  weight(name: string): Row {
    return this.tensors.get(`${this.at}.${name}.weight`);
  }

  /** Key and value of a row whose norm was taken already. */
  keyAndValue(x: Row, position: number): Cached {
    const norm = this.weight('attn_k_norm');
    const k = turned(times(this.weight('attn_k'), x), norm, position, this.shape.rotated);
    return { position, k, v: times(this.weight('attn_v'), x) };
  }

  /** What the row at `position` gathers of the cached rows that it may see. */
  attend(x: Row, position: number, cached: readonly Cached[]): Row {
    const { heads, kvHeads, headDim } = this.shape;
    const rows = times(this.weight('attn_q'), x);
    const gated = rows.length > heads * headDim;
    // A gated head has its queries, then its gate.
    const ofHead = (head: number, part: number) => {
      const start = gated ? (2 * head + part) * headDim : head * headDim;
      return rows.slice(start, start + headDim);
    };
    const all = Array.from({ length: heads }, (_, head) => [...ofHead(head, 0)]).flat();
    const norm = this.weight('attn_q_norm');
    const q = turned(Float64Array.from(all), norm, position, this.shape.rotated);
    const out = new Float64Array(heads * headDim);
    for (let head = 0; head < heads; head++) {
      const group = Math.floor((head * kvHeads) / heads) * headDim;
      const scores = cached.map(({ k }) => {
        let sum = 0;
        for (let i = 0; i < headDim; i++) sum += (q[head * headDim + i] ?? 0) * (k[group + i] ?? 0);
        return sum / Math.sqrt(headDim);
      });
      const most = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - most));
      const total = weights.reduce((a, b) => a + b, 0);
      for (const [index, { v }] of cached.entries()) {
        const share = (weights[index] ?? 0) / total;
        for (let i = 0; i < headDim; i++) {
          out[head * headDim + i] = (out[head * headDim + i] ?? 0) + share * (v[group + i] ?? 0);
        }
      }
      if (!gated) continue;
      for (const [i, z] of ofHead(head, 1).entries()) {
        out[head * headDim + i] = (out[head * headDim + i] ?? 0) / (1 + Math.exp(-z));
      }
    }
    return times(this.weight('attn_output'), out);
  }

  network(x: Row): Row {
    const own = this.tensors.has(`${this.at}.ffn_norm.weight`);
    const y = normed(x, this.weight(own ? 'ffn_norm' : 'post_attention_norm'));
    const gate = times(this.weight('ffn_gate'), y);
    const up = times(this.weight('ffn_up'), y);
    const inner = gate.map((z, i) => (z / (1 + Math.exp(-z))) * (up[i] ?? 0));
    return plus(x, times(this.weight('ffn_down'), inner));
  }
}

function rounded({ position, k, v }: Cached): Cached {
  return { position, k: k.map(half), v: v.map(half) };
}

export interface TargetRows {
  /** For each tap: the input of each layer, then the output of the last; by position. */
  readonly streams: readonly (readonly Row[])[];
  /** After the output norm. */
  readonly hidden: readonly Row[];
}

/** A qwen3 model over a whole text. */
export function targetRows(
  tensors: Tensors,
  shape: ReferenceShape,
  tokens: readonly number[],
): TargetRows {
  let x = tokens.map((token) => tensors.row('token_embd.weight', token, shape.embedding));
  const streams = [x];
  for (let layer = 0; layer < shape.layers; layer++) {
    const block = new Block(tensors, `blk.${layer}`, shape);
    const inputs = x.map((row) => normed(row, block.weight('attn_norm')));
    const cached = inputs.map((row, position) => block.keyAndValue(row, position));
    x = x.map((row, position) => {
      const seen = block.attend(inputs[position] as Row, position, cached.slice(0, position + 1));
      return block.network(plus(row, seen));
    });
    streams.push(x);
  }
  const weight = tensors.get('output_norm.weight');
  return { streams, hidden: x.map((row) => normed(row, weight)) };
}

export interface ReferenceInput {
  readonly target: Tensors;
  readonly draft: Tensors;
  readonly shape: ReferenceShape;
  /** t_0..t_n. */
  readonly tokens: readonly number[];
  readonly rows: TargetRows;
  /** Positions that a row of the drafter looks back on. */
  readonly window: number;
}

export function headOf(target: Tensors): string {
  return target.has('output.weight') ? 'output.weight' : 'token_embd.weight';
}

/**
 * Logits of each guess of a multi-token prediction block (`blk.<target layers>`), where the guesses
 * themselves are given.
 */
export function mtpLogits(input: ReferenceInput, guesses: readonly number[]): Row[] {
  const { target, draft, shape, tokens, rows, window } = input;
  const block = new Block(draft, `blk.${shape.layers}`, shape);
  const own = (name: string) => draft.has(`${block.at}.nextn.${name}.weight`);
  const cached: Cached[] = [];
  const result: Row[] = [];
  let before: Row = new Float64Array(shape.embedding);
  const text = [...tokens, ...guesses.slice(0, -1)];
  for (const [position, token] of text.entries()) {
    if (position > 0 && position < tokens.length) before = rows.hidden[position - 1] as Row;
    const table = own('embed_tokens')
      ? draft.row(`${block.at}.nextn.embed_tokens.weight`, token, shape.embedding)
      : target.row('token_embd.weight', token, shape.embedding);
    const e = normed(table, block.weight('nextn.enorm'));
    const h = normed(before, block.weight('nextn.hnorm'));
    const x = times(block.weight('nextn.eh_proj'), Float64Array.from([...e, ...h]));
    const inner = normed(x, block.weight('attn_norm'));
    cached.push(rounded(block.keyAndValue(inner, position)));
    if (position < tokens.length - 1) continue;
    const visible = cached.filter((row) => position - row.position < window);
    const y = block.network(plus(x, block.attend(inner, position, visible)));
    const last = own('shared_head_norm')
      ? block.weight('nextn.shared_head_norm')
      : target.get('output_norm.weight');
    before = normed(y, last);
    const head = own('shared_head_head')
      ? block.weight('nextn.shared_head_head')
      : target.get(headOf(target));
    result.push(times(head, before));
  }
  return result;
}
