/**
 * DFlash, a block-diffusion drafter: hidden rows of several layers of the target are fused into one
 * (fc) and become keys and values of every draft layer; one pass over [last token, mask, mask, ...],
 * whose rows see each other, fills the whole block. Embeddings and output matrix are the target's.
 * Keys and tensor names as in llama.cpp's draft files of architecture `dflash`.
 */
import { PacelineError } from '../base/errors.js';
import type { RowShape } from '../ggml/cache-rows.js';
import type { Graph } from '../ggml/graph.js';
import { layoutsAt } from '../ggml/layouts.js';
import type { Tensor } from '../ggml/tensor.js';
import { GgmlType } from '../ggml/types.js';
import type { Weight } from '../ggml/weight.js';
import type { GgufTensorInfo } from '../gguf/types.js';
import { append, attendBlock } from './attention.js';
import { keptRows } from './decoder.js';
import { dflashBlockSize, dflashTaps } from './draft-kind.js';
import { rowShapes } from './layer-state.js';
import * as layers from './layers.js';
import type { DraftLoadOptions, ModelSource } from './load.js';
import { Metadata, readHyperparameters } from './metadata.js';
import type { AttentionShape, LanguageModel, SequenceSlice } from './model.js';
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
  /** A row sees no more than the `window - 1` positions before its own. */
  readonly window: number;
}

export interface DflashModel {
  readonly embeddingLength: number;
  /** Rows of a block: the last token and the guesses. */
  readonly blockSize: number;
  readonly maskToken: number;
  /** Taps: index i is the input of the target's layer i. */
  readonly targetLayers: readonly number[];
  /** The target's token for each logit, where the draft model knows only some of them. */
  readonly vocabulary: Int32Array | undefined;
  readonly targetVocabulary: number;
  readonly weightBytes: number;
  /** What the layers keep of a position. */
  readonly rows: readonly RowShape[];
  /** Stores keys and values of context rows; they depend on nothing but their own features. */
  inject(graph: Graph, context: DflashContext): void;
  /** Logits of a block behind the context: [vocabulary, outputs]. */
  guess(graph: Graph, block: DflashBlock): Tensor;
  dispose(): void;
}

/**
 * Loads a draft model for `target`.
 * @throws {PacelineError} `wrong-shape` when it was made for another target, `unsupported-architecture`
 *   for its variants, `missing-tensor`, `broken-file`, `memory`, `aborted`.
 */
