/**
 * Slow references in double precision of a Gemma 4 in all its forms and of its drafter, written from the
 * formats' descriptions: plain loops over plain arrays, everything from scratch at every question. They
 * share nothing with `src/`.
 */
import {
  type Cached,
  normed,
  plus,
  type Row,
  type TargetRows,
  type Tensors,
  times,
} from './reference.js';

export interface Gemma4Sizes {
  readonly layers: number;
  readonly embedding: number;
  readonly heads: number;
  /** Of all positions, of the layers with a window: elements of a head, heads of keys. */
  readonly full: readonly [headDim: number, kvHeads: number];
  readonly windowed: readonly [headDim: number, kvHeads: number];
  readonly window: number;
  /** All but the last of so many layers have the window. */
  readonly pattern: number;
  /** Last layers that read another's rows. */
  readonly shared?: number;
  readonly perLayer?: number;
  readonly expertsUsed?: number;
}

/** What the drafter attends over, besides what the others read. */
export interface Gemma4Rows extends TargetRows {
  readonly windowed: readonly Cached[];
  readonly full: readonly Cached[];
}

const fullBase = 10000;
const windowBase = 5000;

const slides = ({ pattern }: Gemma4Sizes, layer: number) => layer % pattern < pattern - 1;

function gelu(z: number): number {
  return 0.5 * z * (1 + Math.tanh(0.7978845608028654 * (z + 0.044715 * z ** 3)));
}

function scaled(x: Row, factor: number): Row {
  return x.map((value) => value * factor);
}

/** RMS norm without weights. */
function bare(x: Row): Row {
  return normed(x, new Float64Array(x.length).fill(1));
}

/** Each head by itself. */
function byHead(x: Row, size: number, change: (head: Row) => Row): Row {
  const out = new Float64Array(x.length);
  for (let at = 0; at < x.length; at += size) out.set(change(x.slice(at, at + size)), at);
  return out;
}

/** Pairs (i, i + half) of a head, turned by position. */
function turned(x: Row, position: number, base: number, divisors: Row | undefined): Row {
  const half = x.length / 2;
  const out = new Float64Array(x.length);
  for (let i = 0; i < half; i++) {
    const angle = (position * base ** (-i / half)) / (divisors?.[i] ?? 1);
    const [a, b] = [x[i] ?? 0, x[i + half] ?? 0];
    out[i] = a * Math.cos(angle) - b * Math.sin(angle);
    out[i + half] = a * Math.sin(angle) + b * Math.cos(angle);
  }
  return out;
}

/** A layer of Gemma 4 or of its drafter: sizes of its heads, and its weights. */
class Layer {
  readonly headDim: number;
  readonly kvHeads: number;

  constructor(
    readonly tensors: Tensors,
    readonly sizes: Gemma4Sizes,
    readonly index: number,
  ) {
    [this.headDim, this.kvHeads] = slides(sizes, index) ? sizes.windowed : sizes.full;
  }

  weight(name: string): Row {
    return this.tensors.get(`blk.${this.index}.${name}`);
  }

  has(name: string): boolean {
    return this.tensors.has(`blk.${this.index}.${name}`);
  }

  norm(x: Row, name: string): Row {
    return normed(x, this.weight(`${name}.weight`));
  }

