/**
 * The layers of DFlash drafters, which are those of Qwen3 with keys and values of the context beside the
 * block's own. Files of other families add sinks, norms behind the sublayers, a factor behind each layer,
 * values that are the keys before their norm, or GELU; DFlash2 adds convolutions along the block.
 */
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import type { Activation, Weight } from '../ggml/weight.js';
import { append, attendBlock } from './attention.js';
import {
  type BlockConvolution,
  type ConvolutionShape,
  convolved,
  declareConvolution,
  readConvolution,
} from './block-convolution.js';
import { keptRows } from './decoder.js';
import { selectorMatrix } from './dflash-link.js';
import type { DflashBlock, DflashContext, DflashLayers } from './dflash-model.js';
import { rowShapes } from './layer-state.js';
import * as layers from './layers.js';
import type { Metadata } from './metadata.js';
import type { AttentionShape, Hyperparameters } from './model.js';
import { readRope, ropeFactors } from './rope.js';
import type { WeightLoader } from './weights.js';

interface LayerWeights {
  readonly shape: AttentionShape;
  readonly attentionNorm: Weight;
  readonly query: layers.Linear;
  readonly key: layers.Linear;
  /** Undefined: values are the projected keys, each head divided by its root mean square. */
  readonly value: layers.Linear | undefined;
  readonly queryNorm: Weight;
  readonly keyNorm: Weight;
  readonly sinks: Weight | undefined;
  readonly output: layers.Linear;
  readonly afterAttention: Weight | undefined;
  readonly networkNorm: Weight;
  readonly network: layers.GatedNetwork;
  readonly afterNetwork: Weight | undefined;
  /** F32 [1]. */
  readonly factor: Weight | undefined;
  readonly aroundAttention: BlockConvolution | undefined;
  readonly aroundNetwork: BlockConvolution | undefined;
  /** Positions that it looks back on. */
  readonly window: number;
}

/** Names of activations in files; both kinds of GELU are the tanh form, as llama.cpp computes them. */
const activations: ReadonlyMap<string, Activation> = new Map([
  ['silu', 'silu'],
  ['gelu', 'gelu'],
  ['gelu_pytorch_tanh', 'gelu'],
]);

/** @throws {PacelineError} `broken-file`, `missing-tensor`, `wrong-shape`, `unsupported-architecture`. */
export function declareDflashLayers(
  m: Metadata,
  w: WeightLoader,
  h: Hyperparameters,
  blockSize: number,
): DflashLayers {
  const name = m.string('hidden_activation') ?? 'silu';
  const activation = activations.get(name);
  if (activation === undefined) throw m.unsupported('hidden_activation', `activation ${name}`);
  const rope = readRope(m, h, 'halves');
  const factors = ropeFactors(w, rope);
  const convolution = w.find(selectorMatrix) && readConvolution(m, h.embeddingLength, blockSize);
  const blocks = declareBlocks(m, w, h, convolution);
  const causal = m.flag('attention.causal', false);
  const keyLength = h.attention[0]?.keyLength ?? 1;
  const scale = m.positive('attention.scale', 1 / Math.sqrt(keyLength));
  const rotated = (graph: Graph, part: Tensor, norm: Weight, positions: Tensor) =>
    graph.rope(layers.rmsNorm(graph, part, norm, h.epsilon), positions, rope, factors?.tensor);
  /** Keys and values of rows [embedding, T] by heads. */
  const keysAndValues = (graph: Graph, b: LayerWeights, k: Tensor, v: Tensor | undefined) => {
    const keys = layers.splitHeads(graph, k, b.shape.keyLength);
    const values =
      v === undefined
        ? graph.rmsNorm(keys, undefined, h.epsilon)
        : layers.splitHeads(graph, v, b.shape.valueLength);
    return { keys, values };
  };

  function inject(
    graph: Graph,
    fused: Tensor,
    { positions, slice }: Omit<DflashContext, 'features'>,
  ): void {
    graph.onlyOnce(); // rows are copied to where the cache ends now
    for (const [layer, b] of blocks.entries()) {
      const members = b.value === undefined ? [b.key] : [b.key, b.value];
      const [k, v] = layers.linears(graph, members, fused) as [Tensor, Tensor | undefined];
      const { keys, values } = keysAndValues(graph, b, k, v);
      const turned = rotated(graph, keys, b.keyNorm, positions);
      append(graph, slice, slice.state.layer(layer), turned, values);
    }
  }

  function attention(
    graph: Graph,
    b: LayerWeights,
    x: Tensor,
    layer: number,
    { positions, slice, window }: DflashBlock,
  ): Tensor {
    const members = b.value === undefined ? [b.query, b.key] : [b.query, b.key, b.value];
    const parts = layers.linears(graph, members, x);
    const [q, k, v] = parts as unknown as [Tensor, Tensor, Tensor | undefined];
    const { keys, values } = keysAndValues(graph, b, k, v);
    const queries = layers.splitHeads(graph, q, b.shape.keyLength);
    const seen = attendBlock(
      graph,
      {
        ...{ slice, layer, v: values },
        q: rotated(graph, queries, b.queryNorm, positions),
        k: rotated(graph, keys, b.keyNorm, positions),
      },
      { scale, causal, window: Math.min(b.window, window), sinks: b.sinks },
    );
    return layers.linear(graph, b.output, seen);
  }

  const normed = (graph: Graph, x: Tensor, norm: Weight | undefined) =>
    norm === undefined ? x : layers.rmsNorm(graph, x, norm, h.epsilon);

  return {
    rows: rowShapes(h.attention.map((shape) => keptRows(shape))),
    ratesBeforeNorm: false,
    inject,
    run(graph, embeddings, block) {
      let x = embeddings;
      for (const [layer, b] of blocks.entries()) {
        const attended = convolved(
          ...[graph, b.aroundAttention, normed(graph, x, b.attentionNorm)],
          (rows) => attention(graph, b, rows, layer, block),
        );
        x = graph.add(x, normed(graph, attended, b.afterAttention));
        const made = convolved(
          ...[graph, b.aroundNetwork, normed(graph, x, b.networkNorm)],
          (rows) => layers.gatedNetwork(graph, b.network, rows, activation),
        );
        x = graph.add(x, normed(graph, made, b.afterNetwork));
        if (b.factor !== undefined) x = graph.mul(x, b.factor.tensor);
      }
      return graph.getRows(x, block.outputs);
    },
  };
}

