/** What encoders consist of, and what they say of themselves: BERT's kind, and heads that rank. */
import type { GgufMetadataEntry } from '../gguf/types.js';
import { bool, f32, texts, u32 } from './entries.js';
import { type ModelShape, makers, type TensorPlan } from './plan.js';

/** Whether it is one of BERT's kind. */
export function isBert({ architecture }: Pick<ModelShape, 'architecture'>): boolean {
  return /(^|-)bert(-|$)/.test(architecture);
}

/** Query and document, as decoders that rank are shown them. */
export const rankTemplate = '<s>query: {query} document: {document}</s>';

/** Types of sentences, of which the first is used. */
export const sentenceTypes = 2;

/** What attention and network add is smaller than the stream, as in trained models, or else rounding
 * would be amplified from layer to layer. */
const branch = 0.4;

/** All tensors of one of BERT's kind but its classifier. */
export function* bertTensors(o: ModelShape): Generator<TensorPlan> {
  const { matrix, router: table } = makers(0);
  yield matrix('token_embd.weight', [o.embedding, o.vocab], Math.sqrt(o.embedding), 'embedding');
  // Files keep these in F32.
  yield table('token_types.weight', [o.embedding, sentenceTypes], Math.sqrt(o.embedding) / 2);
  if (o.architecture === 'bert') {
    yield table('position_embd.weight', [o.embedding, o.context], Math.sqrt(o.embedding) / 2);
  }
  yield* layerNorm('token_embd_norm', o.embedding, 0);
  for (let layer = 0; layer < o.layers; layer++) {
    yield* attention(o, layer);
    yield* network(o, layer);
    yield* layerNorm(`blk.${layer}.layer_output_norm`, o.embedding, layer);
  }
}

function* layerNorm(name: string, length: number, layer: number): Generator<TensorPlan> {
  const { norm, bias } = makers(layer);
  yield norm(`${name}.weight`, [length]);
  yield bias(`${name}.bias`, [length]);
}

function* attention(o: ModelShape, layer: number): Generator<TensorPlan> {
  const { matrix, bias } = makers(layer);
  const at = `blk.${layer}`;
  const width = o.heads * o.headDim;
  // Nomic's projections have no biases, and the networks neither.
  const biases = !o.architecture.startsWith('nomic');
  if (o.fused) {
    yield matrix(`${at}.attn_qkv.weight`, [o.embedding, 3 * width], 1.2);
    if (biases) yield bias(`${at}.attn_qkv.bias`, [3 * width]);
  } else {
    for (const part of ['q', 'k', 'v']) {
      const role = part === 'v' ? 'value' : 'other';
      yield matrix(`${at}.attn_${part}.weight`, [o.embedding, width], 1.2, role);
      if (biases) yield bias(`${at}.attn_${part}.bias`, [width]);
    }
  }
  if (o.bert?.moreNorms) {
    yield* layerNorm(`${at}.attn_q_norm`, width, layer);
    yield* layerNorm(`${at}.attn_k_norm`, width, layer);
    yield* layerNorm(`${at}.attn_norm_2`, o.embedding, layer);
  }
  yield matrix(`${at}.attn_output.weight`, [width, o.embedding], branch);
  if (biases) yield bias(`${at}.attn_output.bias`, [o.embedding]);
  yield* layerNorm(`${at}.attn_output_norm`, o.embedding, layer);
}

function* network(o: ModelShape, layer: number): Generator<TensorPlan> {
  const { matrix, router, bias } = makers(layer);
  const { embedding, inner } = o;
  const at = `blk.${layer}`;
  const { expertsEvery = 2, gateWithUp } = o.bert ?? {};
  if (o.experts !== undefined && layer % expertsEvery === 1) {
    const [experts] = o.experts;
    yield router(`${at}.ffn_gate_inp.weight`, [embedding, experts], 2);
    yield matrix(`${at}.ffn_up_exps.weight`, [embedding, inner, experts], 1.5);
    yield matrix(`${at}.ffn_down_exps.weight`, [inner, embedding, experts], branch, 'down');
    return;
  }
  const jina = o.architecture === 'jina-bert-v2';
  if (o.architecture === 'nomic-bert' || (jina && gateWithUp === false)) {
    yield matrix(`${at}.ffn_gate.weight`, [embedding, inner], 1.5);
  }
  const together = jina && gateWithUp === true;
  yield matrix(`${at}.ffn_up.weight`, [embedding, together ? 2 * inner : inner], 1.5);
  yield matrix(`${at}.ffn_down.weight`, [inner, embedding], branch, 'down');
  if (o.architecture === 'bert' || (jina && gateWithUp === undefined)) {
    yield bias(`${at}.ffn_up.bias`, [inner]);
  }
  if (o.architecture === 'bert' || jina) yield bias(`${at}.ffn_down.bias`, [embedding]);
}

/** The head of a model that ranks. */
export function* classTensors({ embedding, classes }: ModelShape): Generator<TensorPlan> {
  if (classes === undefined) return;
  const { matrix, bias } = makers(0);
  if (classes.dense) {
    yield matrix('cls.weight', [embedding, embedding]);
    yield bias('cls.bias', [embedding]);
  }
  yield matrix('cls.output.weight', [embedding, classes.count]);
  if (classes.dense) yield bias('cls.output.bias', [classes.count]);
}

/** Entries without their prefix. */
export function encoderMetadata(o: ModelShape): Readonly<Record<string, GgufMetadataEntry>> {
  const encodes = isBert(o) || o.architecture === 'gemma-embedding';
  const { expertsEvery = 2 } = o.bert ?? {};
  return {
    ...(o.classes
      ? {
          pooling_type: u32(4),
          'classifier.output_labels': texts(
            Array.from({ length: o.classes.count }, (_, at) => `class ${at}`),
          ),
        }
      : encodes
        ? { pooling_type: u32(1) }
        : {}),
    ...(encodes ? { 'attention.causal': bool(false) } : {}),
    ...(isBert(o) ? { 'attention.layer_norm_epsilon': f32(1e-12) } : {}),
    ...(o.architecture === 'nomic-bert-moe' ? { moe_every_n_layers: u32(expertsEvery) } : {}),
    ...(o.projected === undefined
      ? {}
      : {
          dense_2_feat_in: u32(o.embedding),
          dense_2_feat_out: u32(o.projected),
          dense_3_feat_in: u32(o.projected),
          dense_3_feat_out: u32(o.embedding),
        }),
  };
}
