/** Random checkpoints of DeepSeek V4 by the names of its releases, and their logits in double precision. */
import type { Checkpoint } from './checkpoint.js';
import {
  add,
  Doubles,
  dot,
  headsOf,
  largest,
  type Row,
  sigmoid,
  silu,
  softmax,
  times,
  turn,
  yarn,
} from './double-precision.js';
import { coded } from './fp8.js';
import { toMxfp4 } from './mxfp4-codes.js';
import {
  type RawTensor,
  randomWeights,
  type WrittenOptions,
  writeCheckpoint,
} from './written-checkpoint.js';

export const deepSeek4Config = {
  ...{ architectures: ['DeepseekV4ForCausalLM'], model_type: 'deepseek_v4' },
  ...{ vocab_size: 320, hidden_size: 64, moe_intermediate_size: 64, num_hidden_layers: 4 },
  ...{ num_attention_heads: 4, num_key_value_heads: 1, head_dim: 64, qk_rope_head_dim: 16 },
  ...{ q_lora_rank: 32, o_groups: 2, o_lora_rank: 32, sliding_window: 24, rms_norm_eps: 1e-6 },
  ...{ compress_ratios: [4, 0, 128, 4, 0], compress_rope_theta: 160_000, rope_theta: 10_000 },
  // So many heads of the index that no two blocks are rated 0.
  ...{ index_n_heads: 16, index_head_dim: 64, index_topk: 7, hc_mult: 4, hc_sinkhorn_iters: 20 },
  ...{ hc_eps: 1e-6, n_routed_experts: 6, n_shared_experts: 1, num_experts_per_tok: 2 },
  ...{ num_hash_layers: 1, scoring_func: 'sqrtsoftplus', norm_topk_prob: true, hidden_act: 'silu' },
  ...{ routed_scaling_factor: 1.5, swiglu_limit: 1.5, max_position_embeddings: 1024 },
  ...{ tie_word_embeddings: false, num_nextn_predict_layers: 1 },
  rope_scaling: {
    ...{ type: 'yarn', factor: 4, beta_fast: 32, beta_slow: 1 },
    original_max_position_embeddings: 256,
  },
};

/** More than a long block, in which a token comes more than once. */
export const longText = Array.from({ length: 140 }, (_, at) => (at * at * 7 + 3 * at + 11) % 300);

type Options = Partial<Omit<WrittenOptions, 'weights'>> & {
  /** As releases are: experts in MXFP4, most other matrices in FP8. */
  readonly released?: boolean;
};

