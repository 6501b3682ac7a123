/**
 * DFlash, a block-diffusion drafter: hidden rows of several layers of the target are fused into one
 * (fc) and become keys and values of every draft layer; one pass over [last token, mask, mask, ...],
 * whose rows see each other, fills the whole block. Embeddings and output matrix are the target's.
 * Keys and tensor names as in llama.cpp's draft files of architecture `dflash`.
 */
import { PacelineError } from '../base/errors.js';
import type { Backend } from '../ggml/backend.js';
import type { Graph } from '../ggml/graph.js';
import { preferredLayouts } from '../ggml/layouts.js';
import type { Tensor } from '../ggml/tensor.js';
import type { Weight } from '../ggml/weight.js';
import { append, attendBlock } from './attention.js';
import * as layers from './layers.js';
import type { ModelSource } from './load.js';
import { Metadata, readHyperparameters } from './metadata.js';
import type { CacheRows, LanguageModel, SequenceSlice } from './model.js';
import { qwen3Block } from './qwen3.js';
import { sharedWeight } from './shared-weights.js';
import { WeightLoader } from './weights.js';

export interface DflashContext {
  /** Tapped rows, concatenated in the order of `targetLayers`: F32 [embedding * taps, T]. */
  readonly features: Tensor;
  /** I32 [T]. */
  readonly positions: Tensor;
  readonly slice: SequenceSlice;
}

export interface DflashBlock {
  /** The last token and masks, I32 [B]. */
  readonly tokens: Tensor;
  readonly positions: Tensor;
  readonly slice: SequenceSlice;
  /** Rows that guess: 1 to B - 1, I32. */
  readonly outputs: Tensor;
}

export interface DflashModel {
  readonly embeddingLength: number;
  /** Rows of a block: the last token and the guesses. */
  readonly blockSize: number;
  readonly maskToken: number;
  /** Taps: index i is the input of the target's layer i. */
  readonly targetLayers: readonly number[];
  readonly weightBytes: number;
  cacheLayout(): readonly CacheRows[];
  /** Stores keys and values of context rows; they depend on nothing but their own features. */
  inject(graph: Graph, context: DflashContext): void;
  /** Logits [vocabulary, outputs] of a block behind the context. */
  guess(graph: Graph, block: DflashBlock): Tensor;
  dispose(): void;
}

/** Tensors of variants that guess in another way; they would be read wrongly, not just worse. */
const variants = [
  'markov_w1.weight',
  'selector_hidden.weight',
  'd2t',
  'token_embd.weight',
  'output.weight',
];

/** Whether the file is a draft model of this kind. */
export function isDflash(source: ModelSource): boolean {
  return source.metadata.get('general.architecture')?.value === 'dflash';
}

/**
 * Loads a draft model for `target`.
 * @throws {PacelineError} `wrong-shape` when it was made for another target, `unsupported-architecture`
 *   for its variants, `missing-tensor`, `broken-file`, `memory`, `aborted`.
 */
