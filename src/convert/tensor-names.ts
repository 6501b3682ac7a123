/**
 * What a tensor is, by its name: which may be quantised at all, and to which kind of matrix the rules
 * of the mixes count it. Names are those of GGUF files (`blk.0.attn_v.weight`). No model is known here.
 */

export type TensorKind =
  | 'output'
  | 'embedding'
  | 'attention-qkv'
  | 'attention-kv-b'
  | 'attention-v'
  | 'attention-k'
  | 'attention-q'
  | 'attention-output'
  | 'ffn-up'
  | 'ffn-gate'
  | 'ffn-down'
  | 'other';

/** Parts of names and the kind that they mean; the first that fits counts. */
const kinds: readonly (readonly [part: string, kind: TensorKind])[] = [
  ['attn_qkv.weight', 'attention-qkv'],
  ['attn_kv_b.weight', 'attention-kv-b'],
  ['attn_v.weight', 'attention-v'],
  ['attn_k.weight', 'attention-k'],
  ['attn_q.weight', 'attention-q'],
  ['attn_output.weight', 'attention-output'],
  ['ffn_up', 'ffn-up'],
  ['ffn_gate', 'ffn-gate'],
  ['ffn_down', 'ffn-down'],
];

/** True for tables of embeddings, that of the tokens and that of each layer. */
function isEmbedding(name: string): boolean {
  return name === 'token_embd.weight' || name === 'per_layer_token_embd.weight';
}

/** The kind of a tensor. */
export function kindOf(name: string): TensorKind {
  if (name === 'output.weight') return 'output';
  if (isEmbedding(name)) return 'embedding';
  return kinds.find(([part]) => name.includes(part))?.[1] ?? 'other';
}

/** Matrices that stay as they are, by a part of their name: small ones, and ones that bear no error. */
const leftAlone: readonly string[] = [
  '_norm.weight',
  // Routers and routing tables of experts.
  ...['ffn_gate_inp.weight', 'ffn_gate_tid2eid.weight'],
  // Small parts of Gemma 3n and 4.
  ...['altup', 'laurel', 'per_layer_model_proj'],
  // Convolutions and mixers of recurrent layers.
  ...['ssm_conv1d', 'shortconv.conv.weight', 'time_mix_first.weight', 'time_mix_lerp_fused.weight'],
  ...['w0', 'w1', 'w2', 'v0', 'v1', 'v2', 'a0', 'a1', 'a2', 'g1', 'g2', 'decay_w1', 'decay_w2'].map(
    (part) => `time_mix_${part}.weight`,
  ),
  // Projections of sparse attention's index.
  ...['indexer.k_proj.weight', 'indexer.q_proj.weight'],
  // Positions, pictures and sound.
  ...['attn_rel_b.weight', '.position_embd', 'sam.pos_embd', 'sam.neck.', 'sam.net_', '.rel_pos'],
  ...['.patch_embd', '.patch_merger', 'a.rvq.codebook', 'mm.a.code_embd'],
];

/**
 * Whether a quantiser may change the tensor's type: matrices and stacks of experts' matrices, but not
 * norms, routers and the like.
 * @param shape without trailing extents of 1.
 */
export function mayQuantize(name: string, shape: readonly number[]): boolean {
  return (
    shape.length >= 2 &&
    name.endsWith('weight') &&
    name !== 'position_embd.weight' &&
    name !== 'token_types.weight' &&
    !leftAlone.some((part) => name.includes(part))
  );
}

/** The layer in a name, or -1. */
export function layerIn(name: string): number {
  return Number(/^blk\.(\d+)\./.exec(name)?.[1] ?? -1);
}

/** The order in which a quantised file holds its tensors: by layer, then by name as bytes. */
export function compareTensorNames(a: string, b: string): number {
  return layerIn(a) - layerIn(b) || Buffer.compare(Buffer.from(a), Buffer.from(b));
}
