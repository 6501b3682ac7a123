/**
 * Small random draft models to go with `src/synthetic/random-model.ts`: multi-token prediction blocks, behind a
 * target or in a file of their own, Gemma 4's drafter, and DFlash models. The same options give the same bytes.
 */
import { GgmlType } from '../../src/ggml/types.js';
import { type GgufMetadataEntry, GgufValueType } from '../../src/gguf/types.js';
import type { GgufContent, GgufTensorToWrite } from '../../src/gguf/writer.js';
import { f32, text, u32 } from '../../src/synthetic/entries.js';
import { type RandomModelOptions, randomModel } from '../../src/synthetic/random-model.js';
import { type DflashVariant, variantMetadata, variantTensors } from './random-dflash-variants.js';
import { matrix, norm } from './random-tensors.js';

/** What draft models share with the target: its width, its tokens, and here its heads too. */
export type DraftShape = Omit<RandomModelOptions, 'architecture' | 'layers'>;

export interface RandomMtpOptions extends DraftShape {
  /** Default: qwen3. */
  readonly architecture?: 'deepseek4' | 'qwen3' | 'qwen35' | 'qwen35moe';
  /** Layers of the target, behind which the block stands. */
  readonly layers: number;
  readonly ownHeadNorm?: boolean;
  readonly ownTable?: boolean;
  readonly ownHead?: boolean;
}

export interface RandomAssistantOptions extends DraftShape {
  readonly layers: number;
  /** Of the target's hidden rows; `embedding` is the drafter's own. */
  readonly width: number;
}

export interface RandomDflashOptions extends DraftShape, DflashVariant {
  readonly layers: number;
  /** Default: qwen3, the layers of which are those of most DFlash models. */
  readonly blocksOf?: 'qwen3' | 'deepseek4';
  readonly blockSize: number;
  readonly maskToken: number;
  readonly targetLayers: readonly number[];
  /** Sliding window, and which layers have it. */
  readonly sliding?: readonly [size: number, layers: readonly boolean[]];
  readonly causal?: boolean;
  readonly embeddingScale?: number;
  readonly logitScale?: number;
  readonly softcap?: number;
  readonly ownTable?: boolean;
  readonly ownHead?: boolean;
  /** Tokens that the draft model knows; its own head has as many rows. */
  readonly vocabulary?: readonly number[];
}

/** Embedding width and vocabulary that `randomModel` takes unless told otherwise. */
const usualWidth = 256;
const usualVocabulary = 331;

/** The tensors `blk.N.nextn...` of a multi-token prediction block N. */
function nextnTensors(o: RandomMtpOptions): GgufTensorToWrite[] {
  const { embedding = usualWidth, vocab = usualVocabulary, seed = 1 } = o;
  const at = `blk.${o.layers}.nextn`;
  const first = 7000 + seed * 10;
  return [
    matrix(`${at}.eh_proj.weight`, first, [2 * embedding, embedding], 1.4),
    norm(`${at}.enorm.weight`, first + 1, embedding),
    norm(`${at}.hnorm.weight`, first + 2, embedding),
    ...(o.ownHeadNorm ? [norm(`${at}.shared_head_norm.weight`, first + 3, embedding, 1.5)] : []),
    ...(o.ownTable ? [matrix(`${at}.embed_tokens.weight`, first + 4, [embedding, vocab], 8)] : []),
    ...(o.ownHead
      ? [matrix(`${at}.shared_head_head.weight`, first + 5, [embedding, vocab], 4)]
      : []),
  ];
}

function withBlock(o: RandomMtpOptions): GgufContent {
  const content = randomModel({
    architecture: 'qwen3',
    ...o,
    layers: o.layers + 1,
    nextn: 1,
    metadata: { ...o.metadata, nextn_predict_layers: u32(1) },
  });
  return { metadata: content.metadata, tensors: [...content.tensors, ...nextnTensors(o)] };
}

/** A model with a multi-token prediction block behind its `layers` layers. */
export function randomModelWithMtp(options: RandomMtpOptions): GgufContent {
  return withBlock(options);
}

/** The same block in a file of its own, for a target with as many layers of the same width. */
export function randomMtp(options: RandomMtpOptions): GgufContent {
  const { metadata, tensors } = withBlock(options);
  return {
    metadata,
    tensors: tensors.filter(
      ({ name }) => name.startsWith(`blk.${options.layers}.`) || name.startsWith('output_hc'),
    ),
  };
}

