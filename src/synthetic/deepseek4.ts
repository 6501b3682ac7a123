/** What a DeepSeek V4 consists of besides its embeddings and head: the tensors of its blocks, and metadata. */
import type { GgufMetadataEntry } from '../gguf/types.js';
import { bool, f32, u32, u32s } from './entries.js';
import { type DeepSeek4Form, type ModelShape, makers, type TensorPlan } from './plan.js';

const streams = 4;
const mixes = streams * (2 + streams);

/** For each layer the positions of a block; draft blocks have none. */
function ratiosOf(o: ModelShape, { ratios }: DeepSeek4Form): number[] {
  const trunk = o.layers - (o.nextn ?? 0);
  return Array.from({ length: o.layers }, (_, layer) =>
    layer < trunk ? (ratios[layer % ratios.length] ?? 0) : 0,
  );
}

/** @param branch the gain of what is added to the residual stream. */
export function* deepseek4Tensors(
  o: ModelShape,
  form: DeepSeek4Form,
  branch: number,
): Generator<TensorPlan> {
  const { router, norm, bias } = makers(0);
  yield router('output_hc_fn.weight', [streams * o.embedding, streams]);
  yield norm('output_hc_scale.weight', [1]);
  yield bias('output_hc_base.weight', [streams]);
  const ratios = ratiosOf(o, form);
  for (let layer = 0; layer < o.layers; layer++) {
    yield* mixer(o, layer, 'hc_attn');
    yield* attention(o, form, layer, [ratios[layer] ?? 0, branch]);
    yield* mixer(o, layer, 'hc_ffn');
    yield* network(o, form, layer, branch);
  }
}

function* mixer(o: ModelShape, layer: number, name: string): Generator<TensorPlan> {
  const { router, norm, bias } = makers(layer);
  const at = `blk.${layer}.${name}`;
  yield router(`${at}_fn.weight`, [streams * o.embedding, mixes]);
  yield norm(`${at}_scale.weight`, [3]);
  yield bias(`${at}_base.weight`, [mixes]);
}

function* attention(
  o: ModelShape,
  form: DeepSeek4Form,
  layer: number,
  [ratio, branch]: readonly [number, number],
): Generator<TensorPlan> {
  const { embedding, heads, headDim } = o;
  const { queryRank, outputGroups, outputRank, index } = form;
  const { matrix, norm, bias } = makers(layer);
  const at = `blk.${layer}`;
  yield norm(`${at}.attn_norm.weight`, [embedding]);
  yield bias(`${at}.attn_sinks.weight`, [heads]);
  yield matrix(`${at}.attn_q_a.weight`, [embedding, queryRank]);
  yield norm(`${at}.attn_q_a_norm.weight`, [queryRank]);
  yield matrix(`${at}.attn_q_b.weight`, [queryRank, heads * headDim]);
  yield matrix(`${at}.attn_kv.weight`, [embedding, headDim], 1, 'value');
  yield norm(`${at}.attn_kv_a_norm.weight`, [headDim]);
  const seen = (heads * headDim) / outputGroups;
  yield matrix(`${at}.attn_output_a.weight`, [seen, outputRank * outputGroups]);
  yield matrix(`${at}.attn_output_b.weight`, [outputRank * outputGroups, embedding], branch);
  const compressor = function* (name: string, width: number): Generator<TensorPlan> {
    const channels = (ratio === 4 ? 2 : 1) * width;
    yield matrix(`${at}.${name}_kv.weight`, [embedding, channels]);
    yield matrix(`${at}.${name}_gate.weight`, [embedding, channels], 1.5);
    yield bias(`${at}.${name}_ape.weight`, [channels, ratio], 2);
    yield norm(`${at}.${name}_norm.weight`, [width]);
  };
  if (ratio !== 0) yield* compressor('attn_compressor', headDim);
  if (ratio !== 4) return;
  yield matrix(`${at}.indexer.proj.weight`, [embedding, index.heads]);
  yield matrix(`${at}.indexer.attn_q_b.weight`, [queryRank, index.heads * index.keyLength]);
  yield* compressor('indexer_compressor', index.keyLength);
}

function* network(
  o: ModelShape,
  form: DeepSeek4Form,
  layer: number,
  branch: number,
): Generator<TensorPlan> {
  const { embedding, inner, vocab, experts: [count, used] = [8, 3], sharedExperts = 1 } = o;
  const { matrix, router, norm, bias, numbers } = makers(layer);
  const at = `blk.${layer}`;
  yield norm(`${at}.ffn_norm.weight`, [embedding]);
  yield router(`${at}.ffn_gate_inp.weight`, [embedding, count], 2);
  if (layer < form.hashed) yield numbers(`${at}.ffn_gate_tid2eid.weight`, [used, vocab], count);
  else yield bias(`${at}.exp_probs_b.bias`, [count]);
  yield matrix(`${at}.ffn_gate_exps.weight`, [embedding, inner, count], 1.5);
  yield matrix(`${at}.ffn_up_exps.weight`, [embedding, inner, count]);
  yield matrix(`${at}.ffn_down_exps.weight`, [inner, embedding, count], branch, 'down');
  const shared = inner * sharedExperts;
  yield matrix(`${at}.ffn_gate_shexp.weight`, [embedding, shared], 1.5);
  yield matrix(`${at}.ffn_up_shexp.weight`, [embedding, shared]);
  yield matrix(`${at}.ffn_down_shexp.weight`, [shared, embedding], branch, 'down');
}

/** Metadata besides what all models have. */
export function deepseek4Metadata(
  o: ModelShape,
  form: DeepSeek4Form,
): Record<string, GgufMetadataEntry> {
  const { index, limit } = form;
  return {
    'attention.head_count_kv': u32(1),
    'rope.dimension_count': u32(form.rotated),
    'attention.q_lora_rank': u32(form.queryRank),
    'attention.sliding_window': u32(form.window),
    'attention.compress_ratios': u32s(ratiosOf(o, form)),
    'attention.compress_rope_freq_base': f32(160000),
    'attention.indexer.head_count': u32(index.heads),
    'attention.indexer.key_length': u32(index.keyLength),
    'attention.indexer.top_k': u32(index.most),
    'attention.output_group_count': u32(form.outputGroups),
    'attention.output_lora_rank': u32(form.outputRank),
    'hyper_connection.count': u32(streams),
    'hyper_connection.sinkhorn_iterations': u32(20),
    'hyper_connection.epsilon': f32(1e-6),
    hash_layer_count: u32(form.hashed),
    expert_feed_forward_length: u32(o.inner),
    expert_shared_count: u32(o.sharedExperts ?? 1),
    expert_weights_scale: f32(1.5),
    expert_weights_norm: bool(true),
    expert_gating_func: u32(4),
    swiglu_clamp_exp: f32(limit),
    ...(o.nextn === undefined ? {} : { nextn_predict_layers: u32(o.nextn) }),
  };
}
