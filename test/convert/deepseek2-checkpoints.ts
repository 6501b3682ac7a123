/** Random checkpoints of DeepSeek V2 and V3 in transformers' layout, and their logits in double precision. */
import type { Checkpoint } from './checkpoint.js';
import { add, attend, Doubles, headsOf, type Row, turn, yarn } from './double-precision.js';
import { type SparseKind, sparseNetwork, sparseShapes } from './sparse-reference.js';
import { randomWeights, type WrittenOptions, writeCheckpoint } from './written-checkpoint.js';

const sizes = {
  ...{ vocab_size: 320, hidden_size: 64, intermediate_size: 96, num_hidden_layers: 3 },
  ...{ num_attention_heads: 4, num_key_value_heads: 4, rms_norm_eps: 1e-6, hidden_act: 'silu' },
  ...{ max_position_embeddings: 256, tie_word_embeddings: false, attention_bias: false },
  ...{ kv_lora_rank: 32, qk_nope_head_dim: 24, qk_rope_head_dim: 16, v_head_dim: 20 },
  ...{ n_routed_experts: 8, num_experts_per_tok: 3, n_shared_experts: 2 },
  ...{ moe_intermediate_size: 32, first_k_dense_replace: 1, routed_scaling_factor: 1.5 },
  ...{ rope_theta: 10_000, moe_layer_freq: 1 },
};

/** As V2-Lite: queries of the row itself, a softmax, no groups. */
export const deepSeek2Config = {
  ...{ architectures: ['DeepseekV2ForCausalLM'], model_type: 'deepseek_v2', ...sizes },
  ...{ q_lora_rank: null, n_group: 1, topk_group: 1, topk_method: 'greedy' },
  ...{ scoring_func: 'softmax', norm_topk_prob: false },
};

/** As V3: queries of a shorter row, groups, YaRN. */
export const deepSeek3Config = {
  ...{ architectures: ['DeepseekV3ForCausalLM'], model_type: 'deepseek_v3', ...sizes },
  ...{ q_lora_rank: 48, n_group: 4, topk_group: 2, topk_method: 'noaux_tc' },
  ...{ scoring_func: 'sigmoid', norm_topk_prob: true, num_nextn_predict_layers: 1 },
  rope_scaling: {
    ...{ type: 'yarn', factor: 4, beta_fast: 32, beta_slow: 1, mscale: 0.7, mscale_all_dim: 0.7 },
    original_max_position_embeddings: 64,
  },
};

/** As GLM-4.7-Flash: no groups, no YaRN. */
export const glmFlashConfig = {
  ...{ architectures: ['Glm4MoeLiteForCausalLM'], model_type: 'glm4_moe_lite', ...sizes },
  ...{ q_lora_rank: 48, n_group: 1, topk_group: 1, topk_method: 'noaux_tc' },
  ...{ norm_topk_prob: true, num_nextn_predict_layers: 1 },
};

type Options = Partial<Omit<WrittenOptions, 'weights'>> & {
  readonly config: Readonly<Record<string, unknown>>;
  /** Whether the block of multi-token prediction is there. */
  readonly drafts?: boolean;
};

