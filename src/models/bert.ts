/**
 * BERT (arXiv 1810.04805) and its kin, as encoders of texts: attention in both directions, a layer norm
 * behind attention and network each, GELU. `bert` looks positions up in a table. `nomic-bert`
 * (arXiv 2402.01613) rotates queries and keys, with a gated network; `nomic-bert-moe` (arXiv
 * 2502.07972) has experts in every other layer; `jina-bert-v2` (arXiv 2310.19923) lets scores fall
 * with the distance. Texts are of the first type ("sentence A") throughout, as in llama.cpp.
 */
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import type { Weight } from '../ggml/weight.js';
import { attend } from './attention.js';
import type { Decoder } from './decoder.js';
import { encoder } from './encoder.js';
import { route } from './experts.js';
import * as layers from './layers.js';
import { type ExpertCounts, type Metadata, readExperts, readHyperparameters } from './metadata.js';
import type { AttentionShape, ForwardBatch, Hyperparameters } from './model.js';
import { type Rope, readRope } from './rope.js';
import type { WeightLoader } from './weights.js';

interface Bert extends Hyperparameters {
  /** How positions come in: a table of embeddings, rotation, or a slope of the scores. */
  readonly positionKind: 'table' | 'rotation' | 'slope';
  readonly rope: Rope | undefined;
  readonly inner: readonly number[];
  /** The network's activation, and whether it is gated. */
  readonly gate: 'silu' | 'gelu' | undefined;
  /** Every so many layers one with experts, beginning with the second; 0: none. */
  readonly expertsEvery: number;
  readonly experts: readonly ExpertCounts[];
}

function hyperparameters(m: Metadata, vocabSize: number): Bert {
  const common = readHyperparameters(m, vocabSize, { norms: 'layer' });
  const rotates = m.architecture.startsWith('nomic');
  const jina = m.architecture === 'jina-bert-v2';
  const every = m.architecture === 'nomic-bert-moe' ? m.count('moe_every_n_layers', 0, 0) : 0;
  return {
    ...common,
    positionKind: rotates ? 'rotation' : jina ? 'slope' : 'table',
    rope: rotates ? readRope(m, common, 'halves') : undefined,
    inner: m.countPerLayer('feed_forward_length', common.layerCount),
    gate: jina ? 'gelu' : m.architecture === 'nomic-bert' ? 'silu' : undefined,
    expertsEvery: every,
    experts: readExperts(m, common.layerCount, every > 0 ? 1 : 0),
  };
}

interface Outer {
  readonly tokens: Weight;
  readonly types: Weight | undefined;
  readonly positions: Weight | undefined;
  readonly norm: layers.LayerNorm;
}

function outerWeights(w: WeightLoader, h: Bert): Outer {
  const { embeddingLength: embedding, vocabSize, contextLength } = h;
  const types = w.find('token_types.weight')?.shape[1] ?? 1;
  return {
    tokens: w.table('token_embd.weight', [embedding, vocabSize], false),
    types: w.find('token_types.weight') && w.table('token_types.weight', [embedding, types], false),
    positions:
      h.positionKind === 'table'
        ? w.table('position_embd.weight', [embedding, contextLength], false)
        : undefined,
    norm: layers.declareLayerNorm(w, 'token_embd_norm', embedding),
  };
}

/** A network without a gate, or experts of that kind. */
interface Network {
  readonly up: layers.Linear;
  readonly down: layers.Linear;
}
interface ExpertNetwork {
  /** Experts that a row goes through. */
  readonly used: number;
  readonly router: Weight;
  readonly up: Weight;
  readonly down: Weight;
}

interface Block {
  readonly qkv: layers.Qkv;
  /** Over all heads at once. */
  readonly qNorm: layers.LayerNorm | undefined;
  readonly kNorm: layers.LayerNorm | undefined;
  readonly output: layers.Linear;
  readonly attentionNorm: layers.LayerNorm;
  /** Behind a second addition of the layer's input. */
  readonly secondNorm: layers.LayerNorm | undefined;
  readonly network: Network | layers.GatedNetwork | ExpertNetwork;
  readonly networkNorm: layers.LayerNorm;
}

function weights(w: WeightLoader, h: Bert, layer: number): Block {
  const at = `blk.${layer}`;
  const embedding = h.embeddingLength;
  const shape = h.attention[layer] as AttentionShape;
  const norm = (name: string, length = embedding) =>
    layers.declareLayerNorm(w, `${at}.${name}`, length);
  const optional = (name: string, length: number) =>
    w.find(`${at}.${name}.weight`) && norm(name, length);
  return {
    qkv: layers.declareQkv(w, at, embedding, shape),
    qNorm: optional('attn_q_norm', shape.heads * shape.keyLength),
    kNorm: optional('attn_k_norm', shape.kvHeads * shape.keyLength),
    output: layers.declareAttentionOutput(w, at, embedding, shape),
    attentionNorm: norm('attn_output_norm'),
    secondNorm: optional('attn_norm_2', embedding),
    network: declareNetwork(w, h, at, layer),
    networkNorm: norm('layer_output_norm'),
  };
}

