/**
 * Slow references in double precision of block drafters, from the format's description: DFlash, DSpark and
 * DFlash2 with all that their files may have. Everything is computed from scratch at every question; nothing
 * is shared with `src/`.
 */
import type { DraftShape, RandomDflashOptions } from '../support/random-drafters.js';
import {
  type Cached,
  half,
  headOf,
  normed,
  plus,
  type ReferenceInput,
  type Row,
  ropeBase,
  type Tensors,
  times,
} from './reference.js';

/** What decides a block beside its tensors. */
export type ReferenceDflash = Omit<RandomDflashOptions, keyof DraftShape | 'ownTable' | 'ownHead'>;

export interface BlockAnswer {
  /** Logits of each guess, by the target's tokens; minus infinity for those ruled out. */
  readonly logits: readonly Row[];
  /** What the head for confidence says of each; none without one. */
  readonly confidence: readonly number[];
}

const at = (x: ArrayLike<number>, index: number) => x[index] as number;
const dot = (a: Row, b: Row) => a.reduce((sum, value, i) => sum + value * at(b, i), 0);
const sigmoid = (z: number) => 1 / (1 + Math.exp(-z));

function rms(x: Row): Row {
  return normed(x, new Float64Array(x.length).fill(1));
}

/** Context rows: taps in the order of the list, fused, behind their norm. */
export function fusedRows(
  draft: Tensors,
  streams: readonly (readonly Row[])[],
  taps: readonly number[],
  count: number,
): Row[] {
  return Array.from({ length: count }, (_, position) => {
    const row = taps.flatMap((tap) => [...(streams[tap]?.[position] ?? [])]);
    const fused = times(draft.get('fc.weight'), Float64Array.from(row));
    return normed(fused, draft.get('enc.output_norm.weight'));
  });
}

/** One layer of a drafter whose blocks are Qwen3's. */
class Layer {
  constructor(
    readonly tensors: Tensors,
    readonly name: string,
    readonly shape: ReferenceInput['shape'],
    readonly o: ReferenceDflash,
  ) {}

  weight(name: string): Row {
    return this.tensors.get(`${this.name}.${name}.weight`);
  }

  maybe(name: string): Row | undefined {
    const full = `${this.name}.${name}.weight`;
    return this.tensors.has(full) ? this.tensors.get(full) : undefined;
  }

  heads(x: Row): Row[] {
    const { headDim } = this.shape;
    return Array.from({ length: x.length / headDim }, (_, h) =>
      x.slice(h * headDim, (h + 1) * headDim),
    );
  }

  /** Pairs (i, i + half) of a head, by angles whose frequencies may be divided. */
  turned(head: Row, norm: Row, position: number): Row {
    const x = normed(head, norm);
    const out = x.slice();
    const pairs = x.length / 2;
    for (let i = 0; i < pairs; i++) {
      const divisor = this.o.divisors ? at(this.tensors.get('rope_freqs.weight'), i) : 1;
      const angle = (position * ropeBase ** ((-2 * i) / x.length)) / divisor;
      const [a, b] = [at(x, i), at(x, i + pairs)];
      out[i] = a * Math.cos(angle) - b * Math.sin(angle);
      out[i + pairs] = a * Math.sin(angle) + b * Math.cos(angle);
    }
    return out;
  }

  /** As the cache keeps them, in half precision. */
  keyAndValue(x: Row, position: number): Cached {
    const raw = this.heads(times(this.weight('attn_k'), x));
    const norm = this.weight('attn_k_norm');
    const k = raw.flatMap((head) => [...this.turned(head, norm, position)]);
    const v = this.o.valuesOfKeys
      ? raw.flatMap((head) => [...rms(head)])
      : [...times(this.weight('attn_v'), x)];
    return {
      position,
      k: Float64Array.from(k, half),
      v: Float64Array.from(v, half),
    };
  }

