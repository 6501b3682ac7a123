/**
 * Gemma 4's own drafter (GGUF architecture `gemma4-assistant`): a few layers of Gemma 4 without keys and
 * values of their own, which attend over those that the target has stored. It takes the last token and
 * the target's hidden row before it, guesses the next token, and gives a hidden row to go on from. The
 * position stays that of the last token for every further guess: of guesses there are no keys.
 */
import { PacelineError } from '../base/errors.js';
import type { Backend } from '../ggml/backend.js';
import type { Graph } from '../ggml/graph.js';
import { preferredLayouts } from '../ggml/layouts.js';
import type { Tensor } from '../ggml/tensor.js';
import { type Gemma4, gemma4Parts } from './gemma4.js';
import type { LayerState } from './layer-state.js';
import { linear, rmsNorm, Stream } from './layers.js';
import type { ModelSource } from './load.js';
import { Metadata, readHyperparameters } from './metadata.js';
import type { AttentionShape, LanguageModel, SequenceSlice } from './model.js';
import { sharedWeight } from './shared-weights.js';
import { unreadTensors } from './unread-tensors.js';
import { WeightLoader } from './weights.js';

export interface AssistantInput {
  /** The last token, I32 [1]. */
  readonly token: Tensor;
  /** The target's hidden row before it (after the output norm), or the one to go on from, F32 [width, 1]. */
  readonly hidden: Tensor;
  /** Of the last token of the text, I32 [1]. */
  readonly position: Tensor;
  /** The target's own state: one row, whose `past` counts the positions that are stored, less one. */
  readonly sequence: SequenceSlice;
}

export interface AssistantModel {
  /** Width of the target's hidden rows. */
  readonly embeddingLength: number;
  readonly weightBytes: number;
  /** [vocabulary, 1], and [width, 1] to go on from. */
  forward(
    graph: Graph,
    input: AssistantInput,
  ): { readonly logits: Tensor; readonly hidden: Tensor };
  dispose(): void;
}

/**
 * Loads the drafter for `target`.
 * @throws {PacelineError} `wrong-shape` when it was made for another target, `missing-tensor`,
 *   `broken-file`, `unsupported-architecture`, `memory`, `aborted`.
 */
export async function loadAssistantModel(
  source: ModelSource,
  target: LanguageModel,
  options: { readonly backend: Backend; readonly signal?: AbortSignal | undefined },
): Promise<AssistantModel> {
  const m = new Metadata(source);
  const { embeddingLength: width, vocabSize, contextLength } = target.hyperparameters;
  const h = hyperparameters(m, target);
  const { embeddingLength, epsilon } = h;
  const loader = new WeightLoader(source, contextLength);
  // Where it lists which tokens to rate, all are rated all the same, as llama.cpp does.
  loader.skip('masked_embd_centroids.weight', 'masked_embd_ordering');
  const head = loader.table('token_embd.weight', [embeddingLength, vocabSize], true);
  const norm = loader.vector('output_norm.weight', embeddingLength);
  const enter = loader.matrix('nextn.pre_projection.weight', [2 * width, embeddingLength]);
  const leave = loader.matrix('nextn.post_projection.weight', [embeddingLength, width]);
  const blocks = h.attention.map((_, layer) => gemma4Parts.weights(loader, h, layer));
  const { known } = loader;
  const unread = [...source.tensors.keys()].filter((name) => !known.has(name));
  if (unread.length > 0) throw unreadTensors(m.architecture, unread);
  const table = sharedWeight(target, 'token_embd.weight');

  const allocations = await loader.load({ ...options, layouts: preferredLayouts() });
  return {
    embeddingLength: width,
    weightBytes: allocations.reduce((sum, { bytes }) => sum + bytes, 0),
    forward(graph, { token, hidden, position, sequence }) {
      const e = graph.scale(graph.rows(table, token), Math.fround(Math.sqrt(width)));
      let x = graph.linear(enter, graph.concat(e, hidden, 0)); // [embedding, 1]
      const batch = {
        ...{ tokens: token, positions: position, sequences: [sequence] },
        outputs: undefined,
      };
      const stream = new Stream(graph, batch, h.layerCount, x);
      for (const [layer, block] of blocks.entries()) {
        x = gemma4Parts.block(stream, h, block, x, layer);
      }
      const normed = rmsNorm(graph, x, norm, epsilon);
      const logits = linear(graph, { weight: head, scale: undefined, bias: undefined }, normed);
      return { logits, hidden: graph.linear(leave, normed) };
    },
    dispose() {
      for (const allocation of allocations.splice(0)) allocation.dispose();
    },
  };
}

/** Its layers as layers of Gemma 4 that read the rows of the target's last two, one of each kind. */
function hyperparameters(m: Metadata, target: LanguageModel): Gemma4 {
  const { embeddingLength, vocabSize, layerCount } = target.hyperparameters;
  const width = m.count('embedding_length_out');
  if (width !== embeddingLength) {
    throw misfit(`makes rows of ${width}, the target has rows of ${embeddingLength}`);
  }
  const common = readHyperparameters(m, vocabSize, { nextn: true });
  const attention = gemma4Parts.readAttention(m, common);
  const states = target.layerStates();
  const [windowed, full] = [layerCount - 2, layerCount - 1] as const;
  const rows = { windowed: rowsOf(states, windowed), full: rowsOf(states, full) };
  const windows = attention.windows.map((own, layer) => {
    const { kvHeads, keyLength } = attention.attention[layer] as AttentionShape;
    const lent = own === undefined ? rows.full : rows.windowed;
    if (lent?.heads !== kvHeads || lent.keys !== kvHeads * keyLength) {
      const found = lent === undefined ? 'no rows' : `rows of ${lent.keys}`;
      throw misfit(`reads ${kvHeads} heads of ${keyLength}, where the target has ${found}`);
    }
    if (own === undefined) return undefined;
    // Seen from the last position that is stored, which is the one before the last token's.
    const seen = Math.min(own, lent.window ?? own) - 1;
    if (seen > 0) return seen;
    throw m.bad('attention.sliding_window', `is ${own}`);
  });
  return {
    ...attention,
    windows,
    lenders: windows.map((window) => (window === undefined ? full : windowed)),
    inner: m.countPerLayer('feed_forward_length', common.layerCount),
    ...{ experts: [], expertInner: [], perLayerLength: 0, logitSoftcap: 0 },
  };
}

/** What a layer reads, wherever it lies. */
function rowsOf(states: readonly LayerState[], layer: number) {
  const state = states[layer];
  const found = state?.kind === 'shared' ? states[state.layer] : state;
  return found?.kind === 'rows' ? found : undefined;
}

function misfit(problem: string): PacelineError {
  return new PacelineError('wrong-shape', `The drafter ${problem}`, {
    hint: 'Take the draft file that was made for this model.',
  });
}
