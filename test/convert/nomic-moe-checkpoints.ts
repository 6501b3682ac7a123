/** Random checkpoints of Nomic's BERT with experts, and the vectors that a reference makes of them. */
import type { Weights } from './checkpoint.js';
import { add, headsOf, largest, type Row, softmax, times, turn } from './double-precision.js';
import {
  attendBoth,
  EncoderParts,
  encoderCheckpoint,
  type Gelu,
  meanVector,
  product,
  TensorMaker,
} from './encoder-parts.js';
import { words } from './wordpiece.js';

export const nomicMoeConfig = {
  ...{ architectures: ['NomicBertModel'], activation_function: 'gelu', n_layer: 3, n_head: 2 },
  ...{ n_embd: 32, n_inner: 48, n_positions: 80, max_trained_positions: 40 },
  ...{ vocab_size: words.length, layer_norm_epsilon: 1e-5, rotary_emb_base: 10_000 },
  ...{
    rotary_emb_fraction: 1,
    rotary_emb_interleaved: false,
    causal: false,
    type_vocab_size: 1,
    prenorm: false,
  },
  ...{ qkv_proj_bias: true, mlp_fc1_bias: true, mlp_fc2_bias: true },
  ...{ moe_every_n_layers: 2, moe_top_k: 2, num_experts: 4 },
  ...{ moe_normalize_expert_weights: false, expert_choice_router: false },
};
const [width, inner] = [nomicMoeConfig.n_embd, nomicMoeConfig.n_inner];

export function nomicMoeTensors(): Map<string, Weights> {
  const t = new TensorMaker();
  t.add('embeddings.word_embeddings.weight', [words.length, width], 1);
  t.add('embeddings.token_type_embeddings.weight', [1, width], 0.5);
  t.norm('emb_ln', width);
  for (let layer = 0; layer < nomicMoeConfig.n_layer; layer++) {
    const at = `encoder.layers.${layer}`;
    t.linear(`${at}.attn.Wqkv`, width, 3 * width);
    t.linear(`${at}.attn.out_proj`, width, width);
    t.norm(`${at}.norm1`, width);
    if (layer % nomicMoeConfig.moe_every_n_layers === 1) {
      const rows = nomicMoeConfig.num_experts * inner;
      t.linear(`${at}.mlp.router.layer`, width, nomicMoeConfig.num_experts, false);
      t.add(`${at}.mlp.experts.mlp.w1`, [rows, width], 1 / Math.sqrt(width));
      t.add(`${at}.mlp.experts.mlp.w2`, [rows, width], 1 / Math.sqrt(inner));
      t.add(`${at}.mlp.experts.bias`, [width], 0);
    } else {
      t.linear(`${at}.mlp.fc1`, width, inner);
      t.linear(`${at}.mlp.fc2`, inner, width);
    }
    t.norm(`${at}.norm2`, width);
  }
  return t.found;
}

/** Writes a checkpoint; its folder. */
export function nomicMoeCheckpoint(
  weights: ReadonlyMap<string, Weights>,
  changed: object = {},
): string {
  return encoderCheckpoint({ ...nomicMoeConfig, ...changed }, weights);
}

/** All heads of a row turned by its position. */
const turned = (x: Row, position: number): Row => {
  const heads = headsOf(x, width / nomicMoeConfig.n_head);
  const options = { base: nomicMoeConfig.rotary_emb_base };
  return Float64Array.from(heads.flatMap((head) => [...turn(head, position, options)]));
};

/** The vector of a text. */
export function nomicMoeVector(
  weights: ReadonlyMap<string, Weights>,
  tokens: readonly number[],
  gelu: Gelu,
): Row {
  const parts = new EncoderParts(weights, nomicMoeConfig.layer_norm_epsilon);
  /** Both matrices of an expert are [inner, width]; shares of all experts, those of two are taken as they are. */
  const mixture = (x: Row, name: string): Row => {
    const shares = softmax([...parts.linear(x, `${name}.router.layer`)]);
    const [w1, w2] = ['w1', 'w2'].map((part) => parts.values(`${name}.experts.mlp.${part}`)) as [
      Float32Array,
      Float32Array,
    ];
    let result: Row = new Float64Array(width);
    for (const index of largest(shares, nomicMoeConfig.moe_top_k)) {
      const grown = product(x, w1, index * inner, inner).map(gelu);
      const out = x.map((_, i) =>
        grown.reduce((all, g, j) => all + g * (w2[(index * inner + j) * width + i] as number), 0),
      );
      result = add(result, times(out, shares[index] as number));
    }
    return result;
  };
  const type = parts.row('embeddings.token_type_embeddings.weight', 0, width);
  let rows = tokens.map((token) => {
    const word = parts.row('embeddings.word_embeddings.weight', token, width);
    return parts.norm(add(word, type), 'emb_ln');
  });
  for (let layer = 0; layer < nomicMoeConfig.n_layer; layer++) {
    const name = `encoder.layers.${layer}`;
    const all = rows.map((x) => parts.linear(x, `${name}.attn.Wqkv`));
    const part = (index: number) => all.map((x) => x.slice(index * width, (index + 1) * width));
    const seen = attendBoth(
      part(0).map(turned),
      part(1).map(turned),
      part(2),
      nomicMoeConfig.n_head,
    );
    rows = rows.map((x, t) => {
      const out = parts.linear(seen[t] as Row, `${name}.attn.out_proj`);
      const once = parts.norm(add(out, x), `${name}.norm1`);
      const grown =
        layer % nomicMoeConfig.moe_every_n_layers === 1
          ? mixture(once, `${name}.mlp`)
          : parts.linear(parts.linear(once, `${name}.mlp.fc1`).map(gelu), `${name}.mlp.fc2`);
      return parts.norm(add(grown, once), `${name}.norm2`);
    });
  }
  return meanVector(rows);
}
