/** Random checkpoints of Jina's second BERT, and the vectors that a reference makes of them. */
import type { Weights } from './checkpoint.js';
import { add, type Row } from './double-precision.js';
import {
  attendBoth,
  EncoderParts,
  encoderCheckpoint,
  type Gelu,
  meanVector,
  TensorMaker,
} from './encoder-parts.js';
import { words } from './wordpiece.js';

// Six heads are no power of two: slopes of the last ones are those of twice as many.
const config = {
  ...{ architectures: ['JinaBertForMaskedLM'], hidden_size: 48, intermediate_size: 56 },
  ...{ num_hidden_layers: 2, num_attention_heads: 6, max_position_embeddings: 64 },
  ...{ vocab_size: words.length, type_vocab_size: 2, layer_norm_eps: 1e-12 },
  ...{ position_embedding_type: 'alibi', feed_forward_type: 'geglu', hidden_act: 'gelu' },
};
const width = config.hidden_size;
const inner = config.intermediate_size;

/** @param code whether it is the form of the model for code. */
export function jinaTensors(code: boolean): Map<string, Weights> {
  const t = new TensorMaker();
  t.add('embeddings.word_embeddings.weight', [words.length, width], 1);
  t.add('embeddings.token_type_embeddings.weight', [2, width], 0.5);
  t.norm('embeddings.LayerNorm', width);
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const at = `encoder.layer.${layer}`;
    for (const part of ['query', 'key', 'value']) {
      t.linear(`${at}.attention.self.${part}`, width, width);
    }
    t.linear(`${at}.attention.output.dense`, width, width);
    t.norm(`${at}.attention.output.LayerNorm`, width);
    if (code) {
      t.norm(`${at}.attention.self.layer_norm_q`, width);
      t.norm(`${at}.attention.self.layer_norm_k`, width);
      t.norm(`${at}.layer_norm_1`, width);
      t.norm(`${at}.layer_norm_2`, width);
      t.linear(`${at}.mlp.up_gated_layer`, width, 2 * inner, false);
      t.linear(`${at}.mlp.down_layer`, inner, width);
    } else {
      t.linear(`${at}.mlp.gated_layers`, width, 2 * inner, false);
      t.linear(`${at}.mlp.wo`, inner, width);
      t.norm(`${at}.mlp.layernorm`, width);
    }
  }
  t.linear('pooler.dense', width, width);
  t.linear('cls.predictions.transform.dense', width, width);
  return t.found;
}

/** Writes a checkpoint; its folder. */
export function jinaCheckpoint(
  weights: ReadonlyMap<string, Weights>,
  changed: object = {},
): string {
  return encoderCheckpoint({ ...config, ...changed }, weights);
}

/** How much of the distance a head takes off its scores: 2 to the -8/4, -16/4, ..., and between them. */
const slopes = [2 ** -2, 2 ** -4, 2 ** -6, 2 ** -8, 2 ** -1, 2 ** -3];

/** The vector of a text. */
export function jinaVector(
  weights: ReadonlyMap<string, Weights>,
  tokens: readonly number[],
  gelu: Gelu,
): Row {
  const parts = new EncoderParts(weights, config.layer_norm_eps);
  const code = weights.has('encoder.layer.0.layer_norm_1.weight');
  const type = parts.row('embeddings.token_type_embeddings.weight', 0, width);
  let rows = tokens.map((token) => {
    const word = parts.row('embeddings.word_embeddings.weight', token, width);
    return parts.norm(add(word, type), 'embeddings.LayerNorm');
  });
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const name = `encoder.layer.${layer}`;
    const self = `${name}.attention.self`;
    const made = (part: string, norm?: string) =>
      rows.map((x) => {
        const y = parts.linear(x, `${self}.${part}`);
        return code && norm ? parts.norm(y, `${self}.${norm}`) : y;
      });
    const seen = attendBoth(
      made('query', 'layer_norm_q'),
      made('key', 'layer_norm_k'),
      made('value'),
      config.num_attention_heads,
      (head, from, to) => -(slopes[head] as number) * Math.abs(from - to),
    );
    rows = rows.map((x, t) => {
      const out = parts.linear(seen[t] as Row, `${name}.attention.output.dense`);
      const once = parts.norm(add(out, x), `${name}.attention.output.LayerNorm`);
      const y = code ? parts.norm(add(once, x), `${name}.layer_norm_1`) : once;
      const both = parts.linear(y, `${name}.mlp.${code ? 'up_gated_layer' : 'gated_layers'}`);
      const [first, second] = [both.slice(0, inner), both.slice(inner)];
      const [gate, up] = code ? [second, first] : [first, second];
      const grown = parts.linear(
        gate.map((value, i) => gelu(value) * (up[i] as number)),
        `${name}.mlp.${code ? 'down_layer' : 'wo'}`,
      );
      return parts.norm(add(grown, y), `${name}.${code ? 'layer_norm_2' : 'mlp.layernorm'}`);
    });
  }
  return meanVector(rows);
}
