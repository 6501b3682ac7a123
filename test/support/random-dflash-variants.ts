/** What the variants of DFlash models have besides: tensors, and the metadata that says so. */
import { type GgufMetadataEntry, GgufValueType } from '../../src/gguf/types.js';
import type { GgufTensorToWrite } from '../../src/gguf/writer.js';
import { text, u32 } from '../../src/synthetic/entries.js';
import { matrix, norm } from './random-tensors.js';

export interface DflashVariant {
  /** DSpark: rank of the matrix for the token before, and whether there is a head for confidence, with a bias. */
  readonly markov?: {
    readonly rank: number;
    readonly confidence?: boolean;
    readonly confidenceBias?: boolean;
  };
  readonly sampleFromAnchor?: boolean;
  /** DFlash2: of the selector, and of the convolutions around attention and network. */
  readonly selector?: {
    readonly rank: number;
    readonly most: number;
    readonly taps: number;
    readonly group: number;
  };
  readonly activation?: 'silu' | 'gelu' | 'gelu_pytorch_tanh';
  readonly sinks?: boolean;
  /** Norms behind attention and network. */
  readonly postNorms?: boolean;
  readonly outputScale?: boolean;
  /** Divisors of the rotation's frequencies. */
  readonly divisors?: boolean;
  /** Values are the keys before their norm. */
  readonly valuesOfKeys?: boolean;
}

interface Sizes {
  readonly layers: number;
  readonly embedding?: number;
  readonly heads?: number;
  readonly headDim?: number;
  readonly vocab?: number;
  readonly vocabulary?: readonly number[];
  readonly seed?: number;
}

export function variantMetadata(o: DflashVariant): Record<string, GgufMetadataEntry> {
  const own: Record<string, GgufMetadataEntry> = {};
  const flag = (value: boolean): GgufMetadataEntry => ({ type: GgufValueType.BOOL, value });
  if (o.activation !== undefined) own['dflash.hidden_activation'] = text(o.activation);
  if (o.sampleFromAnchor !== undefined) {
    own['dflash.sample_from_anchor'] = flag(o.sampleFromAnchor);
  }
  if (o.markov !== undefined) {
    own['dflash.has_confidence_head'] = flag(o.markov.confidence ?? false);
  }
  if (o.selector !== undefined) {
    own['dflash.conv_kernel_size'] = u32(o.selector.taps);
    own['dflash.conv_group_size'] = u32(o.selector.group);
    own['dflash.selector_rank'] = u32(o.selector.rank);
    own['dflash.selector_top_k'] = u32(o.selector.most);
  }
  return own;
}

/** The tensors of a plain model with those of its variant. */
export function variantTensors(
  plain: readonly GgufTensorToWrite[],
  o: DflashVariant & Sizes,
): GgufTensorToWrite[] {
  const { embedding = 256, heads = 4, headDim = 32, vocab = 331, seed = 1 } = o;
  let next = 13000 + seed * 100;
  const number = () => next++;
  const tensors = plain.filter(({ name }) => !(o.valuesOfKeys && name.endsWith('attn_v.weight')));
  for (let layer = 0; layer < o.layers; layer++) {
    const at = `blk.${layer}`;
    if (o.sinks) tensors.push(norm(`${at}.attn_sinks.weight`, number(), heads));
    if (o.postNorms) {
      for (const name of ['post_attention_norm', 'post_ffw_norm']) {
        tensors.push(norm(`${at}.${name}.weight`, number(), embedding, 0.5));
      }
    }
    if (o.outputScale) tensors.push(norm(`${at}.layer_output_scale.weight`, number(), 1, 0.8));
    if (o.selector === undefined) continue;
    const { taps, group } = o.selector;
    for (const part of ['attn', 'ffn']) {
      const width = (2 * taps * embedding) / group;
      const base = norm(`${at}.${part}_conv_base`, number(), embedding * taps * 2, 0.6);
      tensors.push({ ...base, shape: [embedding, taps, 2] });
      tensors.push(matrix(`${at}.${part}_conv_proj.weight`, number(), [embedding, width], 0.4));
    }
  }
  if (o.divisors) tensors.push(norm('rope_freqs.weight', number(), headDim / 2, 2));
  if (o.markov !== undefined) {
    const { rank, confidence, confidenceBias } = o.markov;
    const rows = o.vocabulary?.length ?? vocab;
    tensors.push(matrix('markov_w1.weight', number(), [rank, vocab], 4));
    tensors.push(matrix('markov_w2.weight', number(), [rank, rows], 2));
    if (confidence) tensors.push(matrix('conf_proj.weight', number(), [embedding + rank, 1]));
    if (confidenceBias) tensors.push(norm('conf_proj.bias', number(), 1, 0.3));
  }
  if (o.selector !== undefined) {
    const { rank } = o.selector;
    tensors.push(matrix('selector_predecessor.weight', number(), [rank, vocab], 3));
    tensors.push(matrix('selector_successor.weight', number(), [rank, vocab], 3));
    tensors.push(matrix('selector_hidden.weight', number(), [embedding, rank]));
  }
  return tensors;
}
