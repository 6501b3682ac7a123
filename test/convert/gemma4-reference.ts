/**
 * Gemma 4 in double precision, as transformers computes it from the checkpoint's own names. Shares nothing with the
 * engine or the converter.
 */
import type { Checkpoint } from './checkpoint.js';

type Row = readonly number[];

const at = (values: ArrayLike<number>, index: number) => values[index] as number;
const plus = (a: Row, b: Row): Row => a.map((x, i) => x + at(b, i));
const times = (a: Row, factor: number): Row => a.map((x) => x * factor);
const gelu = (x: number) =>
  0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

function softmax(scores: Row): Row {
  const most = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - most));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / total);
}

/** Logits after each token. */
export function gemma4Logits({ config, weights }: Checkpoint, tokens: readonly number[]): Row[] {
  const n = (key: string) => config[key] as number;
  const find = (name: string) => weights.get(`model.${name}`)?.values;
  const values = (name: string): Float32Array => {
    const found = find(name);
    if (found === undefined) throw new Error(`No ${name}`);
    return found;
  };
  const product = (x: Row, all: Float32Array, first = 0, rows = all.length / x.length): Row =>
    Array.from({ length: rows }, (_, row) =>
      x.reduce((sum, value, i) => sum + value * at(all, (first + row) * x.length + i), 0),
    );
  const linear = (x: Row, name: string): Row => product(x, values(`${name}.weight`));
  const norm = (x: Row, name?: string): Row => {
    const squares = x.reduce((sum, value) => sum + value * value, 0) / x.length;
    const scale = 1 / Math.sqrt(squares + n('rms_norm_eps'));
    const weight = name === undefined ? undefined : values(`${name}.weight`);
    return x.map((value, i) => value * scale * (weight ? at(weight, i) : 1));
  };
  const width = n('hidden_size');
  const layers = n('num_hidden_layers');
  const own = n('hidden_size_per_layer_input');
  const kinds = config.layer_types as readonly string[];
  const rowOf = (table: Float32Array, token: number, length: number): Row =>
    times([...table.subarray(token * length, (token + 1) * length)], Math.sqrt(length));

  /** Where every position turns, layers that see everything turn a quarter of a head. */
  const turn = (x: Row, position: number, full: boolean): Row => {
    const half = x.length / 2;
    const rope = (config.rope_parameters as Record<string, Record<string, number>>)[
      full ? 'full_attention' : 'sliding_attention'
    ] as Record<string, number>;
    const turned = Math.floor(half * (full ? (rope.partial_rotary_factor as number) : 1));
    return x.map((value, i) => {
      const pair = i % half;
      const speed = pair < turned ? (rope.rope_theta as number) ** ((-2 * pair) / x.length) : 0;
      const other = i < half ? -at(x, i + half) : at(x, i - half);
      return value * Math.cos(position * speed) + other * Math.sin(position * speed);
    });
  };
  const heads = (x: Row, length: number): Row[] =>
    Array.from({ length: x.length / length }, (_, h) => x.slice(h * length, (h + 1) * length));

  interface Kept {
    readonly keys: readonly (readonly Row[])[];
    readonly seen: readonly (readonly Row[])[];
  }
  const kept = new Map<string, Kept>();
  const attention = (rows: readonly Row[], layer: number): Row[] => {
    const name = `layers.${layer}.self_attn`;
    const full = kinds[layer] === 'full_attention';
    const head = n(full ? 'global_head_dim' : 'head_dim');
    if (find(`${name}.k_proj.weight`)) {
      const raw = rows.map((x) => heads(linear(x, `${name}.k_proj`), head));
      const valued = find(`${name}.v_proj.weight`) !== undefined;
      kept.set(kinds[layer] as string, {
        keys: raw.map((all, t) => all.map((key) => turn(norm(key, `${name}.k_norm`), t, full))),
        seen: raw.map((all, t) => {
          const own = valued ? heads(linear(rows[t] as Row, `${name}.v_proj`), head) : all;
          return own.map((value) => norm(value));
        }),
      });
    }
    const { keys, seen } = kept.get(kinds[layer] as string) as Kept;
    return rows.map((x, t) => {
      const first = full ? 0 : Math.max(0, t - n('sliding_window') + 1);
      const queries = heads(linear(x, `${name}.q_proj`), head);
      const group = queries.length / (keys[0] as readonly Row[]).length;
      const result = queries.flatMap((one, h) => {
        const query = turn(norm(one, `${name}.q_norm`), t, full);
        const of = Math.floor(h / group);
        const near = keys.slice(first, t + 1);
        const shares = softmax(
          near.map((all) =>
            query.reduce((sum, value, i) => sum + value * at(all[of] as Row, i), 0),
          ),
        );
        return shares.reduce<Row>(
          (sum, share, s) =>
            plus(sum, times((seen[first + s] as readonly Row[])[of] as Row, share)),
          query.map(() => 0),
        );
      });
      return linear(result, `${name}.o_proj`);
    });
  };

  const network = (x: Row, name: string): Row => {
    const up = linear(x, `${name}.up_proj`);
    const inner = linear(x, `${name}.gate_proj`).map((gate, i) => gelu(gate) * at(up, i));
    return linear(inner, `${name}.down_proj`);
  };
  const mixture = (x: Row, layer: string): Row => {
    const scale = values(`${layer}.router.scale`);
    const rated = norm(x).map((value, i) => (value * at(scale, i)) / Math.sqrt(width));
    const shares = softmax(linear(rated, `${layer}.router.proj`));
    const best = shares
      .map((share, index) => ({ share, index }))
      .sort((a, b) => b.share - a.share)
      .slice(0, n('top_k_experts'));
    const total = best.reduce((sum, { share }) => sum + share, 0);
    const input = norm(x, `${layer}.pre_feedforward_layernorm_2`);
    const size = n('moe_intermediate_size');
    return best.reduce<Row>(
      (sum, { share, index }) => {
        const both = product(
          input,
          values(`${layer}.experts.gate_up_proj`),
          index * 2 * size,
          2 * size,
        );
        const inner = both.slice(0, size).map((gate, i) => gelu(gate) * at(both, size + i));
        const result = product(inner, values(`${layer}.experts.down_proj`), index * width, width);
        const factor = at(values(`${layer}.router.per_expert_scale`), index);
        return plus(sum, times(result, (share / total) * factor));
      },
      x.map(() => 0),
    );
  };

  const embedded = tokens.map((token) => rowOf(values('embed_tokens.weight'), token, width));
  const perLayer = embedded.map((x, t): Row[] => {
    if (own === 0) return [];
    const projected = linear(x, 'per_layer_model_projection').map(
      (value) => value / Math.sqrt(width),
    );
    const table = values('embed_tokens_per_layer.weight');
    const token = tokens[t] as number;
    const all = [...table.subarray(token * layers * own, (token + 1) * layers * own)];
    return Array.from({ length: layers }, (_, layer) => {
      const part = (row: Row) => row.slice(layer * own, (layer + 1) * own);
      const normed = norm(part(projected), 'per_layer_projection_norm');
      return times(plus(normed, times(part(all), Math.sqrt(own))), Math.SQRT1_2);
    });
  });
  let rows: Row[] = embedded;
  for (let index = 0; index < layers; index++) {
    const layer = `layers.${index}`;
    const seen = attention(
      rows.map((x) => norm(x, `${layer}.input_layernorm`)),
      index,
    );
    rows = rows.map((x, t) => {
      const sum = plus(x, norm(seen[t] as Row, `${layer}.post_attention_layernorm`));
      const dense = network(norm(sum, `${layer}.pre_feedforward_layernorm`), `${layer}.mlp`);
      const grown =
        config.enable_moe_block === true
          ? plus(
              norm(dense, `${layer}.post_feedforward_layernorm_1`),
              norm(mixture(sum, layer), `${layer}.post_feedforward_layernorm_2`),
            )
          : dense;
      let y = plus(sum, norm(grown, `${layer}.post_feedforward_layernorm`));
      if (own > 0) {
        const input = perLayer[t]?.[index] as Row;
        const gated = linear(y, `${layer}.per_layer_input_gate`).map(
          (g, i) => gelu(g) * at(input, i),
        );
        const added = linear(gated, `${layer}.per_layer_projection`);
        y = plus(y, norm(added, `${layer}.post_per_layer_input_norm`));
      }
      return times(y, at(values(`${layer}.layer_scalar`), 0));
    });
  }
  const cap = config.final_logit_softcapping as number | null;
  return rows.map((x) =>
    linear(norm(x, 'norm'), 'embed_tokens').map((z) => (cap ? cap * Math.tanh(z / cap) : z)),
  );
}