  #heads(x: Row, norm: string, position: number): Row {
    const windowed = slides(this.sizes, this.index);
    const divisors = windowed ? undefined : this.tensors.get('rope_freqs.weight');
    const base = windowed ? windowBase : fullBase;
    return byHead(x, this.headDim, (head) =>
      turned(this.norm(head, norm), position, base, divisors),
    );
  }

  keyAndValue(x: Row, position: number): Cached {
    const raw = times(this.weight('attn_k.weight'), x);
    const value = this.has('attn_v.weight') ? times(this.weight('attn_v.weight'), x) : raw;
    return {
      position,
      k: this.#heads(raw, 'attn_k_norm', position),
      v: byHead(value, this.headDim, bare),
    };
  }

  /** What the row at `position` gathers of the rows up to it that its window has. */
  attend(x: Row, position: number, cached: readonly Cached[]): Row {
    const { heads, window } = this.sizes;
    const q = this.#heads(times(this.weight('attn_q.weight'), x), 'attn_q_norm', position);
    const reach = slides(this.sizes, this.index) ? window : Number.POSITIVE_INFINITY;
    const seen = cached.filter(
      (row) => row.position <= position && position - row.position < reach,
    );
    const out = new Float64Array(heads * this.headDim);
    for (let head = 0; head < heads; head++) {
      const group = Math.floor((head * this.kvHeads) / heads) * this.headDim;
      const query = q.slice(head * this.headDim, (head + 1) * this.headDim);
      const scores = seen.map(({ k }) =>
        query.reduce((sum, value, i) => sum + value * (k[group + i] ?? 0), 0),
      );
      const most = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - most));
      const total = weights.reduce((a, b) => a + b, 0);
      for (const [index, { v }] of seen.entries()) {
        for (let i = 0; i < this.headDim; i++) {
          const at = head * this.headDim + i;
          out[at] = (out[at] ?? 0) + ((weights[index] ?? 0) / total) * (v[group + i] ?? 0);
        }
      }
    }
    return times(this.weight('attn_output.weight'), out);
  }

  /** What the network, and experts beside it, make of a row. */
  network(x: Row): Row {
    const gated = (gate: Row, up: Row, down: Row, y: Row) => {
      const inner = times(up, y);
      return times(
        down,
        times(gate, y).map((z, i) => gelu(z) * (inner[i] ?? 0)),
      );
    };
    const [gate, up, down] = ['gate', 'up', 'down'].map((name) =>
      this.weight(`ffn_${name}.weight`),
    ) as [Row, Row, Row];
    const dense = gated(gate, up, down, this.norm(x, 'ffn_norm'));
    const { expertsUsed } = this.sizes;
    if (expertsUsed === undefined || !this.has('ffn_gate_inp.weight')) return dense;
    const rated = scaled(bare(x), 1 / Math.sqrt(x.length)).map(
      (value, i) => value * (this.weight('ffn_gate_inp.scale')[i] ?? 0),
    );
    const logits = times(this.weight('ffn_gate_inp.weight'), rated);
    const chosen = [...logits.keys()]
      .sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0))
      .slice(0, expertsUsed);
    const odds = chosen.map((expert) => Math.exp((logits[expert] ?? 0) - Math.max(...logits)));
    const total = odds.reduce((a, b) => a + b, 0);
    const y = this.norm(x, 'pre_ffw_norm_2');
    let mixed: Row = new Float64Array(x.length);
    const part = (name: string, expert: number) => {
      const all = this.weight(name);
      const size = all.length / logits.length;
      return all.slice(expert * size, (expert + 1) * size);
    };
    for (const [index, expert] of chosen.entries()) {
      const both = part('ffn_gate_up_exps.weight', expert);
      const made = gated(
        both.slice(0, both.length / 2),
        both.slice(both.length / 2),
        part('ffn_down_exps.weight', expert),
        y,
      );
      const share =
        ((odds[index] ?? 0) / total) * (this.weight('ffn_down_exps.scale')[expert] ?? 0);
      mixed = plus(mixed, scaled(made, share));
    }
    return plus(this.norm(dense, 'post_ffw_norm_1'), this.norm(mixed, 'post_ffw_norm_2'));
  }

  /** The residual stream behind the layer; `own`: its embedding of the token. */
  run(x: Row, seen: Row, own: Row | undefined): Row {
    const a = plus(x, this.norm(seen, 'post_attention_norm'));
    let y = plus(a, this.norm(this.network(a), 'post_ffw_norm'));
    if (own !== undefined) {
      const gate = times(this.weight('inp_gate.weight'), y).map((z, i) => gelu(z) * (own[i] ?? 0));
      y = plus(y, this.norm(times(this.weight('proj.weight'), gate), 'post_norm'));
    }
    return scaled(y, this.weight('layer_output_scale.weight')[0] ?? 1);
  }
}

