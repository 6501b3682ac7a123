/** Names of tensors that have a table of what stands outside of the layers, and one of what is in each. */

export interface LayeredNames {
  /** What stands before a layer's number in the checkpoint: `model.layers`. */
  readonly layers: string;
  readonly outer: ReadonlyMap<string, string>;
  readonly inLayer: ReadonlyMap<string, string>;
}

/**
 * GGUF's name of a tensor; undefined: it is not known.
 * @param given the checkpoint's name, which ends in `weight` or `bias`.
 */
export function layeredName(given: string, names: LayeredNames): string | undefined {
  const [, part = '', kind] = /^(.+)\.(weight|bias)$/.exec(given) ?? [];
  const inside = part.startsWith(`${names.layers}.`) ? part.slice(names.layers.length + 1) : '';
  const [, layer, inner = ''] = /^(\d+)\.(.+)$/.exec(inside) ?? [];
  if (layer === undefined) {
    const found = names.outer.get(part);
    return found && `${found}.${kind}`;
  }
  const found = names.inLayer.get(inner);
  return found && `blk.${layer}.${found}.${kind}`;
}

/** What most decoders have in a layer, with GGUF's names, both without `weight` or `bias`. */
export const decoderLayerNames: readonly (readonly [part: string, name: string])[] = [
  ['input_layernorm', 'attn_norm'],
  ['self_attn.q_proj', 'attn_q'],
  ['self_attn.k_proj', 'attn_k'],
  ['self_attn.v_proj', 'attn_v'],
  ['self_attn.o_proj', 'attn_output'],
  ['self_attn.q_norm', 'attn_q_norm'],
  ['self_attn.k_norm', 'attn_k_norm'],
  ['mlp.gate_proj', 'ffn_gate'],
  ['mlp.up_proj', 'ffn_up'],
  ['mlp.down_proj', 'ffn_down'],
];