  attend(x: Row, position: number, cached: readonly Cached[]): Row {
    const { heads, kvHeads, headDim } = this.shape;
    const sinks = this.maybe('attn_sinks');
    const out: number[] = [];
    for (const [index, raw] of this.heads(times(this.weight('attn_q'), x)).entries()) {
      const q = this.turned(raw, this.weight('attn_q_norm'), position);
      const group = Math.floor((index * kvHeads) / heads);
      const part = (row: Row) => row.subarray(group * headDim, (group + 1) * headDim);
      const values = cached.map(({ v }) => part(v));
      const weights = cached.map(({ k }) => Math.exp(dot(q, part(k)) / Math.sqrt(headDim)));
      const total =
        weights.reduce((a, b) => a + b, 0) + (sinks === undefined ? 0 : Math.exp(at(sinks, index)));
      for (let i = 0; i < headDim; i++) {
        out.push(values.reduce((sum, v, c) => sum + at(weights, c) * at(v, i), 0) / total);
      }
    }
    return times(this.weight('attn_output'), Float64Array.from(out));
  }

  network(y: Row): Row {
    const up = times(this.weight('ffn_up'), y);
    const gelu = (z: number) =>
      0.5 * z * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (z + 0.044715 * z ** 3)));
    const gated = times(this.weight('ffn_gate'), y).map((z, i) => {
      const g = this.o.activation?.startsWith('gelu') ? gelu(z) : z * sigmoid(z);
      return g * at(up, i);
    });
    return times(this.weight('ffn_down'), gated);
  }

  /** A sublayer over all rows of the block, between its convolutions where the model has some. */
  around(part: 'attn' | 'ffn', rows: readonly Row[], sublayer: (rows: Row[]) => Row[]): Row[] {
    const { selector } = this.o;
    if (selector === undefined) return sublayer([...rows]);
    const { taps, group } = selector;
    const base = this.tensors.get(`${this.name}.${part}_conv_base`);
    const dynamic = rows.map((row) => times(this.weight(`${part}_conv_proj`), row));
    const convolve = (side: 0 | 1, x: readonly Row[]): Row[] =>
      x.map((_, t) => {
        const d = this.shape.embedding;
        return new Float64Array(d).map((_, c) => {
          let sum = 0;
          for (let tap = 0; tap <= Math.min(t, taps - 1); tap++) {
            const groups = d / group;
            const own = at(dynamic[t] as Row, (side * taps + tap) * groups + Math.floor(c / group));
            sum += (at(base, (side * taps + tap) * d + c) + own) * at(x[t - tap] as Row, c);
          }
          return sum;
        });
      });
    return convolve(1, sublayer(convolve(0, rows)));
  }
}

/** What a block says of its guesses, where the guesses themselves are given. */
export function dflashAnswer(
  input: ReferenceInput,
  o: ReferenceDflash,
  guesses: readonly number[],
): BlockAnswer {
  const { target, draft, shape, tokens, rows, window } = input;
  const n = tokens.length - 1;
  const context = fusedRows(draft, rows.streams, o.targetLayers, n);
  let x = blockRows(input, o);
  for (let index = 0; index < o.layers; index++) {
    const layer = new Layer(draft, `blk.${index}`, shape, o);
    const before = context.map((row, position) => layer.keyAndValue(row, position));
    const slides = o.sliding?.[1][index] ? o.sliding[0] : window;
    const add = (rows: readonly Row[], made: readonly Row[], norm: string) => {
      const weight = layer.maybe(norm);
      return rows.map((row, i) => {
        const y = made[i] as Row;
        return plus(row, weight === undefined ? y : normed(y, weight));
      });
    };
    const attended = layer.around(
      'attn',
      x.map((row) => normed(row, layer.weight('attn_norm'))),
      (inputs) => {
        const inside = inputs.map((row, i) => layer.keyAndValue(row, n + i));
        return inputs.map((row, i) => {
          const seen = [...before, ...inside].filter(
            ({ position }) =>
              n + i - position < Math.min(slides, window) && (!o.causal || position <= n + i),
          );
          return layer.attend(row, n + i, seen);
        });
      },
    );
    x = add(x, attended, 'post_attention_norm');
    const made = layer.around(
      'ffn',
      x.map((row) => normed(row, layer.weight('ffn_norm'))),
      (inputs) => inputs.map((row) => layer.network(row)),
    );
    x = add(x, made, 'post_ffw_norm');
    const [factor = 1] = layer.maybe('layer_output_scale') ?? [];
    x = x.map((row) => row.map((value) => value * factor));
  }
  const hidden = x.map((row) => normed(row, draft.get('output_norm.weight')));
  const head = draft.has('output.weight') ? draft.get('output.weight') : headFrom(target, draft);
  return linked(input, o, guesses, {
    base: hidden.map((row) => times(head, row)),
    rated: hidden,
  });
}

