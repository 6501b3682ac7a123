/**
 * LFM2 in double precision, as transformers computes it from the checkpoint's own names: a projection in
 * three parts, of which the first gates what goes into the convolution's row with the third and the second
 * what comes out; attention with norms of each head. Shares nothing with the engine or the converter.
 */
import type { Checkpoint } from './checkpoint.js';

type Row = readonly number[];

const at = (values: ArrayLike<number>, index: number) => values[index] as number;
const silu = (x: number) => x / (1 + Math.exp(-x));
const plus = (a: Row, b: Row): Row => a.map((x, i) => x + at(b, i));

/** Logits after each token. */
export function lfm2Logits({ config, weights }: Checkpoint, tokens: readonly number[]): Row[] {
  const n = (key: string) => config[key] as number;
  const values = (name: string): Float32Array => {
    const found = weights.get(`${name}.weight`);
    if (found === undefined) throw new Error(`No ${name}`);
    return found.values;
  };
  const linear = (x: Row, name: string): Row => {
    const all = values(name);
    return Array.from({ length: all.length / x.length }, (_, row) =>
      x.reduce((sum, value, i) => sum + value * at(all, row * x.length + i), 0),
    );
  };
  const norm = (x: Row, name: string): Row => {
    const squares = x.reduce((sum, value) => sum + value * value, 0) / x.length;
    return x.map((value, i) => (value / Math.sqrt(squares + n('norm_eps'))) * at(values(name), i));
  };
  const width = n('hidden_size');
  const head = width / n('num_attention_heads');
  const group = n('num_attention_heads') / n('num_key_value_heads');
  const turn = (x: Row, position: number): Row =>
    x.map((value, i) => {
      const pair = i % (head / 2);
      const angle = position / n('rope_theta') ** ((2 * pair) / head);
      const other = i < head / 2 ? -at(x, i + head / 2) : at(x, i - head / 2);
      return value * Math.cos(angle) + other * Math.sin(angle);
    });
  const headsOf = (x: Row, name: string, position: number): Row[] =>
    Array.from({ length: x.length / head }, (_, h) =>
      turn(norm(x.slice(h * head, (h + 1) * head), name), position),
    );

  const convolution = (rows: readonly Row[], name: string): Row[] => {
    const mixed = rows.map((x) => linear(x, `${name}.in_proj`));
    const gated = mixed.map((x) =>
      Array.from({ length: width }, (_, i) => at(x, i) * at(x, 2 * width + i)),
    );
    const kernel = values(`${name}.conv`);
    const length = n('conv_L_cache');
    return mixed.map((x, t) => {
      const seen = Array.from({ length: width }, (_, i) => {
        let sum = 0;
        for (let k = 0; k < length; k++) {
          const from = gated[t - (length - 1) + k];
          if (from !== undefined) sum += at(kernel, i * length + k) * at(from, i);
        }
        return sum * at(x, width + i);
      });
      return linear(seen, `${name}.out_proj`);
    });
  };

  const attention = (rows: readonly Row[], name: string): Row[] => {
    const q = rows.map((x, t) => headsOf(linear(x, `${name}.q_proj`), `${name}.q_layernorm`, t));
    const k = rows.map((x, t) => headsOf(linear(x, `${name}.k_proj`), `${name}.k_layernorm`, t));
    const v = rows.map((x) => linear(x, `${name}.v_proj`));
    return q.map((heads, t) => {
      const result = heads.flatMap((query, h) => {
        const of = Math.floor(h / group);
        const scores = k.slice(0, t + 1).map((keys) => {
          const key = keys[of] as Row;
          return query.reduce((sum, x, i) => sum + x * at(key, i), 0) / Math.sqrt(head);
        });
        const most = Math.max(...scores);
        const powers = scores.map((score) => Math.exp(score - most));
        const total = powers.reduce((a, b) => a + b, 0);
        return Array.from({ length: head }, (_, i) =>
          powers.reduce((sum, p, s) => sum + (p / total) * at(v[s] as Row, of * head + i), 0),
        );
      });
      return linear(result, `${name}.out_proj`);
    });
  };

  const network = (x: Row, name: string): Row => {
    const up = linear(x, `${name}.w3`);
    const inner = linear(x, `${name}.w1`).map((gate, i) => silu(gate) * at(up, i));
    return linear(inner, `${name}.w2`);
  };
  /** An expert of a tensor that holds all of them, gate above up. */
  const fusedNetwork = (x: Row, name: string, index: number): Row => {
    const [both, down] = ['gate_up_proj', 'down_proj'].map(
      (part) => weights.get(`${name}.experts.${part}`)?.values as Float32Array,
    ) as [Float32Array, Float32Array];
    const size = n('moe_intermediate_size');
    const product = (y: Row, all: Float32Array, first: number, count: number): Row =>
      Array.from({ length: count }, (_, row) =>
        y.reduce((sum, value, i) => sum + value * at(all, (first + row) * y.length + i), 0),
      );
    const gate = product(x, both, index * 2 * size, size);
    const up = product(x, both, (index * 2 + 1) * size, size);
    const inner = gate.map((value, i) => silu(value) * at(up, i));
    return product(inner, down, index * width, width);
  };
  /** Experts are chosen by rating and bias, and weighed by their ratings alone. */
  const mixture = (x: Row, name: string): Row => {
    const ratings = linear(x, `${name}.gate`).map((logit) => 1 / (1 + Math.exp(-logit)));
    const bias = weights.get(`${name}.expert_bias`)?.values ?? [];
    const best = ratings
      .map((rating, index) => ({ rating, index, place: rating + at(bias, index) }))
      .sort((a, b) => b.place - a.place)
      .slice(0, n('num_experts_per_tok'));
    const total = best.reduce((sum, { rating }) => sum + rating, 1e-6);
    const fused = weights.has(`${name}.experts.gate_up_proj`);
    return best.reduce<Row>(
      (sum, { rating, index }) => {
        const own = fused ? fusedNetwork(x, name, index) : network(x, `${name}.experts.${index}`);
        return plus(
          sum,
          own.map((value) => (value * rating) / total),
        );
      },
      x.map(() => 0),
    );
  };

  const table = values('model.embed_tokens');
  let rows: Row[] = tokens.map((token) => [...table.subarray(token * width, (token + 1) * width)]);
  for (let layer = 0; layer < n('num_hidden_layers'); layer++) {
    const name = `model.layers.${layer}`;
    const normed = rows.map((x) => norm(x, `${name}.operator_norm`));
    const mixed = weights.has(`${name}.conv.conv.weight`)
      ? convolution(normed, `${name}.conv`)
      : attention(normed, `${name}.self_attn`);
    rows = rows.map((x, t) => {
      const sum = plus(x, mixed[t] as Row);
      const y = norm(sum, `${name}.ffn_norm`);
      const sparse = weights.has(`${name}.feed_forward.gate.weight`);
      const inner = sparse ? mixture : network;
      return plus(sum, inner(y, `${name}.feed_forward`));
    });
  }
  return rows.map((x) => linear(norm(x, 'model.embedding_norm'), 'model.embed_tokens'));
}
