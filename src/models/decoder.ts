/**
 * The frame that decoder-only architectures share: token embeddings, a stack of blocks, the output
 * norm and the head, tied to the embeddings when the file has no matrix of its own.
 */
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import { classify, declareClassifier } from './classifier.js';
import type { LayerState } from './layer-state.js';
import { declareLinear, type Linear, linear, rmsNorm, Stream } from './layers.js';
import { type Metadata, readHyperparameters } from './metadata.js';
import type {
  AttentionShape,
  Blueprint,
  ForwardBatch,
  ForwardResult,
  Hyperparameters,
} from './model.js';
import type { WeightLoader } from './weights.js';

/** Declares a model of an architecture over the tensors of a file. */
export type Decoder = (metadata: Metadata, weights: WeightLoader) => Blueprint;

/** What an architecture adds to the frame. `H` are its hyperparameters, `B` a block's weights. */
export interface Architecture<H extends Hyperparameters, B> {
  hyperparameters(metadata: Metadata, common: Hyperparameters): H;
  weights(loader: WeightLoader, h: H, layer: number): B;
  /** The residual stream x [embedding, T] through one layer. */
  block(stream: Stream, h: H, weights: B, x: Tensor, layer: number): Tensor;
  /** What happens to the embeddings before the first layer. */
  embed?(graph: Graph, h: H, x: Tensor): Tensor;
  /**
   * Where the residual is several streams: what makes one row of them in front of the output norm, and what drafters see
   * of them behind a layer, [embedding, T] both.
   */
  collapse?(loader: WeightLoader, h: H): (graph: Graph, x: Tensor) => Tensor;
  tap?(graph: Graph, h: H, x: Tensor): Tensor;
  /** Elements of the rows of all streams, which then are the hidden rows. */
  hiddenLength?(h: H): number;
  /** What happens to the logits after the head. */
  logits?(graph: Graph, h: H, z: Tensor): Tensor;
  /** What a layer keeps of a sequence; default: `keptRows` of its attention. */
  layerState?(h: H, layer: number): LayerState;
  /** Whether files may rank texts, with the probabilities of classes in place of the head. */
  readonly ranks?: boolean;
  /** Whether some layers have no attention, and then no heads of keys. Default: no. */
  readonly mixed?: boolean;
  /** Name of the norm behind the last layer; default: `output_norm`. */
  readonly outputNorm?: string;
  /** Whether the head may be missing and then is the embedding table; default: yes. */
  readonly tied?: boolean;
}

export function decoder<H extends Hyperparameters, B>(a: Architecture<H, B>): Decoder {
  return (metadata, loader) => {
    // The table may have more rows than the tokenizer has tokens (padding): its shape counts.
    const rows = loader.find('token_embd.weight')?.shape[1] ?? 1;
    const h = a.hyperparameters(
      metadata,
      readHyperparameters(metadata, rows, { leastKvHeads: a.mixed ? 0 : 1 }),
    );
    const { embeddingLength, vocabSize, layerCount, epsilon } = h;
    const classifier = a.ranks && declareClassifier(metadata, loader, embeddingLength, true);
    if (classifier) loader.skip('output.weight');
    const tied = !classifier && (a.tied ?? true) && loader.find('output.weight') === undefined;
    const table = loader.table('token_embd.weight', [embeddingLength, vocabSize], tied);
    const blocks = h.attention.map((_, layer) => a.weights(loader, h, layer));
    const norm = loader.vector(`${a.outputNorm ?? 'output_norm'}.weight`, embeddingLength);
    const collapse = a.collapse?.(loader, h) ?? ((_: Graph, x: Tensor) => x);
    const tap = a.tap && ((graph: Graph, x: Tensor) => a.tap?.(graph, h, x) ?? x);
    const head = declareHead();

    /** Rows [embedding, outputs] behind the norm to logits. */
    function declareHead(): (graph: Graph, x: Tensor) => Tensor {
      if (classifier) return (graph, x) => classify(graph, classifier, x);
      const matrix: Linear = tied
        ? { weight: table, scale: undefined, bias: undefined }
        : declareLinear(loader, 'output', embeddingLength, vocabSize);
      return (graph, x) => {
        const z = linear(graph, matrix, x); // [vocabulary, outputs]
        return a.logits?.(graph, h, z) ?? z;
      };
    }

    function forward(graph: Graph, batch: ForwardBatch): ForwardResult {
      const rowsOfTokens = graph.rows(table, batch.tokens); // [embedding, T]
      let x = a.embed?.(graph, h, rowsOfTokens) ?? rowsOfTokens;
      const stream = new Stream(graph, batch, layerCount, x, tap);
      for (const [layer, weights] of blocks.entries()) {
        x = a.block(stream, h, weights, x, layer);
        stream.observe(layer, x);
      }
      // The norm of the outputs' rows goes into the head's own pass, whoever else wants hidden rows.
      const rows = stream.finish(x); // [embedding, outputs]
      const wanted = rmsNorm(graph, collapse(graph, rows), norm, epsilon);
      const logits = head(graph, wanted);
      const more = batch.hiddenRows !== undefined && batch.hiddenRows !== 'outputs';
      const behind = more && rows !== x ? x : rows;
      const hidden = a.collapse
        ? behind
        : behind === rows
          ? wanted
          : rmsNorm(graph, behind, norm, epsilon);
      return { logits, hidden, taps: stream.taps };
    }

    function layerStates(): readonly LayerState[] {
      return h.attention.map((shape, layer) => a.layerState?.(h, layer) ?? keptRows(shape));
    }

    const hiddenLength = a.hiddenLength?.(h) ?? embeddingLength;
    const kind = classifier ? 'classes' : 'tokens';
    return { hyperparameters: h, hiddenLength, head: kind, layerStates, forward };
  };
}

/** The keys and values of every position, of which a layer may look back on a window only. */
export function keptRows(shape: AttentionShape, window?: number): LayerState {
  const { kvHeads: heads, keyLength, valueLength } = shape;
  const rows = {
    kind: 'rows',
    heads,
    keys: heads * keyLength,
    values: heads * valueLength,
  } as const;
  return window === undefined ? rows : { ...rows, window };
}

/** The same where a layer has one head, whose values are the last elements of its keys. */
export function latentRows({ keyLength, valueLength }: AttentionShape): LayerState {
  return { kind: 'rows', heads: 1, keys: keyLength, values: 0, valuesInKeys: valueLength };
}