/** A table without a head also is the head. */
export function headFrom(target: Tensors, draft: Tensors): Row {
  return draft.has('token_embd.weight')
    ? draft.get('token_embd.weight')
    : target.get(headOf(target));
}

/** Embeddings of [last token, mask, mask, ...]. */
export function blockRows(
  { target, draft, shape, tokens }: ReferenceInput,
  o: ReferenceDflash,
): Row[] {
  const table = draft.has('token_embd.weight') ? draft : target;
  const last = tokens[tokens.length - 1] ?? 0;
  return [last, ...Array<number>(o.blockSize - 1).fill(o.maskToken)].map((token) =>
    table
      .row('token_embd.weight', token, shape.embedding)
      .map((value) => value * (o.embeddingScale ?? 1)),
  );
}

/** Each guess in the light of the one before it. `rated`: what confidence and selector read of a row. */
export function linked(
  { target, draft, tokens, shape }: ReferenceInput,
  o: ReferenceDflash,
  guesses: readonly number[],
  { base, rated }: { readonly base: readonly Row[]; readonly rated: readonly Row[] },
): BlockAnswer {
  const vocabulary = target.get('token_embd.weight').length / shape.embedding;
  const first = o.markov !== undefined && o.sampleFromAnchor !== false ? 0 : 1;
  const finish = (z: number) => {
    const scaled = z * (o.logitScale ?? 1);
    return o.softcap === undefined ? scaled : o.softcap * Math.tanh(scaled / o.softcap);
  };
  const spread = (row: Row): Row => {
    if (o.vocabulary === undefined) return row;
    const all = new Float64Array(vocabulary).fill(Number.NEGATIVE_INFINITY);
    for (const [index, token] of o.vocabulary.entries()) all[token] = at(row, index);
    return all;
  };
  const logits: Row[] = [];
  const confidence: number[] = [];
  for (let slot = first; slot < o.blockSize; slot++) {
    const guess = slot - first;
    const before = guess === 0 ? (tokens[tokens.length - 1] ?? 0) : guesses[guess - 1];
    if (before === undefined) break;
    const [z, e] = [base[slot] as Row, rated[slot] as Row];
    if (o.markov !== undefined) {
      const row = draft.row('markov_w1.weight', before, o.markov.rank);
      logits.push(spread(plus(z, times(draft.get('markov_w2.weight'), row)).map(finish)));
      if (!draft.has('conf_proj.weight')) continue;
      const both = Float64Array.from([...e, ...row]);
      const [bias = 0] = draft.has('conf_proj.bias') ? draft.get('conf_proj.bias') : [];
      confidence.push(sigmoid(dot(draft.get('conf_proj.weight'), both) + bias));
    } else if (o.selector !== undefined) {
      const { rank, most } = o.selector;
      const all = spread(z.map(finish));
      const order = Array.from(all.keys()).sort((a, b) => at(all, b) - at(all, a) || a - b);
      const own = draft.row('selector_predecessor.weight', before, rank);
      const gate = times(draft.get('selector_hidden.weight'), e);
      const weighed = own.map((value, i) => value * at(gate, i));
      const scores = new Float64Array(vocabulary).fill(Number.NEGATIVE_INFINITY);
      for (const token of order.slice(0, most)) {
        const after = draft.row('selector_successor.weight', token, rank);
        scores[token] = at(all, token) + dot(weighed, after);
      }
      logits.push(scores);
    } else {
      logits.push(spread(z.map(finish)));
    }
  }
  return { logits, confidence };
}
