/** Configs of small checkpoints of Gemma 4, and their tensors. */

type Config = Readonly<Record<string, unknown>>;

const ropes = {
  full_attention: { rope_type: 'proportional', partial_rotary_factor: 0.25, rope_theta: 1_000_000 },
  sliding_attention: { rope_type: 'default', rope_theta: 10_000 },
};

/** As of 31B: keys of the layers that see everything are their values too. */
export const gemma4Config = {
  ...{ sliding_window: 6, tie_word_embeddings: true, num_hidden_layers: 4, pad_token_id: 0 },
  ...{ head_dim: 16, global_head_dim: 32, num_global_key_value_heads: 1, attention_k_eq_v: true },
  layer_types: ['sliding_attention', 'sliding_attention', 'full_attention', 'full_attention'],
  ...{ rope_parameters: ropes, hidden_activation: 'gelu_pytorch_tanh' },
  ...{ hidden_size_per_layer_input: 0, num_kv_shared_layers: 0, use_double_wide_mlp: false },
  ...{ final_logit_softcapping: 3.5, enable_moe_block: false, attention_bias: false },
};

/** As of E2B: embeddings of each layer, and layers that read the keys of others. */
export const small = {
  ...{ num_hidden_layers: 5, attention_k_eq_v: false, hidden_size_per_layer_input: 8 },
  ...{ vocab_size_per_layer_input: 320, num_kv_shared_layers: 2, use_double_wide_mlp: true },
  layer_types: [
    ...['sliding_attention', 'sliding_attention', 'full_attention'],
    ...['sliding_attention', 'full_attention'],
  ],
};

/** As of 26B-A4B. */
export const sparse = {
  ...{ enable_moe_block: true, num_experts: 5, top_k_experts: 2, moe_intermediate_size: 24 },
  final_logit_softcapping: null,
};

/** A tokenizer of plain text, which its model cuts by itself. */
export function gemma4Tokenizer(given: { readonly model: object }): object {
  return {
    ...given,
    model: { ...given.model, byte_fallback: true, unk_token: null },
    pre_tokenizer: {
      ...{ type: 'Split', pattern: { String: ' ' } },
      ...{ behavior: 'MergedWithPrevious', invert: false },
    },
    decoder: { type: 'Sequence', decoders: [{ type: 'Fuse' }] },
  };
}

export function gemma4Shapes(config: Config): Map<string, number[]> {
  const n = (key: string) => config[key] as number;
  const width = n('hidden_size');
  const layers = n('num_hidden_layers');
  const own = n('hidden_size_per_layer_input');
  const shapes = new Map<string, number[]>([
    ['model.embed_tokens.weight', [n('vocab_size'), width]],
    ['model.norm.weight', [width]],
  ]);
  if (own > 0) {
    shapes.set('model.embed_tokens_per_layer.weight', [n('vocab_size'), layers * own]);
    shapes.set('model.per_layer_model_projection.weight', [layers * own, width]);
    shapes.set('model.per_layer_projection_norm.weight', [own]);
  }
  const kinds = config.layer_types as readonly string[];
  for (let layer = 0; layer < layers; layer++) {
    const set = (part: string, shape: number[]) =>
      shapes.set(`model.layers.${layer}.${part}`, shape);
    const norm = (part: string) => set(`${part}.weight`, [width]);
    const full = kinds[layer] === 'full_attention';
    const head = n(full ? 'global_head_dim' : 'head_dim');
    const same = full && config.attention_k_eq_v === true;
    const keys = n(same ? 'num_global_key_value_heads' : 'num_key_value_heads') * head;
    const queries = n('num_attention_heads') * head;
    const reads = layer >= layers - n('num_kv_shared_layers');
    norm('input_layernorm');
    set('self_attn.q_proj.weight', [queries, width]);
    set('self_attn.q_norm.weight', [head]);
    if (!reads) {
      set('self_attn.k_proj.weight', [keys, width]);
      set('self_attn.k_norm.weight', [head]);
      if (!same) set('self_attn.v_proj.weight', [keys, width]);
    }
    set('self_attn.o_proj.weight', [width, queries]);
    norm('post_attention_layernorm');
    norm('pre_feedforward_layernorm');
    norm('post_feedforward_layernorm');
    set('layer_scalar', [1]);
    const inner = n('intermediate_size') * (config.use_double_wide_mlp && reads ? 2 : 1);
    set('mlp.gate_proj.weight', [inner, width]);
    set('mlp.up_proj.weight', [inner, width]);
    set('mlp.down_proj.weight', [width, inner]);
    if (own > 0) {
      set('per_layer_input_gate.weight', [own, width]);
      set('per_layer_projection.weight', [width, own]);
      norm('post_per_layer_input_norm');
    }
    if (config.enable_moe_block !== true) continue;
    const [experts, narrow] = [n('num_experts'), n('moe_intermediate_size')];
    set('router.proj.weight', [experts, width]);
    set('router.scale', [width]);
    set('router.per_expert_scale', [experts]);
    set('experts.gate_up_proj', [experts, 2 * narrow, width]);
    set('experts.down_proj', [experts, width, narrow]);
    norm('post_feedforward_layernorm_1');
    norm('post_feedforward_layernorm_2');
    norm('pre_feedforward_layernorm_2');
  }
  return shapes;
}
