/** Tensors and metadata of Gemma 4 in all its forms, which share few names with other models. */
import type { GgufMetadataEntry } from '../gguf/types.js';
import { bools, f32, u32, u32s } from './entries.js';
import {
  type Gemma4Form,
  type ModelShape,
  makers,
  slidingLayers,
  type TensorPlan,
} from './plan.js';

const usualWindow = [16, 2] as const;

/** The form and the layers' kinds, with what is left out filled in. */
function formOf(shape: ModelShape) {
  const { window = usualWindow, headDim, kvHeads, layers, inner, gemma4: form = {} } = shape;
  const slides = slidingLayers({ ...shape, window });
  const { windowHeadDim = headDim / 2, fullKvHeads = kvHeads, shared = 0, perLayer = 256 } = form;
  const own = layers - shared;
  const layer = (at: number) => ({
    headDim: slides[at] ? windowHeadDim : headDim,
    kvHeads: slides[at] ? kvHeads : fullKvHeads,
    inner: at < own ? inner : 2 * inner,
    own: at < own,
    values: slides[at] === true || form.rawValues !== true,
  });
  return { ...form, window, slides, shared, perLayer, windowHeadDim, layer };
}

/** All tensors but the embeddings, the output norm and the head. */
export function* gemma4Tensors(shape: ModelShape, branch: number): Generator<TensorPlan> {
  const { embedding, vocab, layers, headDim } = shape;
  const form = formOf(shape);
  const { matrix, norm, divisors } = makers(0);
  yield divisors('rope_freqs.weight', [headDim / 2], 1 / 2);
  if (form.perLayer > 0) {
    const all = form.perLayer * layers;
    yield matrix('per_layer_token_embd.weight', [all, vocab], 1, 'embedding');
    yield matrix('per_layer_model_proj.weight', [embedding, all], 1);
    yield norm('per_layer_proj_norm.weight', [form.perLayer]);
  }
  for (let layer = 0; layer < layers; layer++) {
    yield* attentionTensors(shape, form, layer, branch);
    yield* networkTensors(shape, form, layer, branch);
  }
}

type Form = ReturnType<typeof formOf> & Gemma4Form;

function* attentionTensors(o: ModelShape, form: Form, layer: number, branch: number) {
  const { matrix, norm } = makers(layer);
  const { embedding, heads } = o;
  const { headDim, kvHeads, own, values } = form.layer(layer);
  const at = `blk.${layer}`;
  const [queries, keys] = [heads * headDim, kvHeads * headDim];
  yield norm(`${at}.attn_norm.weight`, [embedding]);
  if (o.fused && values && own) {
    yield matrix(`${at}.attn_qkv.weight`, [embedding, queries + 2 * keys], 1.2);
  } else {
    yield matrix(`${at}.attn_q.weight`, [embedding, queries], 1.2);
    if (own) yield matrix(`${at}.attn_k.weight`, [embedding, keys], 1.2);
    if (own && values) yield matrix(`${at}.attn_v.weight`, [embedding, keys], 1, 'value');
  }
  yield norm(`${at}.attn_q_norm.weight`, [headDim]);
  // Scores are not scaled, so the norms have to.
  if (own) yield norm(`${at}.attn_k_norm.weight`, [headDim], 2 / Math.sqrt(headDim));
  yield matrix(`${at}.attn_output.weight`, [queries, embedding], branch);
}

function* networkTensors(o: ModelShape, form: Form, layer: number, branch: number) {
  const { matrix, router, norm } = makers(layer);
  const { embedding } = o;
  const { inner } = form.layer(layer);
  const at = `blk.${layer}`;
  for (const name of ['post_attention_norm', 'ffn_norm', 'post_ffw_norm']) {
    yield norm(`${at}.${name}.weight`, [embedding]);
  }
  yield norm(`${at}.layer_output_scale.weight`, [1]);
  yield matrix(`${at}.ffn_gate.weight`, [embedding, inner], 1.5);
  yield matrix(`${at}.ffn_up.weight`, [embedding, inner]);
  yield matrix(`${at}.ffn_down.weight`, [inner, embedding], branch, 'down');
  if (o.experts !== undefined) {
    const [experts] = o.experts;
    const { expertInner = o.inner } = form;
    for (const name of ['pre_ffw_norm_2', 'post_ffw_norm_1', 'post_ffw_norm_2']) {
      yield norm(`${at}.${name}.weight`, [embedding]);
    }
    yield router(`${at}.ffn_gate_inp.weight`, [embedding, experts], 2 * Math.sqrt(embedding));
    yield norm(`${at}.ffn_gate_inp.scale`, [embedding]);
    if (form.together) {
      yield matrix(`${at}.ffn_gate_up_exps.weight`, [embedding, 2 * expertInner, experts], 1.5);
    } else {
      yield matrix(`${at}.ffn_gate_exps.weight`, [embedding, expertInner, experts], 1.5);
      yield matrix(`${at}.ffn_up_exps.weight`, [embedding, expertInner, experts]);
    }
    yield matrix(`${at}.ffn_down_exps.weight`, [expertInner, embedding, experts], branch, 'down');
    yield norm(`${at}.ffn_down_exps.scale`, [experts]);
  }
  if (form.perLayer > 0) {
    yield matrix(`${at}.inp_gate.weight`, [embedding, form.perLayer]);
    yield matrix(`${at}.proj.weight`, [form.perLayer, embedding]);
    yield norm(`${at}.post_norm.weight`, [embedding]);
  }
}

/** Metadata besides what all models have. */
export function gemma4Metadata(shape: ModelShape): Record<string, GgufMetadataEntry> {
  const form = formOf(shape);
  const layers = Array.from({ length: shape.layers }, (_, at) => form.layer(at));
  const entries: Record<string, GgufMetadataEntry> = {
    feed_forward_length: u32s(layers.map(({ inner }) => inner)),
    'attention.head_count_kv': u32s(layers.map(({ kvHeads }) => kvHeads)),
    'attention.key_length_swa': u32(form.windowHeadDim),
    'attention.value_length_swa': u32(form.windowHeadDim),
    'attention.sliding_window': u32(form.window[0]),
    'attention.sliding_window_pattern': bools(form.slides),
    'attention.shared_kv_layers': u32(form.shared),
    embedding_length_per_layer_input: u32(form.perLayer),
    'rope.dimension_count': u32(shape.headDim),
    'rope.dimension_count_swa': u32(form.windowHeadDim),
    'rope.freq_base_swa': f32(shape.ropeBase / 2),
  };
  if (shape.experts !== undefined) {
    entries.expert_feed_forward_length = u32(form.expertInner ?? shape.inner);
  }
  return entries;
}