export function deepSeek4Checkpoint({ released = false, ...options }: Options = {}): Checkpoint {
  const config: Readonly<Record<string, unknown>> = options.config ?? deepSeek4Config;
  const n = (key: string) => config[key] as number;
  const [width, head, heads] = [n('hidden_size'), n('head_dim'), n('num_attention_heads')];
  const [rank, streams, inner] = [n('q_lora_rank'), n('hc_mult'), n('moe_intermediate_size')];
  const ratios = deepSeek4Config.compress_ratios;
  const mixes = (2 + streams) * streams;
  const shapes = new Map<string, number[]>([
    ['embed.weight', [n('vocab_size'), width]],
    ['norm.weight', [width]],
    ['head.weight', [n('vocab_size'), width]],
    ['hc_head_fn', [streams, streams * width]],
    ['hc_head_base', [streams]],
    ['hc_head_scale', [1]],
    // A block of multi-token prediction, which is left out.
    ['mtp.0.enorm.weight', [width]],
  ]);
  for (let layer = 0; layer < n('num_hidden_layers'); layer++) {
    const set = (part: string, shape: number[]) => shapes.set(`layers.${layer}.${part}`, shape);
    for (const of of ['attn', 'ffn']) {
      set(`hc_${of}_fn`, [mixes, streams * width]);
      set(`hc_${of}_base`, [mixes]);
      set(`hc_${of}_scale`, [3]);
      set(`${of}_norm.weight`, [width]);
    }
    set('attn.attn_sink', [heads]);
    set('attn.wq_a.weight', [rank, width]);
    set('attn.q_norm.weight', [rank]);
    set('attn.wq_b.weight', [heads * head, rank]);
    set('attn.wkv.weight', [head, width]);
    set('attn.kv_norm.weight', [head]);
    const [groups, short] = [n('o_groups'), n('o_lora_rank')];
    set('attn.wo_a.weight', [groups * short, (heads * head) / groups]);
    set('attn.wo_b.weight', [width, groups * short]);
    const ratio = ratios[layer] ?? 0;
    const maker = (at: string, size: number) => {
      const channels = (ratio === 4 ? 2 : 1) * size;
      set(`${at}.ape`, [ratio, channels]);
      set(`${at}.wkv.weight`, [channels, width]);
      set(`${at}.wgate.weight`, [channels, width]);
      set(`${at}.norm.weight`, [size]);
    };
    if (ratio > 0) maker('attn.compressor', head);
    if (ratio === 4) {
      maker('attn.indexer.compressor', n('index_head_dim'));
      set('attn.indexer.wq_b.weight', [n('index_n_heads') * n('index_head_dim'), rank]);
      set('attn.indexer.weights_proj.weight', [n('index_n_heads'), width]);
    }
    set('ffn.gate.weight', [n('n_routed_experts'), width]);
    if (layer >= n('num_hash_layers')) set('ffn.gate.bias', [n('n_routed_experts')]);
    const networks = Array.from({ length: n('n_routed_experts') }, (_, e) => `ffn.experts.${e}`);
    for (const at of [...networks, 'ffn.shared_experts']) {
      set(`${at}.w1.weight`, [inner, width]);
      set(`${at}.w2.weight`, [width, inner]);
      set(`${at}.w3.weight`, [inner, width]);
    }
  }
  const { type = 'F32' } = options;
  const weights = randomWeights(shapes, { type });
  const raw = new Map<string, RawTensor | undefined>();
  raw.set('layers.0.ffn.gate.tid2eid', table(config));
  for (const [name, tensor] of released ? weights : []) {
    const scale = name.replace(/weight$/, 'scale');
    const [rows = 0, columns = 0] = tensor.shape;
    if (/\.experts\.\d+\./.test(name)) {
      const made = toMxfp4(tensor.values, rows, columns);
      raw.set(name, { dtype: 'I8', shape: [rows, columns / 2], bytes: made.codes });
      raw.set(scale, { dtype: 'F8_E8M0', shape: [rows, columns / 32], bytes: made.scales });
      weights.set(name, { ...tensor, values: made.values });
    } else if (/\.(wq_a|wq_b|wkv|wo_a|wo_b|w[123])\.weight$/.test(name) && !name.includes('comp')) {
      const made = coded(tensor, { size: 128, exponents: true });
      raw.set(name, made.codes);
      raw.set(scale, made.scales);
      weights.set(name, made.weights);
    }
  }
  return writeCheckpoint({ ...options, config, weights, raw });
}

/** Experts of a token, where its number chooses them. */
const expertsOf = (token: number, experts: number, used: number): number[] =>
  Array.from({ length: used }, (_, place) => (token + place * 2) % experts);

function table(config: Readonly<Record<string, unknown>>): RawTensor {
  const [size, used] = [config.vocab_size as number, config.num_experts_per_tok as number];
  const numbers = Array.from({ length: size }, (_, token) =>
    expertsOf(token, config.n_routed_experts as number, used),
  );
  const bytes = new Uint8Array(BigInt64Array.from(numbers.flat(), BigInt).buffer);
  return { dtype: 'I64', shape: [size, used], bytes };
}

/** The tables of tokens' experts. */
export const deepSeek4Tables: ReadonlyMap<string, RawTensor> = new Map([
  ['layers.0.ffn.gate.tid2eid', table(deepSeek4Config)],
]);

/** What transformers calls layers, by the positions of a block. */
export const deepSeek4Kinds: Readonly<Record<number, string>> = {
  0: 'sliding_attention',
  4: 'compressed_sparse_attention',
  128: 'heavily_compressed_attention',
};

/** Logits after each token. */
export function deepSeek4Logits(checkpoint: Checkpoint, tokens: readonly number[]): Row[] {
  const d = new Doubles(checkpoint);
  const streams = d.n('hc_mult');
  let rows = tokens.map((token) => {
    const x = d.embed(token, 'embed.weight');
    return Float64Array.from({ length: streams * x.length }, (_, i) => x[i % x.length] as number);
  }) as Row[];
  for (let layer = 0; layer < d.n('num_hidden_layers'); layer++) {
    const at = `layers.${layer}`;
    const before = rows.map((x) => join(d, x, `${at}.hc_attn`));
    const normed = before.map(({ sum }) => d.norm(sum, `${at}.attn_norm`));
    const seen = attention(d, normed, `${at}.attn`, deepSeek4Config.compress_ratios[layer] ?? 0);
    rows = rows.map((x, t) => spread(seen[t] as Row, x, before[t] as Joined));
    rows = rows.map((x, t) => {
      const joined = join(d, x, `${at}.hc_ffn`);
      const y = d.norm(joined.sum, `${at}.ffn_norm`);
      return spread(network(d, y, `${at}.ffn`, tokens[t] as number), x, joined);
    });
  }
  return rows.map((x) => d.linear(d.norm(join(d, x, 'hc_head').sum, 'norm'), 'head'));
}

