/**
 * A slow reference in double precision of DeepSeek V4, of its multi-token prediction block and of its DSpark drafter,
 * from their description: row after row, everything in plain loops. Shares nothing with `src/` but the names of sizes.
 */
import type { GgufContent } from '../../src/gguf/writer.js';
import type { DeepSeek4Form } from '../../src/synthetic/plan.js';
import {
  type BlockAnswer,
  blockRows,
  fusedRows,
  headFrom,
  linked,
  type ReferenceDflash,
} from './dflash-reference.js';
import {
  half,
  normed,
  plus,
  type ReferenceInput,
  type Row,
  type Tensors,
  times,
} from './reference.js';

export interface DeepSeek4Sizes {
  readonly layers: number;
  readonly embedding: number;
  readonly heads: number;
  readonly headDim: number;
  readonly experts: readonly [count: number, used: number];
  readonly deepseek4: DeepSeek4Form;
}

const epsilon = 1e-6;
const streams = 4;
const sigmoid = (z: number) => 1 / (1 + Math.exp(-z));
const sum = (values: Iterable<number>) => [...values].reduce((a, b) => a + b, 0);
const at = (x: ArrayLike<number>, index: number) => x[index] as number;

function unit(x: Row): Row {
  return normed(x, new Float64Array(x.length).fill(1));
}

/** The last elements of a head in pairs of neighbours; `turn` -1: back. */
function rope(x: Row, position: number, [base, rotated]: readonly [number, number], turn = 1): Row {
  const out = x.slice();
  const first = x.length - rotated;
  for (let i = 0; i < rotated / 2; i++) {
    const angle = turn * position * base ** ((-2 * i) / rotated);
    const [a, b] = [at(x, first + 2 * i), at(x, first + 2 * i + 1)];
    out[first + 2 * i] = a * Math.cos(angle) - b * Math.sin(angle);
    out[first + 2 * i + 1] = a * Math.sin(angle) + b * Math.cos(angle);
  }
  return out;
}

interface Mixed {
  readonly u: Row;
  readonly post: Row;
  readonly matrix: (to: number, from: number) => number;
}

/** What a sublayer sees of the streams X [streams * d], and how they are mixed behind it. */
function mixed(tensors: Tensors, name: string, X: Row): Mixed {
  const d = X.length / streams;
  const m = times(tensors.get(`${name}_fn.weight`), unit(X));
  const scale = tensors.get(`${name}_scale.weight`);
  const base = tensors.get(`${name}_base.weight`);
  const value = (index: number, part: number) => at(m, index) * at(scale, part) + at(base, index);
  const pre = [0, 1, 2, 3].map((s) => sigmoid(value(s, 0)) + epsilon);
  const u = new Float64Array(d).map((_, i) => sum(pre.map((p, s) => p * at(X, s * d + i))));
  if (m.length === streams) return { u, post: new Float64Array(), matrix: () => 0 };
  const post = Float64Array.from([0, 1, 2, 3], (s) => 2 * sigmoid(value(streams + s, 1)));
  // c[from][to]
  let c = [0, 1, 2, 3].map((from) => {
    const row = [0, 1, 2, 3].map((to) => Math.exp(value(8 + to + 4 * from, 2)));
    return row.map((e) => e / sum(row) + epsilon);
  });
  const overFrom = () => {
    const totals = [0, 1, 2, 3].map((to) => sum(c.map((row) => at(row, to))) + epsilon);
    c = c.map((row) => row.map((e, to) => e / at(totals, to)));
  };
  overFrom();
  for (let round = 1; round < 20; round++) {
    c = c.map((row) => row.map((e) => e / (sum(row) + epsilon)));
    overFrom();
  }
  return { u, post, matrix: (to, from) => at(c[from] as number[], to) };
}

function behind(y: Row, X: Row, { post, matrix }: Mixed): Row {
  const d = y.length;
  return X.map((_, index) => {
    const [to, i] = [Math.floor(index / d), index % d];
    return at(y, i) * at(post, to) + sum([0, 1, 2, 3].map((s) => at(X, s * d + i) * matrix(to, s)));
  });
}

/** Makes rows of blocks; keeps everything that it was ever shown. */
class Maker {
  readonly blocks: Row[] = [];
  readonly #kv: Row[] = [];
  readonly #gates: Row[] = [];

  constructor(
    readonly tensors: Tensors,
    readonly name: string,
    readonly ratio: number,
    readonly angles: readonly [number, number],
  ) {}