/** Every layer's embedding of a token, whose own embedding is `x`. */
function ownEmbeddings(tensors: Tensors, sizes: Gemma4Sizes, token: number, x: Row): Row[] {
  const { layers, perLayer = 0, embedding } = sizes;
  const rows = scaled(
    tensors.row('per_layer_token_embd.weight', token, perLayer * layers),
    Math.sqrt(perLayer),
  );
  const made = scaled(times(tensors.get('per_layer_model_proj.weight'), x), embedding ** -0.5);
  return Array.from({ length: layers }, (_, layer) => {
    const part = (of: Row) => of.slice(layer * perLayer, (layer + 1) * perLayer);
    const norm = normed(part(made), tensors.get('per_layer_proj_norm.weight'));
    return scaled(plus(norm, part(rows)), Math.SQRT1_2);
  });
}

/** A Gemma 4 over a whole text. */
export function gemma4Rows(
  tensors: Tensors,
  sizes: Gemma4Sizes,
  tokens: readonly number[],
): Gemma4Rows {
  const { layers, embedding, shared = 0, perLayer = 0 } = sizes;
  let x = tokens.map((token) =>
    scaled(tensors.row('token_embd.weight', token, embedding), Math.sqrt(embedding)),
  );
  const own = tokens.map((token, at) =>
    perLayer > 0 ? ownEmbeddings(tensors, sizes, token, x[at] as Row) : [],
  );
  const streams = [x];
  let [windowed, full]: [Cached[], Cached[]] = [[], []];
  for (let index = 0; index < layers; index++) {
    const layer = new Layer(tensors, sizes, index);
    const inputs = x.map((row) => layer.norm(row, 'attn_norm'));
    if (index < layers - shared) {
      const cached = inputs.map((row, position) => layer.keyAndValue(row, position));
      if (slides(sizes, index)) windowed = cached;
      else full = cached;
    }
    const cached = slides(sizes, index) ? windowed : full;
    x = x.map((row, at) => {
      const seen = layer.attend(inputs[at] as Row, at, cached);
      return layer.run(row, seen, own[at]?.[index]);
    });
    streams.push(x);
  }
  const norm = tensors.get('output_norm.weight');
  return { streams, hidden: x.map((row) => normed(row, norm)), windowed, full };
}

export interface AssistantReference {
  readonly target: Tensors;
  readonly draft: Tensors;
  /** The target's, and the drafter's own. */
  readonly width: number;
  readonly sizes: Gemma4Sizes;
  /** t_0..t_n. */
  readonly tokens: readonly number[];
  /** Of t_0..t_{n-1}. */
  readonly rows: Gemma4Rows;
}

/** Logits of each guess of Gemma 4's drafter, where the guesses themselves are given. */
export function assistantLogits(o: AssistantReference, guesses: readonly number[]): Row[] {
  const { target, draft, width, sizes, tokens, rows } = o;
  const last = tokens.length - 1;
  let h = rows.hidden[last - 1] as Row;
  return [tokens[last] ?? 0, ...guesses.slice(0, -1)].map((token) => {
    const e = scaled(target.row('token_embd.weight', token, width), Math.sqrt(width));
    let x = times(draft.get('nextn.pre_projection.weight'), Float64Array.from([...e, ...h]));
    for (let index = 0; index < sizes.layers; index++) {
      const layer = new Layer(draft, sizes, index);
      const cached = slides(sizes, index) ? rows.windowed : rows.full;
      const seen = layer.attend(layer.norm(x, 'attn_norm'), last, cached);
      x = layer.run(x, seen, undefined);
    }
    const y = normed(x, draft.get('output_norm.weight'));
    h = times(draft.get('nextn.post_projection.weight'), y);
    return times(draft.get('token_embd.weight'), y);
  });
}
