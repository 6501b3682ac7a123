/**
 * Qwen3.5: three of four layers are gated delta nets (arXiv 2412.06464), the fourth is attention whose
 * result is gated; SwiGLU. `qwen35moe` has experts in place of the network, beside one that every row
 * goes through, behind a gate of its own.
 */
import type { Graph } from '../ggml/graph.js';
import { type DeltaNetSizes, deltaNetChannels, deltaNetShape } from '../ggml/recurrent-shape.js';
import type { Tensor } from '../ggml/tensor.js';
import type { Weight } from '../ggml/weight.js';
import { attend } from './attention.js';
import { type Decoder, decoder, keptRows } from './decoder.js';
import { deltaRule, readDeltaNet } from './delta-net.js';
import * as experts from './experts.js';
import { headBlock } from './head-block.js';
import * as layers from './layers.js';
import { type ExpertCounts, type Metadata, noExperts, readExperts } from './metadata.js';
import type { AttentionShape, Hyperparameters } from './model.js';
import { type Rope, readRope } from './rope.js';
import type { WeightLoader } from './weights.js';

interface Qwen35 extends Hyperparameters {
  readonly rope: Rope;
  /** For each layer whether it is a delta net. */
  readonly linear: readonly boolean[];
  readonly net: DeltaNetSizes;
  /** Width of the feed-forward network, of each expert, and of the expert for every row. */
  readonly inner: readonly number[];
  readonly sharedInner: number;
  readonly experts: readonly ExpertCounts[];
  /** Positions that a row of a draft block looks back on; undefined: all. */
  readonly window?: number;
}

function hyperparameters(m: Metadata, common: Hyperparameters): Qwen35 {
  const { layerCount } = common;
  const rope = readRope(m, common, 'halves');
  checkSections(m, rope);
  const interval = m.count('full_attention_interval', 4);
  const listed = m.flagPerLayer('attention.recurrent_layers', m.count('block_count'));
  const linear = common.attention.map(
    (_, at) => at < m.trunkLayers && (listed?.[at] ?? (at + 1) % interval !== 0),
  );
  const net = readDeltaNet(m);
  const base = { ...common, rope, linear, net };
  if (m.architecture === 'qwen35') {
    const inner = m.countPerLayer('feed_forward_length', layerCount);
    return { ...base, inner, sharedInner: 0, experts: inner.map(() => noExperts) };
  }
  const experts = readExperts(m, layerCount, 1);
  const inner = m.has('expert_feed_forward_length')
    ? m.countPerLayer('expert_feed_forward_length', layerCount)
    : m
        .countPerLayer('feed_forward_length', layerCount)
        .map((n, at) => Math.floor(n / (experts[at] as ExpertCounts).used));
  const shared = 'expert_shared_feed_forward_length';
  const sharedInner = m.count(m.has(shared) ? shared : 'feed_forward_length');
  return { ...base, inner, sharedInner, experts };
}

/** Pairs are rotated by time, height, width or something else: all but the last are a text's position. */
function checkSections(m: Metadata, { dimensions }: Rope): void {
  const key = 'rope.dimension_sections';
  const sections = m.numbers(key);
  const [time = 0, height = 0, width = 0] = sections;
  const turn = sections.reduce((sum, section) => sum + section, 0);
  const limits = [time, height, width].map((section) => 3 * section);
  for (let pair = 0; pair < dimensions / 2; pair++) {
    const at = turn > 0 ? pair % turn : Number.NaN;
    if (!(at < (limits[at % 3] as number))) {
      throw m.bad(key, `is [${sections.join(', ')}], which leaves pair ${pair} without position`);
    }
  }
}

interface Attention {
  /** Queries and gates, head by head. */
  readonly q: layers.Linear;
  readonly k: layers.Linear;
  readonly v: layers.Linear;
  readonly qNorm: Weight;
  readonly kNorm: Weight;
  readonly output: layers.Linear;
}

