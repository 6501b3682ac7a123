/**
 * Draft models that fill a block in one pass, from llama.cpp's files of architecture `dflash`: hidden rows of
 * several layers of the target are fused into one (fc) and become keys and values of every draft layer;
 * the rows of [last token, mask, mask, ...] see them and each other. Embeddings and output matrix are the
 * target's unless the file has its own.
 *
 * What a file is, its tensors say: with `markov_w1` it is a DSpark model, with `selector_hidden` a DFlash2
 * model; with `hyper_connection.count` its layers are DeepSeek V4's, otherwise Qwen3's. Where the format leaves
 * something open, llama.cpp decides: a table without a head also is the head, and a DSpark block's first row guesses
 * unless `sample_from_anchor` is false. In one thing it does not: `logit_scale` and `final_logit_softcapping`, which
 * llama.cpp applies to DFlash2 alone, are applied to all, since guesses are drawn as the target draws.
 */
import { PacelineError } from '../base/errors.js';
import type { Graph } from '../ggml/graph.js';
import { layoutsAt } from '../ggml/layouts.js';
import type { Tensor } from '../ggml/tensor.js';
import { GgmlType } from '../ggml/types.js';
import type { GgufTensorInfo } from '../gguf/types.js';
import { declareDeepSeek4Layers } from './dflash-deepseek4.js';
import { declareDflashLayers } from './dflash-layers.js';
import { declareLink } from './dflash-link.js';
import type { DflashModel } from './dflash-model.js';
import { dflashForm } from './draft-kind.js';
import * as layers from './layers.js';
import type { DraftLoadOptions, ModelSource } from './load.js';
import { Metadata, readHyperparameters } from './metadata.js';
import type { LanguageModel } from './model.js';
import { sharedWeight } from './shared-weights.js';
import { WeightLoader } from './weights.js';

/**
 * Loads a draft model for `target`.
 * @throws {PacelineError} `wrong-shape` when it was made for another target, `unsupported-architecture`
 *   for a variant that is not computed here (its first tensor that nothing reads is named), `missing-tensor`,
 *   `broken-file`, `platform`, `memory`, `aborted`.
 */
export async function loadDflashModel(
  source: ModelSource,
  target: LanguageModel,
  options: DraftLoadOptions,
): Promise<DflashModel> {
  const metadata = new Metadata(source);
  const { embeddingLength, vocabSize, contextLength } = target.hyperparameters;
  const loader = new WeightLoader(source, contextLength);
  const h = readHyperparameters(metadata, vocabSize);
  const { blockSize, firstGuess, taps: targetLayers, streams } = dflashForm(source);
  const maskToken = requireFit(source, target, targetLayers);

  const taps = targetLayers.length;
  const fuse = layers.declareLinear(loader, 'fc', taps * embeddingLength, embeddingLength);
  const contextNorm = loader.vector('enc.output_norm.weight', embeddingLength);
  const norm = loader.vector('output_norm.weight', embeddingLength);
  const body = streams
    ? declareDeepSeek4Layers(metadata, loader, h)
    : declareDflashLayers(metadata, loader, h, blockSize);
  const ids = loader.find('d2t');
  const logitCount = ids?.shape[0] ?? vocabSize;
  const { table, head } = declareEnds(loader, target, logitCount);
  const embeddingScale = metadata.positive('embedding_scale', 1);
  const logitScale = metadata.positive('logit_scale', 1);
  const softcap = metadata.notNegative('final_logit_softcapping', 0);
  const finish = (graph: Graph, z: Tensor): Tensor =>
    layers.softcap(graph, logitScale === 1 ? z : graph.scale(z, logitScale), softcap);
  const sizes = { embedding: embeddingLength, vocabulary: logitCount, targetVocabulary: vocabSize };
  const link = declareLink(metadata, loader, sizes, finish);
  // Variants guess in another way, and would be read wrongly, not just worse: what a file has must
  // be what is computed here.
  const known = new Set(['d2t', ...loader.known]);
  const unread = [...source.tensors.keys()].find((name) => !known.has(name));
  if (unread !== undefined) throw unsupported(unread);
  const vocabulary = ids && (await readVocabulary(source, ids, vocabSize, options.signal));

  const allocations = await loader.load({
    ...options,
    layouts: (spec) => layoutsAt(options.place, spec),
  });
  return {
    ...{ embeddingLength, blockSize, firstGuess, maskToken, targetLayers, vocabulary, link },
    targetVocabulary: vocabSize,
    weightBytes: allocations.reduce((sum, { bytes }) => sum + bytes, 0),
    rows: body.rows,

    inject(graph, { features, ...context }) {
      const fused = layers.linear(graph, fuse, features); // [embedding, T]
      body.inject(graph, layers.rmsNorm(graph, fused, contextNorm, h.epsilon), context);
    },

    guess(graph, block) {
      let x = graph.rows(table, block.tokens); // [embedding, B]
      if (embeddingScale !== 1) x = graph.scale(x, embeddingScale);
      const rows = body.run(graph, x, block);
      const normed = layers.rmsNorm(graph, rows, norm, h.epsilon);
      const z = layers.linear(graph, head, normed);
      // DSpark's share is added to raw logits; DFlash2 chooses among finished ones.
      const logits = link?.kind === 'dspark' ? z : finish(graph, z);
      return { logits, hidden: body.ratesBeforeNorm ? rows : normed };
    },

    dispose() {
      for (const allocation of allocations.splice(0)) allocation.dispose();
    },
  };
}

/** The file's mask token, where the file fits the target. @throws {PacelineError} `wrong-shape`. */
function requireFit(
  source: ModelSource,
  target: LanguageModel,
  targetLayers: readonly number[],
): number {
  const { embeddingLength, vocabSize, layerCount } = target.hyperparameters;
  const own = new Metadata(source).count('embedding_length');
  const maskToken = source.metadata.get('tokenizer.ggml.mask_token_id')?.value;
  const misfit =
    own !== embeddingLength
      ? `has rows of ${own}, the target of ${embeddingLength}`
      : targetLayers.some((index) => index < 1 || index > layerCount)
        ? `reads layers ${targetLayers.join(', ')} of a target that has ${layerCount}`
        : !isToken(maskToken, vocabSize)
          ? 'has no mask token that the target knows'
          : undefined;
  if (misfit === undefined && typeof maskToken === 'number') return maskToken;
  throw new PacelineError('wrong-shape', `The draft model ${misfit}`, {
    hint: 'Take the draft file that was made for this model.',
    details: { targetLayers, maskToken },
  });
}

/** Embeddings and head: the file's own, or the target's. */
function declareEnds(loader: WeightLoader, target: LanguageModel, logitCount: number) {
  const { embeddingLength, vocabSize } = target.hyperparameters;
  const [table, matrix] = ['token_embd.weight', 'output.weight'] as const;
  const [ownTable, ownHead] = [table, matrix].map((name) => loader.find(name) !== undefined);
  if (logitCount !== vocabSize && !ownHead) throw unsupported('d2t, without output.weight');
  const rows = ownTable
    ? loader.table(table, [embeddingLength, vocabSize], !ownHead)
    : sharedWeight(target, table);
  const tied = ownTable ? rows : undefined;
  const head: layers.Linear = ownHead
    ? layers.declareLinear(loader, 'output', embeddingLength, logitCount)
    : { weight: tied ?? sharedWeight(target, matrix, table), scale: undefined, bias: undefined };
  return { table: rows, head };
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
