/** Random checkpoints of GLM-4 and GLM-4.5 in transformers' layout, and their logits in double precision. */
import { type Checkpoint, tokenizerJson } from './checkpoint.js';
import { add, attend, Doubles, headsOf, type Row, silu, turn } from './double-precision.js';
import { sparseNetwork, sparseShapes } from './sparse-reference.js';
import { randomWeights, type WrittenOptions, writeCheckpoint } from './written-checkpoint.js';

const sizes = {
  ...{ vocab_size: 320, hidden_size: 64, intermediate_size: 96, num_hidden_layers: 3 },
  ...{ num_attention_heads: 4, num_key_value_heads: 2, head_dim: 24, rms_norm_eps: 1e-5 },
  ...{ max_position_embeddings: 128, tie_word_embeddings: false, attention_bias: true },
  ...{ pad_token_id: 0, hidden_act: 'silu' },
  rope_parameters: { rope_type: 'default', rope_theta: 10_000, partial_rotary_factor: 0.5 },
};

const base = 10_000;
const rotated = 12;

export const glm4Config = { architectures: ['Glm4ForCausalLM'], model_type: 'glm4', ...sizes };

export const glm4MoeConfig = {
  ...{ architectures: ['Glm4MoeForCausalLM'], model_type: 'glm4_moe', ...sizes },
  ...{
    n_routed_experts: 8,
    num_experts_per_tok: 3,
    n_shared_experts: 1,
    moe_intermediate_size: 32,
  },
  ...{ first_k_dense_replace: 1, n_group: 1, topk_group: 1, routed_scaling_factor: 1.5 },
  ...{ norm_topk_prob: true, use_qk_norm: true, num_nextn_predict_layers: 1 },
};

type Options = Partial<Omit<WrittenOptions, 'weights'>> & {
  /** Whether the block of multi-token prediction is there. */
  readonly drafts?: boolean;
};

/** Tokens that GLM's vocabularies have, behind the usual ones. */
export function glmTokenizer(size: number): object {
  const special = ['<|endoftext|>', '[gMASK]', '<|user|>', '<|observation|>'];
  const usual = tokenizerJson(size - special.length) as { added_tokens: readonly object[] };
  const own = special.map((content, index) => ({
    ...{ ...usual.added_tokens[0], id: size - special.length + index, content },
  }));
  return { ...usual, added_tokens: [...usual.added_tokens, ...own] };
}

export function glm4Checkpoint({ config, drafts = false, ...options }: Options = {}): Checkpoint {
  const full: Readonly<Record<string, unknown>> = config ?? glm4Config;
  const n = (key: string) => full[key] as number;
  const moe = full.n_routed_experts !== undefined;
  const [width, head] = [n('hidden_size'), n('head_dim')];
  const [queries, keys] = [n('num_attention_heads') * head, n('num_key_value_heads') * head];
  const shapes = new Map<string, number[]>([
    ['model.embed_tokens.weight', [n('vocab_size'), width]],
    ['model.norm.weight', [width]],
    ['lm_head.weight', [n('vocab_size'), width]],
  ]);
  const blocks = n('num_hidden_layers') + (drafts ? 1 : 0);
  for (let layer = 0; layer < blocks; layer++) {
    const set = (part: string, shape: number[]) =>
      shapes.set(`model.layers.${layer}.${part}`, shape);
    set('input_layernorm.weight', [width]);
    set('post_attention_layernorm.weight', [width]);
    for (const [part, rows] of [
      ['q', queries],
      ['k', keys],
      ['v', keys],
    ] as const) {
      set(`self_attn.${part}_proj.weight`, [rows, width]);
      set(`self_attn.${part}_proj.bias`, [rows]);
    }
    set('self_attn.o_proj.weight', [width, queries]);
    if (moe) {
      set('self_attn.q_norm.weight', [head]);
      set('self_attn.k_norm.weight', [head]);
      sparseShapes(set, full, layer);
      if (layer >= n('first_k_dense_replace')) {
        set('mlp.gate.e_score_correction_bias', [n('n_routed_experts')]);
      }
    } else {
      set('post_self_attn_layernorm.weight', [width]);
      set('post_mlp_layernorm.weight', [width]);
      set('mlp.gate_up_proj.weight', [2 * n('intermediate_size'), width]);
      set('mlp.down_proj.weight', [width, n('intermediate_size')]);
    }
    if (layer < n('num_hidden_layers')) continue;
    set('eh_proj.weight', [width, 2 * width]);
    for (const name of ['enorm', 'hnorm', 'shared_head.norm']) set(`${name}.weight`, [width]);
    set('embed_tokens.weight', [n('vocab_size'), width]);
    set('shared_head.head.weight', [n('vocab_size'), width]);
  }
  const { type = 'F32' } = options;
  const vocabulary = glmTokenizer(n('vocab_size'));
  const weights = randomWeights(shapes, { type });
  return writeCheckpoint({ config: full, weights, tokenizer: vocabulary, ...options });
}

/** Logits after each token. */
export function glm4Logits(checkpoint: Checkpoint, tokens: readonly number[]): Row[] {
  const d = new Doubles(checkpoint);
  const moe = checkpoint.config.n_routed_experts !== undefined;
  const head = d.n('head_dim');
  let rows = tokens.map((token) => d.embed(token));
  for (let index = 0; index < d.n('num_hidden_layers'); index++) {
    const layer = `model.layers.${index}`;
    const own = `${layer}.self_attn`;
    const normed = rows.map((x) => d.norm(x, `${layer}.input_layernorm`));
    const project = (part: 'q' | 'k') =>
      normed.map((x, position) =>
        headsOf(d.linear(x, `${own}.${part}_proj`), head).map((one) => {
          const even = moe ? d.norm(one, `${own}.${part}_norm`) : one;
          return turn(even, position, { base, dimensions: rotated, neighbours: !moe });
        }),
      );
    const v = normed.map((x) => headsOf(d.linear(x, `${own}.v_proj`), head));
    const seen = attend(project('q'), project('k'), v, { scale: 1 / Math.sqrt(head) });
    rows = rows.map((x, t) => {
      const out = d.linear(seen[t] as Row, `${own}.o_proj`);
      const sum = add(x, moe ? out : d.norm(out, `${layer}.post_self_attn_layernorm`));
      const y = d.norm(sum, `${layer}.post_attention_layernorm`);
      if (moe) {
        const groups = { count: d.n('n_group'), used: d.n('topk_group') };
        const kind = { rating: 'sigmoid', normalises: true, groups } as const;
        return add(sum, sparseNetwork(d, y, layer, kind));
      }
      const both = d.linear(y, `${layer}.mlp.gate_up_proj`);
      const half = both.length / 2;
      const inner = both.slice(0, half).map((gate, i) => silu(gate) * (both[half + i] as number));
      const made = d.linear(inner, `${layer}.mlp.down_proj`);
      return add(sum, d.norm(made, `${layer}.post_mlp_layernorm`));
    });
  }
  return d.logits(rows);
}
