/**
 * The multi-token prediction block of DeepSeek V4: a block of the model that looks back on a window alone. It
 * reads the target's streams behind the last layer as they are, each beside the embedding of the next token, and
 * hands its own streams on. A file of its own has its own table, norm and head.
 */
import { PacelineError } from '../base/errors.js';
import type { Graph } from '../ggml/graph.js';
import { layoutsAt } from '../ggml/layouts.js';
import type { Weight } from '../ggml/weight.js';
import { attentionState } from './compressed-attention.js';
import { block, collapse, declareBlock, readDeepSeek4 } from './deepseek4.js';
import { isDraftOnly } from './draft-kind.js';
import { repeatStreams } from './hyper-connections.js';
import { rowShapes } from './layer-state.js';
import { linear, rmsNorm, Stream } from './layers.js';
import type { DraftLoadOptions, ModelSource } from './load.js';
import { Metadata, readHyperparameters } from './metadata.js';
import type { LanguageModel } from './model.js';
import type { MtpBatch, MtpModel } from './mtp-model.js';
import { sharedWeight } from './shared-weights.js';
import { unreadTensors } from './unread-tensors.js';
import { WeightLoader } from './weights.js';

/** Loads the block of `source` for `target`. @throws {PacelineError} as `loadMtpModel`. */
export async function loadDeepSeek4Head(
  source: ModelSource,
  target: LanguageModel,
  options: DraftLoadOptions,
): Promise<MtpModel> {
  const metadata = new Metadata(source);
  const { embeddingLength: embedding, vocabSize, contextLength } = target.hyperparameters;
  const common = readHyperparameters(metadata, vocabSize, { nextn: true });
  const layer = common.layerCount - metadata.count('nextn_predict_layers');
  const none = Array<number>(common.layerCount).fill(0);
  const h = readDeepSeek4(metadata, common, none, 0);
  const { streams } = h.hyper;
  const width = streams * embedding;
  if (common.embeddingLength !== embedding || target.hiddenLength !== width) {
    throw new PacelineError(
      'wrong-shape',
      `The draft block has ${streams} streams of ${common.embeddingLength}, the target rows of ${target.hiddenLength}`,
      { hint: 'Take the draft file that was made for this model.' },
    );
  }
  const loader = new WeightLoader(source, contextLength);
  const at = `blk.${layer}.nextn`;
  const joined = loader.matrix(`${at}.eh_proj.weight`, [2 * embedding, embedding]);
  const tokenNorm = loader.vector(`${at}.enorm.weight`, embedding);
  const hiddenNorm = loader.vector(`${at}.hnorm.weight`, embedding);
  const alone = isDraftOnly(source);
  /** The first of these tensors that there is: the block's own, those of its file, the target's. */
  const find = (own: string, name: string, take: (name: string) => Weight): Weight => {
    if (loader.find(`${at}.${own}.weight`)) return take(`${at}.${own}.weight`);
    if (alone && loader.find(`${name}.weight`)) return take(`${name}.weight`);
    return sharedWeight(target, `${name}.weight`);
  };
  const table = find('embed_tokens', 'token_embd', (name) =>
    loader.table(name, [embedding, vocabSize], false),
  );
  const norm = find('shared_head_norm', 'output_norm', (name) => loader.vector(name, embedding));
  const matrix = find('shared_head_head', 'output', (name) =>
    loader.matrix(name, [embedding, vocabSize]),
  );
  const toRow = collapse(loader, h);
  const weights = declareBlock(loader, h, layer);
  const { known } = loader;
  const unread = [...source.tensors.keys()].filter(
    (name) => name.startsWith(`blk.${layer}.`) && !known.has(name),
  );
  if (unread.length > 0) throw unreadTensors('deepseek4 (MTP)', unread);
  const allocations = await loader.load({
    ...options,
    layouts: (spec) => layoutsAt(options.place, spec),
  });
  return {
    hiddenLength: width,
    vocabSize,
    weightBytes: allocations.reduce((sum, { bytes }) => sum + bytes, 0),
    rows: rowShapes([attentionState(h, layer)]),
    forward(graph: Graph, { tokens, hidden, positions, sequence, outputs, window }: MtpBatch) {
      const count = tokens.elements;
      const e = rmsNorm(graph, graph.rows(table, tokens), tokenNorm, h.epsilon);
      const shape = [embedding, streams, count];
      const before = rmsNorm(graph, graph.reshape(hidden, shape), hiddenNorm, h.epsilon);
      const beside = graph.reshape(repeatStreams(graph, e, streams), shape);
      const both = graph.reshape(graph.concat(beside, before, 0), [2 * embedding, streams * count]);
      const x = graph.reshape(graph.linear(joined, both), [width, count]);
      const batch = { tokens, positions, sequences: [sequence], outputs };
      const stream = new Stream(graph, batch, layer + 1, x);
      const own = { ...h, window: Math.min(h.window, window) };
      const made = block(stream, own, weights, x, layer, { state: 0 });
      const row = rmsNorm(graph, toRow(graph, made), norm, h.epsilon);
      const head = { weight: matrix, scale: undefined, bias: undefined };
      return { logits: linear(graph, head, row), hidden: made };
    },
    dispose() {
      for (const allocation of allocations.splice(0)) allocation.dispose();
    },
  };
}