export async function loadDflashModel(
  source: ModelSource,
  target: LanguageModel,
  options: { readonly backend: Backend; readonly signal?: AbortSignal | undefined },
): Promise<DflashModel> {
  const metadata = new Metadata(source);
  const { embeddingLength, vocabSize, contextLength, layerCount } = target.hyperparameters;
  const loader = new WeightLoader(source, contextLength);
  const variant =
    variants.find((name) => loader.find(name) !== undefined) ??
    ['embedding_scale', 'hidden_activation'].find((key) => metadata.has(key));
  if (variant !== undefined) {
    throw new PacelineError(
      'unsupported-architecture',
      `DFlash models with ${variant} are not supported`,
      { hint: 'Take a plain DFlash model, or draft with ngram or mtp.' },
    );
  }
  const common = readHyperparameters(metadata, vocabSize);
  const targetLayers = metadata.numbers('target_layers');
  const maskToken = source.metadata.get('tokenizer.ggml.mask_token_id')?.value;
  const misfit =
    common.embeddingLength !== embeddingLength
      ? `has rows of ${common.embeddingLength}, the target of ${embeddingLength}`
      : targetLayers.some((index) => index < 1 || index > layerCount)
        ? `reads layers ${targetLayers.join(', ')} of a target that has ${layerCount}`
        : typeof maskToken !== 'number' || maskToken >= vocabSize
          ? 'has no mask token that the target knows'
          : undefined;
  if (misfit !== undefined || typeof maskToken !== 'number') {
    throw new PacelineError('wrong-shape', `The draft model ${misfit}`, {
      hint: 'Take the draft file that was made for this model.',
      details: { targetLayers, maskToken },
    });
  }
  const h = qwen3Block.hyperparameters(metadata, common, 'qwen3');
  const taps = targetLayers.length;
  const fuse = loader.matrix('fc.weight', [taps * embeddingLength, embeddingLength]);
  const contextNorm = loader.vector('enc.output_norm.weight', embeddingLength);
  const norm = loader.vector('output_norm.weight', embeddingLength);
  const blocks = h.headCounts.map((_, layer) => qwen3Block.weights(loader, h, layer));
  const table = sharedWeight(target, 'token_embd.weight');
  const head: layers.Linear = {
    weight: sharedWeight(target, 'output.weight', 'token_embd.weight'),
    scale: undefined,
    bias: undefined,
  };
  const window = metadata.has('attention.sliding_window')
    ? metadata.count('attention.sliding_window')
    : undefined;
  const windowed = metadata.flagPerLayer('attention.sliding_window_pattern', h.layerCount);
  const causal = source.metadata.get('dflash.attention.causal')?.value === true;
  const scale = metadata.number('attention.scale', 1 / Math.sqrt(h.headDim));

  const allocations = await loader.load({ ...options, layouts: preferredLayouts() });
  const rotated = (graph: Graph, part: Tensor, weight: Weight, positions: Tensor) => {
    const normed = graph.rmsNorm(
      layers.splitHeads(graph, part, h.headDim),
      weight.tensor,
      h.epsilon,
    );
    return graph.rope(normed, positions, h.rope);
  };
  return {
    embeddingLength,
    blockSize: metadata.count('block_size', 16, 2),
    maskToken,
    targetLayers,
    weightBytes: allocations.reduce((sum, { bytes }) => sum + bytes, 0),
    cacheLayout: () =>
      h.kvHeadCounts.map((heads) => ({ kRow: heads * h.headDim, vRow: heads * h.headDim })),

    inject(graph, { features, positions, slice }) {
      graph.onlyOnce(); // rows are copied to where the cache ends now
      const fused = graph.rmsNorm(graph.linear(fuse, features), contextNorm.tensor, h.epsilon);
      for (const [layer, { qkv, kNorm }] of blocks.entries()) {
        const { k, v } = layers.project(graph, qkv, fused, h, layer);
        const keys = rotated(graph, k, kNorm, positions);
        append(
          graph,
          slice,
          slice.cache.layer(layer),
          keys,
          layers.splitHeads(graph, v, h.headDim),
        );
      }
    },

    guess(graph, { tokens, positions, slice, outputs }) {
      let x = graph.rows(table, tokens); // [embedding, B]
      for (const [layer, b] of blocks.entries()) {
        const normed = graph.rmsNorm(x, b.attentionNorm.tensor, h.epsilon);
        const { q, k, v } = layers.project(graph, b.qkv, normed, h, layer);
        const options = { scale, causal, window: windowed?.[layer] ? window : undefined };
        const seen = attendBlock(
          ...([graph, slice, layer] as const),
          rotated(graph, q, b.qNorm, positions),
          rotated(graph, k, b.kNorm, positions),
          layers.splitHeads(graph, v, h.headDim),
          options,
        );
        const sum = graph.add(x, layers.linear(graph, b.output, seen));
        const inner = graph.rmsNorm(sum, b.networkNorm.tensor, h.epsilon);
        x = graph.add(sum, qwen3Block.network(graph, b, inner));
      }
      const rows = graph.getRows(x, outputs);
      return layers.linear(graph, head, graph.rmsNorm(rows, norm.tensor, h.epsilon));
    },

    dispose() {
      for (const allocation of allocations.splice(0)) allocation.dispose();
    },
  };
}