interface DeltaNet {
  readonly qkv: layers.Linear;
  readonly gate: layers.Linear;
  readonly beta: layers.Linear;
  readonly alpha: layers.Linear;
  readonly convolution: Weight;
  readonly bias: Weight;
  readonly decay: Weight;
  readonly norm: Weight;
  readonly output: layers.Linear;
}

interface Network {
  readonly mixture: experts.Mixture | undefined;
  /** The network, or the expert for every row and its gate. */
  readonly own: layers.GatedNetwork;
  readonly ownGate: Weight | undefined;
}

interface Block {
  readonly norm: Weight;
  readonly mixer: Attention | DeltaNet;
  readonly networkNorm: Weight;
  readonly network: Network;
}

function weights(w: WeightLoader, h: Qwen35, layer: number): Block {
  const at = `blk.${layer}`;
  return {
    norm: w.vector(`${at}.attn_norm.weight`, h.embeddingLength),
    mixer: h.linear[layer] ? declareDeltaNet(w, h, at) : declareAttention(w, h, at, layer),
    networkNorm: w.vector(`${at}.post_attention_norm.weight`, h.embeddingLength),
    network: declareNetwork(w, h, at, layer),
  };
}

function declareAttention(w: WeightLoader, h: Qwen35, at: string, layer: number): Attention {
  const shape = h.attention[layer] as AttentionShape;
  const { heads, kvHeads, keyLength, valueLength } = shape;
  const project = (name: string, rows: number) =>
    layers.declareLinear(w, `${at}.attn_${name}`, h.embeddingLength, rows);
  return {
    q: project('q', 2 * heads * keyLength),
    k: project('k', kvHeads * keyLength),
    v: project('v', kvHeads * valueLength),
    qNorm: w.vector(`${at}.attn_q_norm.weight`, keyLength),
    kNorm: w.vector(`${at}.attn_k_norm.weight`, keyLength),
    output: layers.declareAttentionOutput(w, at, h.embeddingLength, shape),
  };
}

function declareDeltaNet(w: WeightLoader, { embeddingLength, net }: Qwen35, at: string): DeltaNet {
  const { valueHeads, headLength, kernel } = net;
  const channels = deltaNetChannels(net);
  const values = headLength * valueHeads;
  const project = (name: string, rows: number) =>
    layers.declareLinear(w, `${at}.${name}`, embeddingLength, rows);
  return {
    qkv: project('attn_qkv', channels),
    gate: project('attn_gate', values),
    beta: project('ssm_beta', valueHeads),
    alpha: project('ssm_alpha', valueHeads),
    convolution: w.vector(`${at}.ssm_conv1d.weight`, [kernel, channels]),
    bias: w.vector(`${at}.ssm_dt.bias`, valueHeads),
    decay: w.vector(`${at}.ssm_a`, valueHeads),
    norm: w.vector(`${at}.ssm_norm.weight`, headLength),
    output: layers.declareLinear(w, `${at}.ssm_out`, values, embeddingLength),
  };
}

function declareNetwork(w: WeightLoader, h: Qwen35, at: string, layer: number): Network {
  const { embeddingLength: embedding, sharedInner } = h;
  const counts = h.experts[layer] as ExpertCounts;
  const inner = h.inner[layer] as number;
  if (counts.experts === 0) {
    const own = layers.declareGated(w, at, embedding, inner);
    return { mixture: undefined, own, ownGate: undefined };
  }
  return {
    mixture: experts.declareMixture(w, at, { embedding, inner, ...counts }),
    own: layers.declareGated(w, at, embedding, sharedInner, '_shexp'),
    ownGate: w.matrix(`${at}.ffn_gate_inp_shexp.weight`, [embedding, 1]),
  };
}