/** Gemma 4's drafter: its heads, windows and tokens are the target's. */
export function randomAssistant({ width, ...o }: RandomAssistantOptions): GgufContent {
  const { embedding = usualWidth, seed = 1 } = o;
  const form = { ...o.gemma4, perLayer: 0, shared: 0 };
  const dense = { gemma4: form, experts: undefined, tied: true };
  const content = randomModel({ ...o, ...dense, architecture: 'gemma4' });
  const metadata = new Map<string, GgufMetadataEntry>();
  for (const [key, entry] of content.metadata) {
    metadata.set(key.replace(/^gemma4\./, 'gemma4-assistant.'), entry);
  }
  metadata.set('general.architecture', text('gemma4-assistant'));
  metadata.set('gemma4-assistant.embedding_length_out', u32(width));
  metadata.set('gemma4-assistant.nextn_predict_layers', u32(o.layers));
  metadata.set('gemma4-assistant.attention.shared_kv_layers', u32(o.layers));
  const first = 11000 + seed * 10;
  return {
    metadata,
    tensors: [
      ...content.tensors.filter(({ name }) => !/attn_(k|v|k_norm)\.weight$/.test(name)),
      matrix('nextn.pre_projection.weight', first, [2 * width, embedding], 1.4),
      matrix('nextn.post_projection.weight', first + 1, [embedding, width], 1.2),
    ],
  };
}

export function randomDflash(o: RandomDflashOptions): GgufContent {
  const { embedding = usualWidth, vocab = usualVocabulary, seed = 1 } = o;
  const { blocksOf = 'qwen3' } = o;
  const content = randomModel({ ...o, architecture: blocksOf, tied: false });
  const { ARRAY, INT32, BOOL } = GgufValueType;
  const own: Record<string, GgufMetadataEntry> = {
    'dflash.block_size': u32(o.blockSize),
    'dflash.target_layers': {
      type: ARRAY,
      itemType: INT32,
      value: Int32Array.from(o.targetLayers),
    },
    'tokenizer.ggml.mask_token_id': u32(o.maskToken),
  };
  if (o.sliding !== undefined) {
    own['dflash.attention.sliding_window'] = u32(o.sliding[0]);
    own['dflash.attention.sliding_window_pattern'] = {
      type: ARRAY,
      itemType: BOOL,
      value: Uint8Array.from(o.sliding[1], Number),
    };
  }
  if (o.causal !== undefined) {
    own['dflash.attention.causal'] = { type: BOOL, value: o.causal };
  }
  if (o.embeddingScale !== undefined) own['dflash.embedding_scale'] = f32(o.embeddingScale);
  if (o.logitScale !== undefined) own['dflash.logit_scale'] = f32(o.logitScale);
  if (o.softcap !== undefined) own['dflash.final_logit_softcapping'] = f32(o.softcap);
  const metadata = new Map<string, GgufMetadataEntry>();
  for (const [key, entry] of content.metadata) {
    metadata.set(key.replace(/^(qwen3|deepseek4)\./, 'dflash.'), entry);
  }
  metadata.set('general.architecture', text('dflash'));
  for (const [key, entry] of Object.entries({ ...own, ...variantMetadata(o) })) {
    metadata.set(key, entry);
  }
  const first = 9000 + seed * 10;
  const taps = o.targetLayers.length;
  const tensors = content.tensors.filter(({ name }) => /^(blk\.|output_norm|output_hc)/.test(name));
  tensors.push(matrix('fc.weight', first, [taps * embedding, embedding]));
  tensors.push(norm('enc.output_norm.weight', first + 1, embedding));
  if (o.ownTable) tensors.push(matrix('token_embd.weight', first + 2, [embedding, vocab], 8));
  const rows = o.vocabulary?.length ?? vocab;
  if (o.ownHead || o.vocabulary) {
    tensors.push(matrix('output.weight', first + 3, [embedding, rows], 4));
  }
  if (o.vocabulary !== undefined) {
    const ids = BigInt64Array.from(o.vocabulary, BigInt);
    tensors.push({
      name: 'd2t',
      type: GgmlType.I64,
      shape: [rows],
      data: new Uint8Array(ids.buffer),
    });
  }
  return { metadata, tensors: variantTensors(tensors, o) };
}
