/**
 * DeepSeek V2, V3 and R1 (arXiv 2405.04434, 2412.19437), Kimi K2, GLM-4.7-Flash: latent attention, and
 * a mixture of many small experts behind dense first layers.
 *
 * A position keeps one short row for all heads: a rotated part and a latent one. The matrix that would
 * make a head's keys of the latent row is applied to its query instead (absorbed), and the one that
 * would make its values to what the head has seen, so that all heads share one head of keys, whose
 * latent end also is the values.
 */
import type { Tensor } from '../ggml/tensor.js';
import type { Weight } from '../ggml/weight.js';
import { attend, type Temperature, temper } from './attention.js';
import { type Decoder, decoder, latentRows } from './decoder.js';
import { eachGroup, type Mixture } from './experts.js';
import * as layers from './layers.js';
import type { Metadata } from './metadata.js';
import type { AttentionShape, Hyperparameters } from './model.js';
import { type Rope, readRope, yarnMagnitude } from './rope.js';
import {
  declareSparseNetwork,
  readSparseNetwork,
  type SparseNetwork,
  sparseNetwork,
} from './sparse-network.js';
import type { WeightLoader } from './weights.js';

interface DeepSeek2 extends Hyperparameters, SparseNetwork {
  readonly rope: Rope;
  readonly attentionScale: number;
  readonly temperature: Temperature | undefined;
  /** Width of what queries are made of; 0: they are made of the row itself. */
  readonly queryRank: number;
  /** Width of the latent row. */
  readonly latent: number;
  /** Of a head, before absorption: elements that are rotated, the others of its keys, its values. */
  readonly rotated: number;
  readonly plain: number;
  readonly value: number;
}

/** A vocabulary by which GLM-4.7-Flash is known, whose files do not say how experts are rated. */
const glmVocabulary = 154880;

function hyperparameters(m: Metadata, common: Hyperparameters): DeepSeek2 {
  if (!m.has('attention.key_length_mla') || !m.has('attention.value_length_mla')) {
    throw m.unsupported('attention.key_length_mla', 'projections that are not absorbed');
  }
  const latent = m.count('attention.kv_lora_rank');
  const keyLength = m.count('attention.key_length_mla');
  const rotated = m.count('rope.dimension_count');
  if (rotated >= keyLength) throw m.bad('rope.dimension_count', `is ${rotated} of ${keyLength}`);
  const rope = readRope(m, common, 'interleaved', { keyLength });
  // Files have a tenth of the multiplier.
  const multiplier = 10 * m.notNegative('rope.scaling.yarn_log_multiplier', 0);
  const yarn = rope.yarn > 0 && multiplier > 0 ? yarnMagnitude(rope.scale, 1) : 1;
  const magnitude = rope.magnitude / yarn;
  const grown = magnitude * yarnMagnitude(rope.scale, 1) * yarnMagnitude(rope.scale, multiplier);
  const scale = m.number('attention.temperature_scale', 0);
  const flash = [47, 48].includes(common.layerCount) && common.vocabSize === glmVocabulary;
  return {
    ...common,
    ...readSparseNetwork(m, common, flash ? 'sigmoid' : 'softmax'),
    attention: common.attention.map(({ heads }) => ({
      ...{ heads, kvHeads: 1, keyLength: rotated + latent, valueLength: latent },
    })),
    rope: { ...rope, magnitude },
    attentionScale: grown ** 2 / Math.sqrt(keyLength),
    temperature:
      scale === 0 ? undefined : { scale, length: m.count('attention.temperature_length') },
    queryRank: m.count('attention.q_lora_rank', 0, 0),
    latent,
    rotated,
    plain: keyLength - rotated,
    value: m.count('attention.value_length_mla'),
  };
}

/** From the row to all heads' queries, by way of a shorter one in the larger models. */
type Queries =
  | { readonly direct: layers.Linear }
  | { readonly down: layers.Linear; readonly norm: Weight; readonly up: layers.Linear };

interface Block {
  readonly attentionNorm: Weight;
  readonly queries: Queries;
  readonly latent: layers.Linear;
  readonly latentNorm: Weight;
  readonly rotatedKey: layers.Linear;
  /** A matrix for each head: [plain, latent, heads] and [latent, value, heads]. */
  readonly absorbedKeys: Weight;
  readonly values: Weight;
  readonly output: layers.Linear;
  readonly networkNorm: Weight;
  readonly network: layers.GatedNetwork | Mixture;
}