/** Attention whose result is gated, element by element: x [embedding, T] to [embedding, T]. */
function attention(stream: layers.Stream, h: Qwen35, a: Attention, x: Tensor, layer: number) {
  const { graph, batch } = stream;
  const { heads, keyLength, valueLength } = h.attention[layer] as AttentionShape;
  const [queries, keys, values] = layers.linears(graph, [a.q, a.k, a.v], x);
  const tokens = x.shape[1];
  // [key, 2, heads, T]: a head's queries, then its gate
  const half = (which: 0 | 1) =>
    graph.view(
      queries,
      [keyLength, heads, tokens],
      [2 * keyLength * 4, queries.strides[1]],
      which * keyLength * 4,
    );
  const seen = attend(
    graph,
    {
      ...{ batch, layer, q: half(0) },
      k: layers.splitHeads(graph, keys, keyLength),
      v: layers.splitHeads(graph, values, valueLength),
    },
    {
      scale: 1 / Math.sqrt(keyLength),
      rope: h.rope,
      norms: { q: a.qNorm, k: a.kNorm, epsilon: h.epsilon },
      window: h.window,
    },
  );
  const gate = graph.reshape(graph.cont(half(1)), [keyLength * heads, tokens]);
  return layers.linear(graph, a.output, layers.gateWith(graph, gate, seen, 'sigmoid'));
}

/** The delta rule, its heads normalised and gated: x [embedding, T] to [embedding, T]. */
function deltaNet(stream: layers.Stream, h: Qwen35, d: DeltaNet, x: Tensor, layer: number) {
  const { graph, batch } = stream;
  const [mix, gate, beta, alpha] = layers.linears(graph, [d.qkv, d.gate, d.beta, d.alpha], x);
  const input = {
    ...{ mix, beta, alpha },
    convolution: d.convolution.tensor,
    bias: d.bias.tensor,
    decay: d.decay.tensor,
  };
  const seen = deltaRule(graph, batch, layer, input, { ...h.net, epsilon: h.epsilon });
  const heads = layers.splitHeads(graph, seen, h.net.headLength);
  const normed = layers.rmsNorm(graph, heads, d.norm, h.epsilon); // [head, valueHeads, T]
  const flat = graph.reshape(normed, [seen.shape[0], seen.shape[1]]);
  return layers.linear(graph, d.output, layers.gateWith(graph, gate, flat, 'silu'));
}

function network(graph: Graph, { mixture, own, ownGate }: Network, x: Tensor): Tensor {
  const every = layers.gatedNetwork(graph, own, x, 'silu');
  if (mixture === undefined || ownGate === undefined) return every;
  const chosen = experts.mixture(graph, mixture, x, { activation: 'silu', normalise: true });
  const gate = graph.sigmoid(graph.linear(ownGate, x)); // [1, T]
  const result = graph.add(chosen, graph.mul(every, gate));
  experts.noteMixed(graph, mixture, x, result);
  return result;
}

function block(stream: layers.Stream, h: Qwen35, b: Block, x: Tensor, layer: number): Tensor {
  const { graph } = stream;
  const normed = layers.rmsNorm(graph, x, b.norm, h.epsilon);
  const mixed =
    'decay' in b.mixer
      ? deltaNet(stream, h, b.mixer, normed, layer)
      : attention(stream, h, b.mixer, normed, layer);
  const sum = graph.add(stream.narrow(layer, x), stream.narrow(layer, mixed));
  const rows = layers.rmsNorm(graph, sum, b.networkNorm, h.epsilon);
  return graph.add(sum, network(graph, b.network, rows));
}

export const qwen35: Decoder = decoder({
  hyperparameters,
  weights,
  block,
  layerState: (h, layer) =>
    h.linear[layer]
      ? { kind: 'recurrent', ...deltaNetShape(h.net) }
      : keptRows(h.attention[layer] as AttentionShape),
});

/** The block of a multi-token prediction head: always one of attention. */
export const qwen35Head = headBlock({ hyperparameters, weights, block });
