/** Tensors of a checkpoint of LFM2, with experts or without, by its config. */

export function lfm2Shapes(
  config: Readonly<Record<string, unknown>>,
  fused: boolean,
): Map<string, number[]> {
  const n = (key: string) => config[key] as number;
  const [width, inner] = [n('hidden_size'), n('intermediate_size')];
  const head = width / n('num_attention_heads');
  const keys = n('num_key_value_heads') * head;
  const shapes = new Map<string, number[]>([
    ['model.embed_tokens.weight', [n('vocab_size'), width]],
    ['model.embedding_norm.weight', [width]],
  ]);
  const kinds = config.layer_types as readonly string[] | undefined;
  const numbers = config.full_attn_idxs as readonly number[] | undefined;
  for (let layer = 0; layer < n('num_hidden_layers'); layer++) {
    const set = (part: string, shape: number[]) =>
      shapes.set(`model.layers.${layer}.${part}.weight`, shape);
    set('operator_norm', [width]);
    set('ffn_norm', [width]);
    if (kinds?.[layer] === 'full_attention' || numbers?.includes(layer)) {
      set('self_attn.q_proj', [width, width]);
      set('self_attn.k_proj', [keys, width]);
      set('self_attn.v_proj', [keys, width]);
      set('self_attn.out_proj', [width, width]);
      set('self_attn.q_layernorm', [head]);
      set('self_attn.k_layernorm', [head]);
    } else {
      set('conv.in_proj', [3 * width, width]);
      set('conv.conv', [width, 1, n('conv_L_cache')]);
      set('conv.out_proj', [width, width]);
    }
    const dense = layer < ((config.num_dense_layers ?? n('num_hidden_layers')) as number);
    if (!dense) {
      lfm2Experts(config, fused, (part, shape) =>
        shapes.set(`model.layers.${layer}.feed_forward.${part}`, shape),
      );
      continue;
    }
    set('feed_forward.w1', [inner, width]);
    set('feed_forward.w3', [inner, width]);
    set('feed_forward.w2', [width, inner]);
  }
  return shapes;
}

function lfm2Experts(
  config: Readonly<Record<string, unknown>>,
  fused: boolean,
  set: (part: string, shape: number[]) => void,
): void {
  const n = (key: string) => config[key] as number;
  const [width, inner, experts] = [
    n('hidden_size'),
    n('moe_intermediate_size'),
    n('num_experts'),
  ] as const;
  set('gate.weight', [experts, width]);
  set('expert_bias', [experts]);
  if (fused) {
    set('experts.gate_up_proj', [experts, 2 * inner, width]);
    set('experts.down_proj', [experts, width, inner]);
    return;
  }
  for (let expert = 0; expert < experts; expert++) {
    set(`experts.${expert}.w1.weight`, [inner, width]);
    set(`experts.${expert}.w3.weight`, [inner, width]);
    set(`experts.${expert}.w2.weight`, [width, inner]);
  }
}