  show(h: Row): void {
    const { tensors, name, ratio } = this;
    const position = this.#kv.length;
    const kv = times(tensors.get(`${name}_kv.weight`), h);
    const ape = tensors.get(`${name}_ape.weight`);
    const start = (position % ratio) * kv.length;
    this.#kv.push(kv);
    this.#gates.push(
      plus(times(tensors.get(`${name}_gate.weight`), h), ape.slice(start, start + kv.length)),
    );
    if ((position + 1) % ratio !== 0) return;
    const norm = tensors.get(`${name}_norm.weight`);
    const begin = position + 1 - ratio;
    const width = norm.length;
    // [position, first channel]: of overlapping blocks the older half has the first channels.
    const members: [number, number][] = [];
    for (let p = ratio === 4 ? begin - ratio : begin; p <= position; p++) {
      if (p >= 0) members.push([p, ratio === 4 && p >= begin ? width : 0]);
    }
    const row = new Float64Array(width).map((_, c) => {
      const weights = members.map(([p, first]) => Math.exp(at(this.#gates[p] as Row, first + c)));
      const values = members.map(([p, first]) => at(this.#kv[p] as Row, first + c));
      return sum(values.map((value, index) => value * at(weights, index))) / sum(weights);
    });
    this.blocks.push(rope(normed(row, norm), begin, this.angles));
  }
}

/** One block of the model over the rows of a text, one after the other. */
class Layer {
  readonly #keys: Row[] = [];
  readonly #maker: Maker | undefined;
  readonly #index: Maker | undefined;
  readonly #angles: readonly [number, number];

  constructor(
    readonly tensors: Tensors,
    readonly name: string,
    readonly o: DeepSeek4Sizes,
    readonly ratio: number,
    /** Each token's experts; undefined: the best. */
    readonly table: Int32Array | undefined,
    readonly options: { readonly window?: number; readonly half?: boolean } = {},
  ) {
    this.#angles = [ratio === 0 ? 10000 : 160000, o.deepseek4.rotated];
    const maker = (kind: string) => new Maker(tensors, `${name}.${kind}`, ratio, this.#angles);
    if (ratio !== 0) this.#maker = maker('attn_compressor');
    if (ratio === 4) this.#index = maker('indexer_compressor');
  }

  weight(name: string): Row {
    return this.tensors.get(`${this.name}.${name}.weight`);
  }

  /** The next row, of a token: streams before to streams behind. */
  run(X: Row, token: number): Row {
    const first = mixed(this.tensors, `${this.name}.hc_attn`, X);
    const between = behind(this.attend(normed(first.u, this.weight('attn_norm'))), X, first);
    const second = mixed(this.tensors, `${this.name}.hc_ffn`, between);
    const y = this.network(normed(second.u, this.weight('ffn_norm')), token);
    return behind(y, between, second);
  }

  /** What a row keeps of itself. */
  store(h: Row): void {
    const kv = rope(
      normed(times(this.weight('attn_kv'), h), this.weight('attn_kv_a_norm')),
      this.#keys.length,
      this.#angles,
    );
    this.#keys.push(this.options.half ? kv.map(half) : kv);
  }

  attend(h: Row): Row {
    const position = this.#keys.length;
    this.store(h);
    this.#maker?.show(h);
    this.#index?.show(h);
    const first = Math.max(0, position + 1 - this.window);
    return this.seen(h, position, (short) => [
      ...this.#keys.slice(first),
      ...this.chosen(h, short),
    ]);
  }

  get window(): number {
    return Math.min(this.o.deepseek4.window, this.options.window ?? Number.POSITIVE_INFINITY);
  }

  /** The rows of a block at the text's end, which see those before and each other. */
  runBlock(rows: readonly Row[], tokens: readonly number[], causal: boolean): Row[] {
    const start = this.#keys.length;
    const before = rows.map((X) => mixed(this.tensors, `${this.name}.hc_attn`, X));
    const inputs = before.map(({ u }) => normed(u, this.weight('attn_norm')));
    for (const h of inputs) this.store(h);
    return rows.map((X, i) => {
      const position = start + i;
      const end = causal ? position + 1 : this.#keys.length;
      const keys = this.#keys.slice(Math.max(0, position + 1 - this.window), end);
      const attended = this.seen(inputs[i] as Row, position, () => keys);
      const between = behind(attended, X, before[i] as Mixed);
      const second = mixed(this.tensors, `${this.name}.hc_ffn`, between);
      const made = this.network(normed(second.u, this.weight('ffn_norm')), at(tokens, i));
      return behind(made, between, second);
    });
  }

  /** What the row of h at `position` gathers from keys. */
  seen(h: Row, position: number, keysOf: (short: Row) => readonly Row[]): Row {
    const { heads, headDim, deepseek4: form } = this.o;
    const short = normed(times(this.weight('attn_q_a'), h), this.weight('attn_q_a_norm'));
    const queries = times(this.weight('attn_q_b'), short);
    const keys = keysOf(short);
    const sinks = this.weight('attn_sinks');
    const seen = new Float64Array(heads * headDim);
    for (let head = 0; head < heads; head++) {
      const own = queries.slice(head * headDim, (head + 1) * headDim);
      const q = rope(unit(own), position, this.#angles);
      const dot = (k: Row) => sum(q.map((value, i) => value * at(k, i)));
      const weights = keys.map((k) => Math.exp(dot(k) / Math.sqrt(headDim)));
      const total = sum(weights) + Math.exp(at(sinks, head));
      const o = new Float64Array(headDim).map(
        (_, i) => sum(keys.map((k, index) => at(weights, index) * at(k, i))) / total,
      );
      seen.set(rope(o, position, this.#angles, -1), head * headDim);
    }
    const down = this.weight('attn_output_a');
    const [parts, width] = [form.outputGroups, seen.length / form.outputGroups];
    const matrix = down.length / parts;
    const groups = Array.from({ length: parts }, (_, g) => [
      ...times(down.slice(g * matrix, (g + 1) * matrix), seen.slice(g * width, (g + 1) * width)),
    ]);
    return times(this.weight('attn_output_b'), Float64Array.from(groups.flat()));
  }

  /** Rows of blocks that a row sees. */
  chosen(h: Row, short: Row): readonly Row[] {
    const blocks = this.#maker?.blocks ?? [];
    const { heads, keyLength, most } = this.o.deepseek4.index;
    if (this.#index === undefined || blocks.length <= most) return blocks;
    const position = this.#keys.length - 1;
    const queries = times(this.weight('indexer.attn_q_b'), short);
    const weights = times(this.weight('indexer.proj'), h);
    const scores = this.#index.blocks.map((key) => {
      const parts = Array.from({ length: heads }, (_, head) => {
        const q = queries.slice(head * keyLength, (head + 1) * keyLength);
        const turned = rope(q, position, this.#angles);
        return Math.max(0, sum(turned.map((v, i) => v * at(key, i)))) * at(weights, head);
      });
      return sum(parts) / Math.sqrt(keyLength * heads);
    });
    // Of equal scores the earlier block's counts as higher.
    const order = scores
      .map((_, index) => index)
      .sort((a, b) => at(scores, b) - at(scores, a) || a - b);
    return order.slice(0, most).map((index) => blocks[index] as Row);
  }

  network(y: Row, token: number): Row {
    const [count, used] = this.o.experts;
    const logits = times(this.weight('ffn_gate_inp'), y);
    const ratings = logits.map((z) => Math.sqrt(Math.log1p(Math.exp(z))));
    const bias = this.table ? undefined : this.tensors.get(`${this.name}.exp_probs_b.bias`);
    const order = Array.from({ length: count }, (_, e) => e).sort(
      (a, b) => at(ratings, b) + at(bias ?? ratings, b) - at(ratings, a) - at(bias ?? ratings, a),
    );
    const own = this.table?.slice(token * used, (token + 1) * used) ?? order.slice(0, used);
    const total = sum(Array.from(own, (e) => at(ratings, e)));
    const { limit } = this.o.deepseek4;
    const clamp = (z: number, low: number) => Math.max(low, Math.min(limit, z));
    const gated = (kind: string, expert: number | undefined) => {
      const matrix = (name: string) => {
        const all = this.weight(`${name}_${kind}`);
        const size = expert === undefined ? all.length : all.length / count;
        return all.slice((expert ?? 0) * size, ((expert ?? 0) + 1) * size);
      };
      const up = times(matrix('ffn_up'), y);
      const inner = times(matrix('ffn_gate'), y).map((z, i) => {
        const g = clamp(z, Number.NEGATIVE_INFINITY);
        return g * sigmoid(g) * clamp(at(up, i), -limit);
      });
      return times(matrix('ffn_down'), inner);
    };
    let out = gated('shexp', undefined);
    for (const e of own) {
      const weight = (1.5 * at(ratings, e)) / total;
      out = plus(
        out,
        gated('exps', e).map((value) => value * weight),
      );
    }
    return out;
  }
}

function layerOf(content: GgufContent, tensors: Tensors, o: DeepSeek4Sizes, layer: number): Layer {
  const { ratios, hashed } = o.deepseek4;
  const name = `blk.${layer}`;
  const found = content.tensors.find((one) => one.name === `${name}.ffn_gate_tid2eid.weight`);
  const table =
    layer < hashed && found?.data instanceof Uint8Array
      ? new Int32Array(found.data.slice().buffer)
      : undefined;
  return new Layer(tensors, name, o, ratios[layer % ratios.length] ?? 0, table);
}

const head = (tensors: Tensors, X: Row) => mixed(tensors, 'output_hc', X).u;

/** A token's embedding as four equal streams. */
function started(tensors: Tensors, token: number, embedding: number): Row {
  const x = [...tensors.row('token_embd.weight', token, embedding)];
  return Float64Array.from([...x, ...x, ...x, ...x]);
}

/** The mean of the four streams: what block drafters see of a layer's input. */
function meanRow(X: Row): Row {
  const d = X.length / streams;
  return X.slice(0, d).map((_, i) => sum([0, 1, 2, 3].map((s) => at(X, s * d + i))) / streams);
}

export interface DeepSeek4Rows {
  /** All four streams behind the last layer. */
  readonly streams: readonly Row[];
  /** The mean of the streams in front of each layer, and behind the last; by position. */
  readonly taps: readonly (readonly Row[])[];
  readonly logits: readonly Row[];
}

/** What a model makes of every position of a text. */
export function deepseek4Rows(
  content: GgufContent,
  tensors: Tensors,
  o: DeepSeek4Sizes,
  tokens: readonly number[],
): DeepSeek4Rows {
  const layers = Array.from({ length: o.layers }, (_, at) => layerOf(content, tensors, o, at));
  const taps = Array.from({ length: o.layers + 1 }, (): Row[] => []);
  const rows = tokens.map((token) => {
    let X = started(tensors, token, o.embedding);
    for (const [index, layer] of layers.entries()) {
      taps[index]?.push(meanRow(X));
      X = layer.run(X, token);
    }
    taps[o.layers]?.push(meanRow(X));
    return X;
  });
  const norm = tensors.get('output_norm.weight');
  const logits = rows.map((X) =>
    times(tensors.get('output.weight'), normed(head(tensors, X), norm)),
  );
  return { streams: rows, taps, logits };
}

/** Logits of each guess of the prediction block, where the guesses themselves are given. */
export function deepseek4MtpLogits(
  tensors: Tensors,
  o: DeepSeek4Sizes,
  text: { readonly tokens: readonly number[]; readonly streams: readonly Row[] },
  guesses: readonly number[],
  window: number,
): Row[] {
  const name = `blk.${o.layers}`;
  const layer = new Layer(tensors, name, o, 0, undefined, { window, half: true });
  const { tokens, streams: rows } = text;
  const result: Row[] = [];
  let before: Row = new Float64Array(streams * o.embedding);
  for (const [position, token] of [...tokens, ...guesses.slice(0, -1)].entries()) {
    if (position > 0 && position < tokens.length) before = rows[position - 1] as Row;
    const e = normed(
      tensors.row('token_embd.weight', token, o.embedding),
      layer.weight('nextn.enorm'),
    );
    const parts = [0, 1, 2, 3].map((s) => {
      const part = before.slice(s * o.embedding, (s + 1) * o.embedding);
      const hidden = normed(part, layer.weight('nextn.hnorm'));
      return [...times(layer.weight('nextn.eh_proj'), Float64Array.from([...e, ...hidden]))];
    });
    before = layer.run(Float64Array.from(parts.flat()), token);
    if (position < tokens.length - 1) continue;
    const own = tensors.has(`${name}.nextn.shared_head_norm.weight`);
    const norm = own ? layer.weight('nextn.shared_head_norm') : tensors.get('output_norm.weight');
    const matrix = tensors.has(`${name}.nextn.shared_head_head.weight`)
      ? layer.weight('nextn.shared_head_head')
      : tensors.get('output.weight');
    result.push(times(matrix, normed(head(tensors, before), norm)));
  }
  return result;
}

/** What a block of DeepSeek V4's DSpark drafter says of its guesses, where the guesses themselves are given. */
export function deepseek4DflashAnswer(
  input: ReferenceInput,
  sizes: DeepSeek4Sizes,
  o: ReferenceDflash,
  guesses: readonly number[],
): BlockAnswer {
  const { target, draft, tokens, rows, window } = input;
  const n = tokens.length - 1;
  const context = fusedRows(draft, rows.streams, o.targetLayers, n);
  const ids = [at(tokens, n), ...Array<number>(o.blockSize - 1).fill(o.maskToken)];
  let block = blockRows(input, o).map((x) => Float64Array.from([...x, ...x, ...x, ...x]));
  for (let index = 0; index < o.layers; index++) {
    const options = { window, half: true };
    const layer = new Layer(draft, `blk.${index}`, sizes, 0, undefined, options);
    for (const row of context) layer.store(row);
    block = layer.runBlock(block, ids, o.causal ?? false);
  }
  const rated = block.map((X) => head(draft, X));
  const matrix = draft.has('output.weight') ? draft.get('output.weight') : headFrom(target, draft);
  const norm = draft.get('output_norm.weight');
  const base = rated.map((row) => times(matrix, normed(row, norm)));
  return linked(input, o, guesses, { base, rated });
}
