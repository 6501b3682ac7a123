/** Random checkpoints of gpt-oss in transformers' layouts, MXFP4 or not, and their logits in double precision. */
import type { Checkpoint } from './checkpoint.js';
import {
  add,
  attend,
  Doubles,
  dot,
  headsOf,
  largest,
  type Row,
  sigmoid,
  softmax,
  times,
  turn,
  yarn,
} from './double-precision.js';
import { toMxfp4 } from './mxfp4-codes.js';
import {
  type RawTensor,
  randomWeights,
  type WrittenOptions,
  writeCheckpoint,
} from './written-checkpoint.js';

export const gptOssConfig = {
  ...{ architectures: ['GptOssForCausalLM'], model_type: 'gpt_oss' },
  ...{ vocab_size: 320, hidden_size: 64, intermediate_size: 96, num_hidden_layers: 3 },
  ...{ num_attention_heads: 4, num_key_value_heads: 2, head_dim: 16, rms_norm_eps: 1e-5 },
  ...{ max_position_embeddings: 128, tie_word_embeddings: false, attention_bias: true },
  ...{ num_local_experts: 6, num_experts_per_tok: 2, sliding_window: 6 },
  layer_types: ['sliding_attention', 'full_attention', 'sliding_attention'],
  rope_theta: 10_000,
  rope_scaling: {
    ...{ rope_type: 'yarn', factor: 4, beta_fast: 32, beta_slow: 1, truncate: true },
    original_max_position_embeddings: 64,
  },
};

type Options = Partial<Omit<WrittenOptions, 'weights' | 'raw'>> & {
  /** Experts in MXFP4. */
  readonly coded?: boolean;
};

export function gptOssCheckpoint({ coded: asCodes = false, ...options }: Options = {}): Checkpoint {
  const config: Readonly<Record<string, unknown>> = options.config ?? gptOssConfig;
  const n = (key: string) => config[key] as number;
  const [width, inner, head] = [n('hidden_size'), n('intermediate_size'), n('head_dim')];
  const [queries, keys] = [n('num_attention_heads') * head, n('num_key_value_heads') * head];
  const experts = n('num_local_experts');
  const shapes = new Map<string, number[]>([
    ['model.embed_tokens.weight', [n('vocab_size'), width]],
    ['model.norm.weight', [width]],
    ['lm_head.weight', [n('vocab_size'), width]],
  ]);
  for (let layer = 0; layer < n('num_hidden_layers'); layer++) {
    const set = (part: string, shape: number[]) =>
      shapes.set(`model.layers.${layer}.${part}`, shape);
    set('input_layernorm.weight', [width]);
    set('post_attention_layernorm.weight', [width]);
    for (const [part, rows, columns] of [
      ...[['q', queries, width] as const, ['k', keys, width] as const],
      ...[['v', keys, width] as const, ['o', width, queries] as const],
    ]) {
      set(`self_attn.${part}_proj.weight`, [rows, columns]);
      set(`self_attn.${part}_proj.bias`, [rows]);
    }
    set('self_attn.sinks', [n('num_attention_heads')]);
    set('mlp.router.weight', [experts, width]);
    set('mlp.router.bias', [experts]);
    set('mlp.experts.gate_up_proj', [experts, width, 2 * inner]);
    set('mlp.experts.gate_up_proj_bias', [experts, 2 * inner]);
    set('mlp.experts.down_proj', [experts, inner, width]);
    set('mlp.experts.down_proj_bias', [experts, width]);
  }
  const { type = 'F32' } = options;
  const weights = randomWeights(shapes, { type });
  const raw = new Map<string, RawTensor | undefined>();
  if (asCodes) {
    for (const [name, { shape, values }] of weights) {
      if (!/experts\.\w+_proj$/.test(name)) continue;
      const made = coded(shape, values);
      raw.set(name, undefined);
      raw.set(`${name}_blocks`, made.blocks);
      raw.set(`${name}_scales`, made.scales);
      weights.set(name, { shape, values: made.values });
    }
  }
  const quantised = asCodes ? { quantization_config: { quant_method: 'mxfp4' } } : {};
  return writeCheckpoint({ ...options, config: { ...config, ...quantised }, weights, raw });
}