interface Joined {
  readonly sum: Row;
  readonly post: readonly number[];
  /** From stream to stream. */
  readonly mix: readonly (readonly number[])[];
}

const unit = (x: Row, epsilon: number) => times(x, 1 / Math.sqrt(dot(x, x) / x.length + epsilon));

/** A sum of the streams, and how what is made of it goes back to them. */
function join(d: Doubles, x: Row, name: string): Joined {
  const [streams, epsilon] = [d.n('hc_mult'), d.n('hc_eps')];
  const width = x.length / streams;
  const [base, scale] = [d.values(`${name}_base`), d.values(`${name}_scale`)];
  const made = d.matrix(unit(x, d.n('rms_norm_eps')), `${name}_fn`, 0, base.length);
  const weight = (i: number, part: number) =>
    (made[i] as number) * (scale[part] as number) + (base[i] as number);
  const every = Array.from({ length: streams }, (_, s) => s);
  const pre = every.map((s) => sigmoid(weight(s, 0)) + epsilon);
  const sum = Float64Array.from({ length: width }, (_, i) =>
    every.reduce((all, s) => all + (pre[s] as number) * (x[s * width + i] as number), 0),
  );
  if (base.length === streams) return { sum, post: [], mix: [] };
  const post = every.map((s) => 2 * sigmoid(weight(streams + s, 1)));
  let mix = every.map((from) =>
    softmax(every.map((to) => weight(streams * (2 + from) + to, 2))).map((p) => p + epsilon),
  );
  const total = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) + epsilon;
  const columns = () => {
    const sums = every.map((to) => total(mix.map((row) => row[to] as number)));
    mix = mix.map((row) => row.map((value, to) => value / (sums[to] as number)));
  };
  columns();
  for (let round = 1; round < d.n('hc_sinkhorn_iters'); round++) {
    mix = mix.map((row) => row.map((value) => value / total(row)));
    columns();
  }
  return { sum, post, mix };
}

function spread(y: Row, x: Row, { post, mix }: Joined): Row {
  return x.map((_, at) => {
    const [to, i] = [Math.floor(at / y.length), at % y.length];
    const kept = mix.reduce(
      (all, row, from) => all + (row[to] as number) * (x[from * y.length + i] as number),
      0,
    );
    return (post[to] as number) * (y[i] as number) + kept;
  });
}

function attention(d: Doubles, rows: readonly Row[], own: string, ratio: number): Row[] {
  const [head, rotated] = [d.n('head_dim'), d.n('qk_rope_head_dim')];
  const { factor, original_max_position_embeddings: original } = deepSeek4Config.rope_scaling;
  const base = d.n(ratio === 0 ? 'rope_theta' : 'compress_rope_theta');
  const slower = yarn({ base, dimensions: rotated, factor, original });
  const rope = { base, neighbours: true, ...(ratio > 0 && { slower }) };
  /** The last elements of a head turned. */
  const tail = (x: Row, position: number): Row => {
    const plain = x.length - rotated;
    return Float64Array.from([...x.slice(0, plain), ...turn(x.slice(plain), position, rope)]);
  };
  const shorter = rows.map((x) => d.norm(d.linear(x, `${own}.wq_a`), `${own}.q_norm`));
  const keys = rows.map((x, t) => tail(d.norm(d.linear(x, `${own}.wkv`), `${own}.kv_norm`), t));
  const blocks =
    ratio > 0 ? blockRows(d, rows, `${own}.compressor`, { ratio, size: head, tail }) : [];
  const chosen = ratio === 4 ? choices(d, rows, shorter, `${own}.indexer`, tail) : undefined;
  const sinks = d.values(`${own}.attn_sink`);
  return rows.map((_, t) => {
    const visible = blocks.slice(0, ratio > 0 ? Math.floor((t + 1) / ratio) : 0);
    const kept = visible.filter((_, b) => chosen === undefined || chosen[t]?.has(b));
    const seen = [...keys.slice(Math.max(0, t - d.n('sliding_window') + 1), t + 1), ...kept];
    const all = headsOf(d.linear(shorter[t] as Row, `${own}.wq_b`), head).flatMap((one, h) => {
      const query = tail(unit(one, d.n('rms_norm_eps')), t);
      const scores = seen.map((key) => dot(query, key) / Math.sqrt(head));
      const shares = softmax([...scores, sinks[h] as number]);
      const zero: Row = new Float64Array(head);
      const value = seen.reduce((sum, key, s) => add(sum, times(key, shares[s] as number)), zero);
      return [...tail(value, -t)];
    });
    const groups = headsOf(Float64Array.from(all), all.length / d.n('o_groups'));
    const short = d.n('o_lora_rank');
    const parts = groups.flatMap((x, g) => [
      ...d.matrix(x, `${own}.wo_a.weight`, g * short, short),
    ]);
    return d.linear(Float64Array.from(parts), `${own}.wo_b`);
  });
}

