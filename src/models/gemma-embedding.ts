/**
 * EmbeddingGemma (arXiv 2509.20354): Gemma 3 as an encoder. Rows see those after them as well, in the
 * layers with a window half of it to either side. Files may have the two projections that the model
 * was trained with behind the pooling; they are linear, so that they can come before it as well.
 */
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import type { Weight } from '../ggml/weight.js';
import type { Decoder } from './decoder.js';
import { encoder } from './encoder.js';
import { type Gemma3, gemmaParts } from './gemma3.js';
import { rmsNorm } from './layers.js';
import { type Metadata, readHyperparameters } from './metadata.js';
import type { AttentionShape, ForwardBatch } from './model.js';
import type { WeightLoader } from './weights.js';

interface EmbeddingGemma extends Gemma3 {
  /** Width between the projections; undefined: there are none. */
  readonly projected: number | undefined;
}

function hyperparameters(m: Metadata, vocabSize: number): EmbeddingGemma {
  const h = gemmaParts.hyperparameters(m, readHyperparameters(m, vocabSize));
  return {
    ...h,
    bidirectional: true,
    windows: h.windows.map((window) => window && Math.floor(window / 2) + 1),
    attentionScale: 1 / Math.sqrt((h.attention[0] as AttentionShape).keyLength),
    projected: m.has('dense_2_feat_out') ? m.count('dense_2_feat_out') : undefined,
  };
}

interface Outer {
  readonly tokens: Weight;
  readonly norm: Weight;
  readonly projections: readonly Weight[];
}

function outerWeights(w: WeightLoader, h: EmbeddingGemma): Outer {
  const { embeddingLength: embedding, vocabSize, projected } = h;
  w.skip('output.weight'); // the head of the language model that it was made of
  return {
    tokens: w.table('token_embd.weight', [embedding, vocabSize], false),
    norm: w.vector('output_norm.weight', embedding),
    projections:
      projected === undefined
        ? []
        : [
            w.matrix('dense_2.weight', [embedding, projected]),
            w.matrix('dense_3.weight', [projected, embedding]),
          ],
  };
}

function embed(graph: Graph, h: EmbeddingGemma, outer: Outer, batch: ForwardBatch): Tensor {
  return gemmaParts.embed(graph, h, graph.rows(outer.tokens, batch.tokens));
}

function finish(graph: Graph, h: EmbeddingGemma, outer: Outer, x: Tensor): Tensor {
  const normed = rmsNorm(graph, x, outer.norm, h.epsilon);
  return outer.projections.reduce((y, weight) => graph.linear(weight, y), normed);
}

export const gemmaEmbedding: Decoder = encoder({
  ...{ hyperparameters, outerWeights, embed, finish },
  weights: gemmaParts.weights,
  block: gemmaParts.block,
});
