/**
 * A multi-token prediction head (DeepSeek-V3, arXiv 2412.19437; the `nextn` tensors of GGUF): one
 * block of its architecture that guesses the token after the next from the embedding of the next token and the
 * target's hidden row before it. Embeddings and output matrix are the target's unless the file has
 * its own. Row p takes token x_p and hidden row h_{p-1} (after the output norm), and predicts x_{p+1}.
 */
import { PacelineError } from '../base/errors.js';
import { layoutsAt } from '../ggml/layouts.js';
import { keptRows } from './decoder.js';
import { loadDeepSeek4Head } from './deepseek4-head.js';
import type { DeclareHeadBlock } from './head-block.js';
import { rowShapes } from './layer-state.js';
import { type Linear, linear, rmsNorm, Stream } from './layers.js';
import type { DraftLoadOptions, ModelSource } from './load.js';
import { Metadata, readHyperparameters } from './metadata.js';
import type { LanguageModel } from './model.js';
import type { MtpModel } from './mtp-model.js';
import { qwen3Head } from './qwen3.js';
import { qwen35Head } from './qwen35.js';
import { sharedWeight } from './shared-weights.js';
import { unreadTensors } from './unread-tensors.js';
import { WeightLoader } from './weights.js';

/** Which block a head of an architecture has. */
const headBlocks: ReadonlyMap<string, DeclareHeadBlock> = new Map([
  ['qwen3', qwen3Head],
  ['qwen35', qwen35Head],
  ['qwen35moe', qwen35Head],
]);

/**
 * Loads the block of `source` for `target`.
 * @throws {PacelineError} `wrong-shape` when it was made for another target, `unsupported-architecture`,
 *   `missing-tensor`, `memory`, `aborted`.
 */
export async function loadMtpModel(
  source: ModelSource,
  target: LanguageModel,
  options: DraftLoadOptions,
): Promise<MtpModel> {
  const metadata = new Metadata(source);
  if (metadata.architecture === 'deepseek4') return loadDeepSeek4Head(source, target, options);
  const declareBlock = headBlocks.get(metadata.architecture);
  if (declareBlock === undefined) {
    throw new PacelineError(
      'unsupported-architecture',
      `Multi-token prediction blocks of ${metadata.architecture} are not supported`,
      { hint: 'Draft with ngram, or with a DFlash model.' },
    );
  }
  const { embeddingLength, vocabSize, contextLength } = target.hyperparameters;
  const common = readHyperparameters(metadata, vocabSize, { nextn: true });
  const layer = common.layerCount - metadata.count('nextn_predict_layers');
  if (common.embeddingLength !== embeddingLength) {
    throw new PacelineError(
      'wrong-shape',
      `The draft block has rows of ${common.embeddingLength}, the target of ${embeddingLength}`,
      { hint: 'Take the draft file that was made for this model.' },
    );
  }
  const loader = new WeightLoader(source, contextLength);
  const at = `blk.${layer}.nextn`;
  const join = loader.matrix(`${at}.eh_proj.weight`, [2 * embeddingLength, embeddingLength]);
  const tokenNorm = loader.vector(`${at}.enorm.weight`, embeddingLength);
  const hiddenNorm = loader.vector(`${at}.hnorm.weight`, embeddingLength);
  const ownNorm = loader.optionalVector(`${at}.shared_head_norm.weight`, [embeddingLength]);
  const own = (name: string, tied: boolean) =>
    loader.find(name) && loader.table(name, [embeddingLength, vocabSize], tied);
  const ownTable = own(`${at}.embed_tokens.weight`, false);
  const ownHead = own(`${at}.shared_head_head.weight`, true);
  const block = declareBlock(metadata, common, loader, layer);
  const table = ownTable ?? sharedWeight(target, 'token_embd.weight');
  // LFM2's files call the norm behind the last layer as its checkpoints do.
  const norm = ownNorm ?? sharedWeight(target, 'output_norm.weight', 'token_embd_norm.weight');
  const headWeight = ownHead ?? sharedWeight(target, 'output.weight', 'token_embd.weight');
  const head: Linear = { weight: headWeight, scale: undefined, bias: undefined };

  const known = new Set(loader.weights.map(({ name }) => name));
  const unread = [...source.tensors.keys()].filter(
    (name) => name.startsWith(`blk.${layer}.`) && !known.has(name),
  );
  if (unread.length > 0) throw unreadTensors(`${metadata.architecture} (MTP)`, unread);

  const allocations = await loader.load({
    ...options,
    layouts: (spec) => layoutsAt(options.place, spec),
  });
  return {
    hiddenLength: embeddingLength,
    vocabSize,
    weightBytes: allocations.reduce((sum, { bytes }) => sum + bytes, 0),
    rows: rowShapes([keptRows(block.attention)]),
    forward(graph, { tokens, hidden, positions, sequence, outputs, window }) {
      const e = rmsNorm(graph, graph.rows(table, tokens), tokenNorm, common.epsilon);
      const before = rmsNorm(graph, hidden, hiddenNorm, common.epsilon);
      const joined = graph.linear(join, graph.concat(e, before, 0)); // [embedding, T]
      const batch = { tokens, positions, sequences: [sequence], outputs };
      const stream = new Stream(graph, batch, 1, joined);
      const x = block.run(stream, joined, window);
      const normed = rmsNorm(graph, x, norm, common.epsilon);
      return { logits: linear(graph, head, normed), hidden: normed };
    },
    dispose() {
      for (const allocation of allocations.splice(0)) allocation.dispose();
    },
  };
}