interface BlockOptions {
  readonly ratio: number;
  readonly size: number;
  readonly tail: (x: Row, position: number) => Row;
}

/** A row for each whole block: softmaxes over its positions, channel by channel. */
function blockRows(
  d: Doubles,
  rows: readonly Row[],
  name: string,
  { ratio, size, tail }: BlockOptions,
): Row[] {
  const overlaps = ratio === 4;
  const channels = overlaps ? 2 * size : size;
  const values = rows.map((x) => d.linear(x, `${name}.wkv`));
  const ape = d.values(`${name}.ape`);
  const gates = rows.map((x, t) =>
    add(
      d.linear(x, `${name}.wgate`),
      ape.subarray((t % ratio) * channels, ((t % ratio) + 1) * channels),
    ),
  );
  return Array.from({ length: Math.floor(rows.length / ratio) }, (_, b) => {
    const first = b * ratio;
    const made = Float64Array.from({ length: size }, (_, i) => {
      // Positions and the channel that counts of each: of the block before those in front.
      const places: (readonly [number, number])[] = [];
      for (let t = first - ratio; overlaps && b > 0 && t < first; t++) places.push([t, i]);
      for (let t = first; t < first + ratio; t++) places.push([t, overlaps ? size + i : i]);
      const shares = softmax(places.map(([t, channel]) => gates[t]?.[channel] as number));
      return places.reduce(
        (sum, [t, channel], at) => sum + (shares[at] as number) * (values[t]?.[channel] as number),
        0,
      );
    });
    return tail(d.norm(made, `${name}.norm`), first);
  });
}

/** For each row the blocks that the indexer chooses. */
function choices(
  d: Doubles,
  rows: readonly Row[],
  shorter: readonly Row[],
  name: string,
  tail: (x: Row, position: number) => Row,
): readonly ReadonlySet<number>[] {
  const [heads, size] = [d.n('index_n_heads'), d.n('index_head_dim')];
  const keys = blockRows(d, rows, `${name}.compressor`, { ratio: 4, size, tail });
  return rows.map((x, t) => {
    const weights = times(d.linear(x, `${name}.weights_proj`), 1 / Math.sqrt(heads * size));
    const queries = headsOf(d.linear(shorter[t] as Row, `${name}.wq_b`), size).map((one) =>
      tail(one, t),
    );
    const scores = keys
      .slice(0, Math.floor((t + 1) / 4))
      .map((key) =>
        queries.reduce(
          (sum, query, h) => sum + Math.max(0, dot(query, key)) * (weights[h] as number),
          0,
        ),
      );
    return new Set(largest(scores, d.n('index_topk')));
  });
}

function network(d: Doubles, x: Row, ffn: string, token: number): Row {
  const [experts, used] = [d.n('n_routed_experts'), d.n('num_experts_per_tok')];
  // What it calls a bias counts for the choice alone.
  const logits = [...d.matrix(x, `${ffn}.gate.weight`, 0, experts)];
  const ratings = logits.map((z) => Math.sqrt(Math.log1p(Math.exp(z))));
  const chosen = d.has(`${ffn}.gate.bias`)
    ? largest(
        ratings.map((rating, i) => rating + (d.values(`${ffn}.gate.bias`)[i] as number)),
        used,
      )
    : expertsOf(token, experts, used);
  const sum = chosen.reduce((all, i) => all + (ratings[i] as number), 0);
  const limit = d.n('swiglu_limit');
  const made = (at: string) => {
    const gate = d.linear(x, `${at}.w1`);
    const up = d.linear(x, `${at}.w3`);
    const inner = gate.map(
      (z, i) => silu(Math.min(z, limit)) * Math.max(-limit, Math.min(up[i] as number, limit)),
    );
    return d.linear(inner, `${at}.w2`);
  };
  let result = made(`${ffn}.shared_experts`);
  for (const i of chosen) {
    const share = ((ratings[i] as number) / sum) * d.n('routed_scaling_factor');
    result = add(result, times(made(`${ffn}.experts.${i}`), share));
  }
  return result;
}
