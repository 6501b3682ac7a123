/** What a Qwen3.5 consists of besides its embeddings and head: the tensors of its blocks, and metadata. */
import type { GgufMetadataEntry } from '../gguf/types.js';
import { GgufValueType } from '../gguf/types.js';
import { u32 } from './entries.js';
import { type ModelShape, makers, type Qwen35Form, type TensorPlan } from './plan.js';

/** @param branch the gain of what is added to the residual stream. */
export function* qwen35Tensors(
  o: ModelShape,
  form: Qwen35Form,
  branch: number,
): Generator<TensorPlan> {
  const trunk = o.layers - (o.nextn ?? 0);
  for (let layer = 0; layer < o.layers; layer++) {
    const { norm } = makers(layer);
    yield norm(`blk.${layer}.attn_norm.weight`, [o.embedding]);
    const linear = layer < trunk && (layer + 1) % form.interval !== 0;
    yield* linear ? deltaNet(o, form, layer, branch) : attention(o, layer, branch);
    yield norm(`blk.${layer}.post_attention_norm.weight`, [o.embedding]);
    yield* network(o, form, layer, branch);
  }
}

function* attention(o: ModelShape, layer: number, branch: number): Generator<TensorPlan> {
  const { matrix, norm } = makers(layer);
  const at = `blk.${layer}`;
  const keys = o.kvHeads * o.headDim;
  yield matrix(`${at}.attn_q.weight`, [o.embedding, 2 * o.heads * o.headDim], 1.2);
  yield matrix(`${at}.attn_k.weight`, [o.embedding, keys], 1.2);
  yield matrix(`${at}.attn_v.weight`, [o.embedding, keys], 1, 'value');
  yield norm(`${at}.attn_q_norm.weight`, [o.headDim]);
  yield norm(`${at}.attn_k_norm.weight`, [o.headDim]);
  yield matrix(`${at}.attn_output.weight`, [o.heads * o.headDim, o.embedding], branch);
}

function* deltaNet(
  o: ModelShape,
  { keyHeads, valueHeads, headLength, kernel }: Qwen35Form,
  layer: number,
  branch: number,
): Generator<TensorPlan> {
  const { matrix, norm, bias, router, decay } = makers(layer);
  const at = `blk.${layer}`;
  const channels = headLength * (2 * keyHeads + valueHeads);
  const values = headLength * valueHeads;
  yield matrix(`${at}.attn_qkv.weight`, [o.embedding, channels], 1.2);
  yield matrix(`${at}.attn_gate.weight`, [o.embedding, values]);
  yield router(`${at}.ssm_conv1d.weight`, [kernel, channels], 1.5);
  yield bias(`${at}.ssm_dt.bias`, [valueHeads]);
  yield decay(`${at}.ssm_a`, [valueHeads]);
  yield matrix(`${at}.ssm_beta.weight`, [o.embedding, valueHeads]);
  yield matrix(`${at}.ssm_alpha.weight`, [o.embedding, valueHeads]);
  yield norm(`${at}.ssm_norm.weight`, [headLength]);
  yield matrix(`${at}.ssm_out.weight`, [values, o.embedding], branch / 2);
}

function* network(
  o: ModelShape,
  { sharedInner = o.inner }: Qwen35Form,
  layer: number,
  branch: number,
): Generator<TensorPlan> {
  const { matrix, router } = makers(layer);
  const at = `blk.${layer}`;
  const { embedding, inner } = o;
  const gated = function* (name: string, width: number, experts: readonly number[]) {
    yield matrix(`${at}.ffn_gate${name}.weight`, [embedding, width, ...experts], 1.5);
    yield matrix(`${at}.ffn_up${name}.weight`, [embedding, width, ...experts]);
    yield matrix(`${at}.ffn_down${name}.weight`, [width, embedding, ...experts], branch, 'down');
  };
  if (o.experts === undefined) return yield* gated('', inner, []);
  yield router(`${at}.ffn_gate_inp.weight`, [embedding, o.experts[0]], 2);
  yield* gated('_exps', inner, [o.experts[0]]);
  yield router(`${at}.ffn_gate_inp_shexp.weight`, [embedding], 1);
  yield* gated('_shexp', sharedInner, []);
}

/** Entries without their prefix. */
export function qwen35Metadata(
  o: ModelShape,
  form: Qwen35Form,
): Readonly<Record<string, GgufMetadataEntry>> {
  const { keyHeads, valueHeads, headLength, kernel, interval, rotated } = form;
  // Time, height and width take turns.
  const sections = [0, 1, 2].map((part) => Math.ceil((rotated / 2 - part) / 3));
  return {
    'ssm.group_count': u32(keyHeads),
    'ssm.time_step_rank': u32(valueHeads),
    'ssm.state_size': u32(headLength),
    'ssm.inner_size': u32(headLength * valueHeads),
    'ssm.conv_kernel': u32(kernel),
    full_attention_interval: u32(interval),
    'rope.dimension_count': u32(rotated),
    'rope.dimension_sections': {
      type: GgufValueType.ARRAY,
      itemType: GgufValueType.INT32,
      value: Int32Array.from([...sections, 0]),
    },
    ...(o.nextn === undefined ? {} : { nextn_predict_layers: u32(o.nextn) }),
    ...(o.experts === undefined
      ? {}
      : {
          expert_feed_forward_length: u32(o.inner),
          expert_shared_feed_forward_length: u32(form.sharedInner ?? o.inner),
        }),
  };
}
