/**
 * The layers of DeepSeek V4's DSpark drafter: blocks of the model itself, a residual of four streams and a mixture of
 * experts included, whose attention sees a window of context rows and the whole of the block. A context row
 * is key and value in one.
 */
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import { attentionState, storeContext } from './compressed-attention.js';
import { block, collapse, declareBlock, readDeepSeek4, requireRating } from './deepseek4.js';
import type { DflashBlock, DflashLayers } from './dflash-model.js';
import { repeatStreams } from './hyper-connections.js';
import { rowShapes } from './layer-state.js';
import { Stream } from './layers.js';
import type { Metadata } from './metadata.js';
import type { Hyperparameters } from './model.js';
import type { WeightLoader } from './weights.js';

/**
 * @throws {PacelineError} `broken-file`, `missing-tensor`, `wrong-shape`; `unsupported-architecture` for layers that
 *   keep rows of blocks, or rate experts in another way; `platform` without the kernels.
 */
export function declareDeepSeek4Layers(
  m: Metadata,
  w: WeightLoader,
  common: Hyperparameters,
): DflashLayers {
  requireRating(m);
  const { layerCount } = common;
  const key = 'attention.compress_ratios';
  if (
    m.has(key) &&
    m
      .numbers(key)
      .slice(0, layerCount)
      .some((ratio) => ratio !== 0)
  ) {
    throw m.unsupported(key, 'rows for blocks of positions');
  }
  const h = readDeepSeek4(m, common, new Array<number>(layerCount).fill(0), 0);
  const blocks = h.attention.map((_, layer) => declareBlock(w, h, layer));
  const toRow = collapse(w, h);
  const causal = m.flag('attention.causal', false);
  return {
    rows: rowShapes(blocks.map((_, layer) => attentionState(h, layer))),
    ratesBeforeNorm: true,

    inject(graph, fused, { positions, slice }) {
      for (const [layer, { attention }] of blocks.entries()) {
        storeContext(graph, h, attention, fused, { slice, layer, positions });
      }
    },

    run(graph: Graph, embeddings: Tensor, of: DflashBlock) {
      const { tokens, positions, slice, outputs } = of;
      const own = { ...h, window: Math.min(h.window, of.window) };
      let x = repeatStreams(graph, embeddings, h.hyper.streams);
      const batch = { tokens, positions, sequences: [slice], outputs };
      const stream = new Stream(graph, batch, layerCount, x);
      for (const [layer, weights] of blocks.entries()) {
        x = block(stream, own, weights, x, layer, { causal });
      }
      return toRow(graph, stream.finish(x));
    },
  };
}
