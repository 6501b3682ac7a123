/** Tensors and metadata of latent attention (DeepSeek), with absorbed projections. */
import type { GgufMetadataEntry } from '../gguf/types.js';
import { u32 } from './entries.js';
import { type ModelShape, makers, type TensorPlan } from './plan.js';

function widths({ headDim, latent }: ModelShape) {
  const { kv = 256, query = 256, rotated = headDim / 2 } = latent ?? {};
  return { kv, query, rotated, plain: headDim };
}

/** Values of a head are as long as the plain part of its keys. */
export function* latentTensors(
  shape: ModelShape,
  layer: number,
  branch: number,
): Generator<TensorPlan> {
  const { embedding, heads } = shape;
  const { kv, query, rotated, plain } = widths(shape);
  const { matrix, norm } = makers(layer);
  const at = `blk.${layer}`;
  const rows = heads * (plain + rotated);
  yield norm(`${at}.attn_norm.weight`, [embedding]);
  if (query === 0) {
    yield matrix(`${at}.attn_q.weight`, [embedding, rows], 1.2);
  } else {
    yield matrix(`${at}.attn_q_a.weight`, [embedding, query]);
    yield norm(`${at}.attn_q_a_norm.weight`, [query]);
    yield matrix(`${at}.attn_q_b.weight`, [query, rows], 1.2);
  }
  yield matrix(`${at}.attn_kv_a_mqa.weight`, [embedding, kv + rotated], 1.2);
  yield norm(`${at}.attn_kv_a_norm.weight`, [kv]);
  yield matrix(`${at}.attn_k_b.weight`, [plain, kv, heads], Math.sqrt(plain / kv));
  yield matrix(`${at}.attn_v_b.weight`, [kv, plain, heads], 1, 'value');
  yield matrix(`${at}.attn_output.weight`, [heads * plain, embedding], branch);
}

/** Metadata besides what all models have. */
export function latentMetadata(shape: ModelShape): Record<string, GgufMetadataEntry> {
  const { kv, query, rotated, plain } = widths(shape);
  return {
    'attention.head_count_kv': u32(1),
    'attention.key_length': u32(kv + rotated),
    'attention.value_length': u32(kv),
    'attention.key_length_mla': u32(plain + rotated),
    'attention.value_length_mla': u32(plain),
    'attention.kv_lora_rank': u32(kv),
    ...(query === 0 ? {} : { 'attention.q_lora_rank': u32(query) }),
    'rope.dimension_count': u32(rotated),
  };
}
