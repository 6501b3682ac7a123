/**
 * The frame that encoders share: embeddings, and a stack of blocks in which every row sees those
 * before and after it. They make vectors of texts, or rank them, and continue none. Since a text is
 * one pass, nobody looks back on a layer's keys and values once the layer is done: all layers take
 * turns with the memory of one.
 */
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import { classify, declareClassifier } from './classifier.js';
import { type Decoder, keptRows } from './decoder.js';
import type { LayerState } from './layer-state.js';
import { Stream } from './layers.js';
import type { Metadata } from './metadata.js';
import type {
  AttentionShape,
  Blueprint,
  ForwardBatch,
  ForwardResult,
  Hyperparameters,
} from './model.js';
import type { WeightLoader } from './weights.js';

/** What an encoder adds to the frame. `E` are the weights around the blocks, `B` those of a block. */
export interface EncoderArchitecture<H extends Hyperparameters, E, B> {
  /** @param vocabSize rows of the embedding table. */
  hyperparameters(metadata: Metadata, vocabSize: number): H;
  outerWeights(loader: WeightLoader, h: H): E;
  weights(loader: WeightLoader, h: H, layer: number): B;
  /** What enters the first layer: [embedding, T]. */
  embed(graph: Graph, h: H, weights: E, batch: ForwardBatch): Tensor;
  /** The rows x [embedding, T] through one layer. */
  block(stream: Stream, h: H, weights: B, x: Tensor, layer: number): Tensor;
  /** What happens to rows [embedding, rows] after the last layer. */
  finish?(graph: Graph, h: H, weights: E, x: Tensor): Tensor;
  /** See `Blueprint`. */
  positions?(h: H): number | undefined;
}

export function encoder<H extends Hyperparameters, E, B>(a: EncoderArchitecture<H, E, B>): Decoder {
  return (metadata, loader): Blueprint => {
    const h = a.hyperparameters(metadata, loader.find('token_embd.weight')?.shape[1] ?? 1);
    const outer = a.outerWeights(loader, h);
    const blocks = h.attention.map((_, layer) => a.weights(loader, h, layer));
    const classifier = declareClassifier(metadata, loader, h.embeddingLength, false);

    function forward(graph: Graph, batch: ForwardBatch): ForwardResult {
      let x = a.embed(graph, h, outer, batch);
      const stream = new Stream(graph, batch, h.layerCount, x);
      for (const [layer, weights] of blocks.entries()) {
        x = a.block(stream, h, weights, x, layer);
        stream.observe(layer, x);
      }
      const rows = stream.finish(x); // [embedding, outputs]
      const more = batch.hiddenRows !== undefined && batch.hiddenRows !== 'outputs';
      const finish = (y: Tensor) => a.finish?.(graph, h, outer, y) ?? y;
      const hidden = finish(more ? x : rows);
      const logits =
        classifier && classify(graph, classifier, more && rows !== x ? finish(rows) : hidden);
      return { logits, hidden, taps: stream.taps };
    }

    function layerStates(): readonly LayerState[] {
      return h.attention.map((shape: AttentionShape, layer) =>
        layer === 0 ? keptRows(shape) : { kind: 'shared', layer: 0 },
      );
    }

    const positions = a.positions?.(h);
    return {
      hyperparameters: h,
      head: classifier ? 'classes' : 'none',
      causal: false,
      ...(positions === undefined ? {} : { positions }),
      layerStates,
      forward,
    };
  };
}