function weights(w: WeightLoader, h: DeepSeek2, layer: number): Block {
  const at = `blk.${layer}`;
  const { embeddingLength: embedding, queryRank, latent, rotated, plain, value } = h;
  const { heads } = h.attention[layer] as AttentionShape;
  const rows = heads * (plain + rotated);
  const together = `${at}.attn_kv_a_mqa.weight`;
  const part = (first: number, count: number): layers.Linear => ({
    weight: w.matrix(together, [embedding, count], { first, of: latent + rotated }),
    scale: undefined,
    bias: undefined,
  });
  return {
    attentionNorm: w.vector(`${at}.attn_norm.weight`, embedding),
    queries:
      queryRank === 0 || w.find(`${at}.attn_q.weight`) !== undefined
        ? { direct: layers.declareLinear(w, `${at}.attn_q`, embedding, rows) }
        : {
            down: layers.declareLinear(w, `${at}.attn_q_a`, embedding, queryRank),
            norm: w.vector(`${at}.attn_q_a_norm.weight`, queryRank),
            up: layers.declareLinear(w, `${at}.attn_q_b`, queryRank, rows),
          },
    latent: part(0, latent),
    latentNorm: w.vector(`${at}.attn_kv_a_norm.weight`, latent),
    rotatedKey: part(latent, rotated),
    absorbedKeys: w.experts(`${at}.attn_k_b.weight`, [plain, latent, heads]),
    values: w.experts(`${at}.attn_v_b.weight`, [latent, value, heads]),
    output: layers.declareLinear(w, `${at}.attn_output`, heads * value, embedding),
    networkNorm: w.vector(`${at}.ffn_norm.weight`, embedding),
    network: declareSparseNetwork(w, h, layer),
  };
}

/** x [embedding, T] to [embedding, T]. */
function attention(
  stream: layers.Stream,
  h: DeepSeek2,
  b: Block,
  x: Tensor,
  layer: number,
): Tensor {
  const { graph, batch } = stream;
  const { heads } = h.attention[layer] as AttentionShape;
  const { rotated, plain, latent, epsilon } = h;
  const tokens = x.shape[1];
  const first = 'direct' in b.queries ? b.queries.direct : b.queries.down;
  const members = [first, b.latent, b.rotatedKey];
  const [made, raw, key] = layers.linears(graph, members, x) as [Tensor, Tensor, Tensor];
  const all =
    'direct' in b.queries
      ? made
      : layers.linear(graph, b.queries.up, layers.rmsNorm(graph, made, b.queries.norm, epsilon));
  // Of each head the plain part comes first.
  const stride = 4 * (plain + rotated);
  const partOf = (length: number, offset: number) =>
    graph.cont(graph.view(all, [length, heads, tokens], [stride, heads * stride], 4 * offset));
  const absorbed = eachGroup(graph, b.absorbedKeys, partOf(plain, 0)); // [latent, heads, T]
  const q = graph.concat(partOf(rotated, plain), absorbed, 0);
  const row = layers.rmsNorm(graph, raw, b.latentNorm, epsilon); // [latent, T]
  const v = graph.reshape(row, [latent, 1, tokens]);
  const k = graph.concat(graph.reshape(key, [rotated, 1, tokens]), v, 0);
  const tempered = h.temperature ? temper(graph, batch, q, h.temperature) : q;
  const options = { scale: h.attentionScale, rope: h.rope };
  const seen = attend(graph, { batch, layer, q: tempered, k, v }, options);
  const values = eachGroup(graph, b.values, graph.reshape(seen, [latent, heads, tokens]));
  return layers.linear(graph, b.output, graph.reshape(values, [h.value * heads, tokens]));
}

function block(stream: layers.Stream, h: DeepSeek2, b: Block, x: Tensor, layer: number): Tensor {
  const { graph } = stream;
  const norm = (y: Tensor, weight: Weight) => layers.rmsNorm(graph, y, weight, h.epsilon);
  const attended = attention(stream, h, b, norm(x, b.attentionNorm), layer);
  const sum = graph.add(stream.narrow(layer, x), stream.narrow(layer, attended));
  return graph.add(sum, sparseNetwork(graph, h, b.network, norm(sum, b.networkNorm)));
}

export const deepseek2: Decoder = decoder({
  hyperparameters,
  weights,
  block,
  layerState: (h, layer) => latentRows(h.attention[layer] as AttentionShape),
});