/** A tensor [experts, in, out] as blocks along `in`, [experts, out, in / 32, 16], and what they stand for. */
function coded(shape: readonly number[], given: Float32Array) {
  const [experts = 0, ins = 0, outs = 0] = shape;
  const place = (row: number, i: number) =>
    (Math.floor(row / outs) * ins + i) * outs + (row % outs);
  const { codes, scales, values } = toMxfp4(given, experts * outs, ins, place);
  const perRow = ins / 32;
  return {
    values,
    blocks: { dtype: 'U8', shape: [experts, outs, perRow, 16], bytes: codes },
    scales: { dtype: 'U8', shape: [experts, outs, perRow], bytes: scales },
  };
}

/** Logits after each token. */
export function gptOssLogits(checkpoint: Checkpoint, tokens: readonly number[]): Row[] {
  const d = new Doubles(checkpoint);
  const head = d.n('head_dim');
  const {
    factor,
    original_max_position_embeddings: original,
    truncate,
  } = checkpoint.config.rope_scaling as typeof gptOssConfig.rope_scaling;
  const base = d.n('rope_theta');
  const slower = yarn({ base, dimensions: head, factor, original, whole: truncate });
  const rope = { base, slower, magnitude: 1 + 0.1 * Math.log(factor) };
  let rows = tokens.map((token) => d.embed(token));
  for (let index = 0; index < d.n('num_hidden_layers'); index++) {
    const layer = `model.layers.${index}`;
    const own = `${layer}.self_attn`;
    const normed = rows.map((x) => d.norm(x, `${layer}.input_layernorm`));
    const project = (part: 'q' | 'k') =>
      normed.map((x, position) =>
        headsOf(d.linear(x, `${own}.${part}_proj`), head).map((one) => turn(one, position, rope)),
      );
    const v = normed.map((x) => headsOf(d.linear(x, `${own}.v_proj`), head));
    const seen = attend(project('q'), project('k'), v, {
      scale: 1 / Math.sqrt(head),
      sinks: d.values(`${own}.sinks`),
      ...(index % 2 === 0 && { window: d.n('sliding_window') }),
    });
    rows = rows.map((x, t) => {
      const sum = add(x, d.linear(seen[t] as Row, `${own}.o_proj`));
      return add(sum, mixture(d, d.norm(sum, `${layer}.post_attention_layernorm`), `${layer}.mlp`));
    });
  }
  return d.logits(rows);
}

function mixture(d: Doubles, x: Row, mlp: string): Row {
  const logits = [...d.linear(x, `${mlp}.router`)];
  const chosen = largest(logits, d.n('num_experts_per_tok'));
  const shares = softmax(chosen.map((expert) => logits[expert] as number));
  const limit = 7;
  let result: Row = new Float64Array(x.length);
  for (const [place, expert] of chosen.entries()) {
    const both = product(d, x, `${mlp}.experts.gate_up_proj`, expert);
    const inner = Float64Array.from({ length: both.length / 2 }, (_, i) => {
      const gate = Math.min(both[2 * i] as number, limit);
      const up = Math.max(-limit, Math.min(both[2 * i + 1] as number, limit));
      return (up + 1) * gate * sigmoid(1.702 * gate);
    });
    const made = product(d, inner, `${mlp}.experts.down_proj`, expert);
    result = add(result, times(made, shares[place] as number));
  }
  return result;
}

/** An expert's product: matrices [in, out], and biases. */
function product(d: Doubles, x: Row, name: string, expert: number): Row {
  const bias = d.values(`${name}_bias`);
  const outs = bias.length / d.n('num_local_experts');
  const all = d.values(name);
  return Float64Array.from({ length: outs }, (_, out) => {
    const column = Float64Array.from(
      x,
      (_, i) => all[(expert * x.length + i) * outs + out] as number,
    );
    return dot(x, column) + (bias[expert * outs + out] as number);
  });
}