export function deepSeekCheckpoint({ config, drafts = false, ...options }: Options): Checkpoint {
  const n = (key: string) => config[key] as number;
  const width = n('hidden_size');
  const [heads, latent, rank] = [n('num_attention_heads'), n('kv_lora_rank'), n('q_lora_rank')];
  const [plain, rotated, value] = [n('qk_nope_head_dim'), n('qk_rope_head_dim'), n('v_head_dim')];
  const shapes = new Map<string, number[]>([
    ['model.embed_tokens.weight', [n('vocab_size'), width]],
    ['model.norm.weight', [width]],
    ['lm_head.weight', [n('vocab_size'), width]],
  ]);
  for (let layer = 0; layer < n('num_hidden_layers') + (drafts ? 1 : 0); layer++) {
    const set = (part: string, shape: number[]) =>
      shapes.set(`model.layers.${layer}.${part}`, shape);
    set('input_layernorm.weight', [width]);
    set('post_attention_layernorm.weight', [width]);
    const queries = heads * (plain + rotated);
    if (config.q_lora_rank === null) set('self_attn.q_proj.weight', [queries, width]);
    else {
      set('self_attn.q_a_proj.weight', [rank, width]);
      set('self_attn.q_a_layernorm.weight', [rank]);
      set('self_attn.q_b_proj.weight', [queries, rank]);
    }
    set('self_attn.kv_a_proj_with_mqa.weight', [latent + rotated, width]);
    set('self_attn.kv_a_layernorm.weight', [latent]);
    set('self_attn.kv_b_proj.weight', [heads * (plain + value), latent]);
    set('self_attn.o_proj.weight', [width, heads * value]);
    sparseShapes(set, config, layer);
    if (config.topk_method === 'noaux_tc' && layer >= n('first_k_dense_replace')) {
      set('mlp.gate.e_score_correction_bias', [n('n_routed_experts')]);
    }
    if (layer < n('num_hidden_layers')) continue;
    set('eh_proj.weight', [width, 2 * width]);
    for (const name of ['enorm', 'hnorm', 'shared_head.norm']) set(`${name}.weight`, [width]);
    set('embed_tokens.weight', [n('vocab_size'), width]);
    set('shared_head.head.weight', [n('vocab_size'), width]);
  }
  const { type = 'F32' } = options;
  const weights = randomWeights(shapes, { type });
  return writeCheckpoint({ config, weights, ...options });
}

/** Logits after each token. */
export function deepSeekLogits(checkpoint: Checkpoint, tokens: readonly number[]): Row[] {
  const { config } = checkpoint;
  const d = new Doubles(checkpoint);
  const sigmoid = config.topk_method === 'noaux_tc';
  const kind: SparseKind = {
    rating: sigmoid ? 'sigmoid' : 'softmax',
    normalises: sigmoid,
    groups: { count: d.n('n_group'), used: d.n('topk_group') },
  };
  const [plain, rotated, value] = ['qk_nope_head_dim', 'qk_rope_head_dim', 'v_head_dim'].map(
    (key) => d.n(key),
  ) as [number, number, number];
  const latent = d.n('kv_lora_rank');
  const scaling = config.rope_scaling as typeof deepSeek3Config.rope_scaling | undefined;
  const base = d.n('rope_theta');
  const slower =
    scaling &&
    yarn({
      ...{ base, dimensions: rotated, factor: scaling.factor },
      original: scaling.original_max_position_embeddings,
    });
  const rope = { base, neighbours: true, ...(slower && { slower }) };
  const growth = scaling ? 1 + 0.1 * scaling.mscale_all_dim * Math.log(scaling.factor) : 1;
  let rows = tokens.map((token) => d.embed(token));
  for (let index = 0; index < d.n('num_hidden_layers'); index++) {
    const layer = `model.layers.${index}`;
    const own = `${layer}.self_attn`;
    const normed = rows.map((x) => d.norm(x, `${layer}.input_layernorm`));
    const join = (a: Row, b: Row) => Float64Array.from([...a, ...b]);
    const q = normed.map((x, position) => {
      const all = d.has(`${own}.q_proj.weight`)
        ? d.linear(x, `${own}.q_proj`)
        : d.linear(
            d.norm(d.linear(x, `${own}.q_a_proj`), `${own}.q_a_layernorm`),
            `${own}.q_b_proj`,
          );
      return headsOf(all, plain + rotated).map((one) =>
        join(one.slice(0, plain), turn(one.slice(plain), position, rope)),
      );
    });
    const made = normed.map((x, position) => {
      const both = d.linear(x, `${own}.kv_a_proj_with_mqa`);
      const key = turn(both.slice(latent), position, rope);
      const row = d.norm(both.slice(0, latent), `${own}.kv_a_layernorm`);
      const heads = headsOf(d.linear(row, `${own}.kv_b_proj`), plain + value);
      return {
        k: heads.map((one) => join(one.slice(0, plain), key)),
        v: heads.map((one) => one.slice(plain)),
      };
    });
    const [k, v] = [made.map((row) => row.k), made.map((row) => row.v)];
    const seen = attend(q, k, v, { scale: growth ** 2 / Math.sqrt(plain + rotated) });
    rows = rows.map((x, t) => {
      const sum = add(x, d.linear(seen[t] as Row, `${own}.o_proj`));
      const y = d.norm(sum, `${layer}.post_attention_layernorm`);
      return add(sum, sparseNetwork(d, y, layer, kind));
    });
  }
  return d.logits(rows);
}