function declareNetwork(w: WeightLoader, h: Bert, at: string, layer: number): Block['network'] {
  const { embeddingLength: embedding, gate, expertsEvery } = h;
  const inner = h.inner[layer] as number;
  if (expertsEvery > 0 && layer % expertsEvery === 1) {
    const { experts, used } = h.experts[layer] as ExpertCounts;
    return {
      used,
      router: w.matrix(`${at}.ffn_gate_inp.weight`, [embedding, experts]),
      up: w.experts(`${at}.ffn_up_exps.weight`, [embedding, inner, experts]),
      down: w.experts(`${at}.ffn_down_exps.weight`, [inner, embedding, experts]),
    };
  }
  if (gate !== undefined && w.find(`${at}.ffn_gate.weight`) !== undefined) {
    return layers.declareGated(w, at, embedding, inner);
  }
  // Jina's files have the rows of the gate before those of `ffn_up`.
  const together = w.find(`${at}.ffn_up.weight`)?.shape[1] === 2 * inner;
  if (gate !== undefined && together) return layers.declareGatedTogether(w, at, embedding, inner);
  return {
    up: layers.declareLinear(w, `${at}.ffn_up`, embedding, inner),
    down: layers.declareLinear(w, `${at}.ffn_down`, inner, embedding),
  };
}

function embed(graph: Graph, h: Bert, outer: Outer, batch: ForwardBatch): Tensor {
  let x = graph.rows(outer.tokens, batch.tokens); // [embedding, T]
  if (outer.types) x = graph.add(x, graph.rows(outer.types, graph.indices('token type', [0])));
  if (outer.positions) x = graph.add(x, graph.rows(outer.positions, batch.positions));
  return layers.layerNorm(graph, x, outer.norm, h.epsilon);
}

/** x [embedding, T] to [embedding, T]. */
function attention(stream: layers.Stream, h: Bert, b: Block, x: Tensor, layer: number): Tensor {
  const { graph, batch } = stream;
  const { keyLength, valueLength } = h.attention[layer] as AttentionShape;
  const all = layers.project(graph, b.qkv, x, h.attention[layer] as AttentionShape);
  const heads = (part: Tensor, length: number, norm?: layers.LayerNorm) =>
    layers.splitHeads(graph, norm ? layers.layerNorm(graph, part, norm, h.epsilon) : part, length);
  const [q, k] = [heads(all.q, keyLength, b.qNorm), heads(all.k, keyLength, b.kNorm)];
  const seen = attend(
    graph,
    { batch, layer, q, k, v: heads(all.v, valueLength) },
    {
      scale: 1 / Math.sqrt(keyLength),
      rope: h.rope,
      lookahead: Number.POSITIVE_INFINITY,
      alibi: h.positionKind === 'slope' ? steepestSlope : undefined,
    },
  );
  return layers.linear(graph, b.output, seen);
}

/** ALiBi's slopes go from 2 to the -8 / heads down to 2 to the -8. */
const steepestSlope = 8;

function network(graph: Graph, h: Bert, n: Block['network'], x: Tensor): Tensor {
  if ('router' in n) return expertNetwork(graph, n, x);
  if ('gate' in n) return layers.gatedNetwork(graph, n, x, h.gate ?? 'gelu');
  return layers.linear(graph, n.down, graph.gelu(layers.linear(graph, n.up, x)));
}

/** Experts without gates, weighed by their share of a softmax over all. */
function expertNetwork(graph: Graph, n: ExpertNetwork, x: Tensor): Tensor {
  const logits = graph.linear(n.router, x);
  const { chosen, weights } = route(graph, logits, { used: n.used, normalise: false });
  const rows = graph.reshape(x, [x.shape[0], 1, x.shape[1]]);
  const inner = graph.gelu(graph.experts(n.up, rows, chosen)); // [inner, used, T]
  return graph.mixedExperts(n.down, inner, chosen, weights);
}

function block(stream: layers.Stream, h: Bert, b: Block, x: Tensor, layer: number): Tensor {
  const { graph } = stream;
  const norm = (y: Tensor, weights: layers.LayerNorm) =>
    layers.layerNorm(graph, y, weights, h.epsilon);
  const attended = stream.narrow(layer, attention(stream, h, b, x, layer));
  const input = stream.narrow(layer, x);
  const once = norm(graph.add(attended, input), b.attentionNorm);
  const sum = b.secondNorm ? norm(graph.add(once, input), b.secondNorm) : once;
  return norm(graph.add(network(graph, h, b.network, sum), sum), b.networkNorm);
}

export const bert: Decoder = encoder({
  ...{ hyperparameters, outerWeights, weights, embed, block },
  positions: (h) => (h.positionKind === 'table' ? h.contextLength : undefined),
});