export async function loadDflashModel(
  source: ModelSource,
  target: LanguageModel,
  options: DraftLoadOptions,
): Promise<DflashModel> {
  const metadata = new Metadata(source);
  const { embeddingLength, vocabSize, contextLength, layerCount } = target.hyperparameters;
  const loader = new WeightLoader(source, contextLength);
  const activation = metadata.string('hidden_activation') ?? 'silu';
  if (activation !== 'silu') throw unsupported(`hidden_activation ${activation}`);
  const common = readHyperparameters(metadata, vocabSize);
  const targetLayers = dflashTaps(source);
  const blockSize = dflashBlockSize(source);
  const maskToken = source.metadata.get('tokenizer.ggml.mask_token_id')?.value;
  const misfit =
    common.embeddingLength !== embeddingLength
      ? `has rows of ${common.embeddingLength}, the target of ${embeddingLength}`
      : targetLayers.some((index) => index < 1 || index > layerCount)
        ? `reads layers ${targetLayers.join(', ')} of a target that has ${layerCount}`
        : !isToken(maskToken, vocabSize)
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
  const blocks = h.attention.map((_, layer) => qwen3Block.weights(loader, h, layer));
  const ids = loader.find('d2t');
  const own = (name: string, rows: number, tied: boolean) =>
    loader.find(name) && loader.table(name, [embeddingLength, rows], tied);
  const ownTable = own('token_embd.weight', vocabSize, false);
  const ownHead = own('output.weight', ids?.shape[0] ?? vocabSize, true);
  if (ids !== undefined && ownHead === undefined) throw unsupported('d2t, without output.weight');
  const table = ownTable ?? sharedWeight(target, 'token_embd.weight');
  const head: layers.Linear = {
    weight: ownHead ?? sharedWeight(target, 'output.weight', 'token_embd.weight'),
    scale: undefined,
    bias: undefined,
  };
  // Variants guess in another way, and would be read wrongly, not just worse: what a file has must
  // be what is computed here.
  const known = new Set(['d2t', ...loader.weights.map(({ name }) => name)]);
  const unread = [...source.tensors.keys()].find((name) => !known.has(name));
  if (unread !== undefined) throw unsupported(unread);
  const window = metadata.count('attention.sliding_window', Infinity);
  const windowed = metadata.flagPerLayer('attention.sliding_window_pattern', h.layerCount);
  const causal = source.metadata.get('dflash.attention.causal')?.value === true;
  const shape = h.attention[0] as AttentionShape;
  const scale = metadata.positive('attention.scale', 1 / Math.sqrt(shape.keyLength));
  const embeddingScale = metadata.positive('embedding_scale', 1);
  const logitScale = metadata.positive('logit_scale', 1);
  const softcap = metadata.notNegative('final_logit_softcapping', 0);
  const vocabulary = ids && (await readVocabulary(source, ids, vocabSize, options.signal));

  const allocations = await loader.load({
    ...options,
    layouts: (spec) => layoutsAt(options.place, spec),
  });
  const rotated = (graph: Graph, part: Tensor, weight: Weight, positions: Tensor) => {
    return graph.rope(layers.rmsNorm(graph, part, weight, h.epsilon), positions, h.rope);
  };
  return {
    embeddingLength,
    blockSize,
    maskToken,
    targetLayers,
    vocabulary,
    targetVocabulary: vocabSize,
    weightBytes: allocations.reduce((sum, { bytes }) => sum + bytes, 0),
    rows: rowShapes(h.attention.map((of) => keptRows(of))),

    inject(graph, { features, positions, slice }) {
      graph.onlyOnce(); // rows are copied to where the cache ends now
      const fused = layers.rmsNorm(graph, graph.linear(fuse, features), contextNorm, h.epsilon);
      for (const [layer, { qkv, kNorm }] of blocks.entries()) {
        const { k, v } = layers.projectHeads(graph, qkv, fused, h.attention[layer] ?? shape);
        const keys = rotated(graph, k, kNorm, positions);
        append(graph, slice, slice.state.layer(layer), keys, v);
      }
    },

    guess(graph, { tokens, positions, slice, outputs, window: most }) {
      let x = graph.rows(table, tokens); // [embedding, B]
      if (embeddingScale !== 1) x = graph.scale(x, embeddingScale);
      for (const [layer, b] of blocks.entries()) {
        const normed = layers.rmsNorm(graph, x, b.attentionNorm, h.epsilon);
        const { q, k, v } = layers.projectHeads(graph, b.qkv, normed, h.attention[layer] ?? shape);
        const options = {
          scale,
          causal,
          window: windowed?.[layer] ? Math.min(window, most) : most,
        };
        const input = {
          slice,
          layer,
          q: rotated(graph, q, b.qNorm, positions),
          k: rotated(graph, k, b.kNorm, positions),
          v,
        };
        const seen = attendBlock(graph, input, options);
        const sum = graph.add(x, layers.linear(graph, b.output, seen));
        const inner = layers.rmsNorm(graph, sum, b.networkNorm, h.epsilon);
        x = graph.add(sum, qwen3Block.network(graph, b, inner));
      }
      const rows = graph.getRows(x, outputs);
      let z = layers.linear(graph, head, layers.rmsNorm(graph, rows, norm, h.epsilon));
      if (logitScale !== 1) z = graph.scale(z, logitScale);
      if (softcap > 0) z = graph.scale(graph.tanh(graph.scale(z, 1 / softcap)), softcap);
      return z;
    },

    dispose() {
      for (const allocation of allocations.splice(0)) allocation.dispose();
    },
  };
}

function isToken(value: unknown, vocabSize: number): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < vocabSize;
}

function unsupported(what: string): PacelineError {
  return new PacelineError(
    'unsupported-architecture',
    `DFlash models with ${what} are not supported`,
    { hint: 'Take a plain DFlash model, or draft with ngram or mtp.' },
  );
}

/** The target's token for each token of a draft model with a vocabulary of its own. */
async function readVocabulary(
  source: ModelSource,
  info: GgufTensorInfo,
  vocabSize: number,
  signal: AbortSignal | undefined,
): Promise<Int32Array> {
  if (info.type !== GgmlType.I64 || info.shape.length !== 1) throw unsupported(`d2t of ${info}`);
  const bytes = new Uint8Array(info.bytes);
  await source.readTensor(info, bytes, { start: 0, signal });
  const ids = Array.from(new BigInt64Array(bytes.buffer), Number);
  if (ids.every((id) => id >= 0 && id < vocabSize)) return Int32Array.from(ids);
  throw new PacelineError('wrong-shape', 'The draft model has tokens that the target does not', {
    hint: 'Take the draft file that was made for this model.',
  });
}