function declareBlocks(
  m: Metadata,
  w: WeightLoader,
  h: Hyperparameters,
  convolution: ConvolutionShape | undefined,
): LayerWeights[] {
  const { embeddingLength: embedding, layerCount } = h;
  const inner = m.countPerLayer('feed_forward_length', layerCount);
  const window = m.count('attention.sliding_window', 0, 0) || Infinity;
  const slides = m.flagPerLayer('attention.sliding_window_pattern', layerCount);
  return h.attention.map((shape, layer): LayerWeights => {
    const { heads, kvHeads, keyLength, valueLength } = shape;
    const at = `blk.${layer}`;
    const ownValues = w.find(`${at}.attn_v.weight`) !== undefined;
    if (!ownValues && keyLength !== valueLength) {
      throw m.bad(
        'attention.value_length',
        `is ${valueLength}, and values are keys of ${keyLength}`,
      );
    }
    const around = (part: string) =>
      convolution && declareConvolution(w, `${at}.${part}`, embedding, convolution);
    const optional = (name: string, length = embedding) =>
      w.optionalVector(`${at}.${name}.weight`, [length]);
    return {
      shape,
      attentionNorm: w.vector(`${at}.attn_norm.weight`, embedding),
      query: layers.declareLinear(w, `${at}.attn_q`, embedding, heads * keyLength),
      key: layers.declareLinear(w, `${at}.attn_k`, embedding, kvHeads * keyLength),
      value: ownValues
        ? layers.declareLinear(w, `${at}.attn_v`, embedding, kvHeads * valueLength)
        : undefined,
      queryNorm: w.vector(`${at}.attn_q_norm.weight`, keyLength),
      keyNorm: w.vector(`${at}.attn_k_norm.weight`, keyLength),
      sinks: optional('attn_sinks', heads),
      output: layers.declareAttentionOutput(w, at, embedding, shape),
      afterAttention: optional('post_attention_norm'),
      networkNorm: w.vector(`${at}.ffn_norm.weight`, embedding),
      network: layers.declareGated(w, at, embedding, inner[layer] as number),
      afterNetwork: optional('post_ffw_norm'),
      factor: optional('layer_output_scale', 1),
      aroundAttention: around('attn'),
      aroundNetwork: around('ffn'),
      window: slides?.[layer] ? window : Infinity,
    };
  });
}
