/** Gemma 4 in double precision, as transformers computes it from the checkpoint's own names. */
import type { Checkpoint } from './checkpoint.js';
import {
  add,
  attend,
  Doubles,
  headsOf,
  largest,
  type Row,
  softmax,
  times,
  turn,
} from './double-precision.js';

const at = (values: ArrayLike<number>, index: number) => values[index] as number;
const gelu = (x: number) =>
  0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
const gate = (gates: Row, by: ArrayLike<number>): Row => gates.map((g, i) => gelu(g) * at(by, i));

interface Ropes {
  readonly [kind: string]: { readonly rope_theta: number; readonly partial_rotary_factor?: number };
}

/** Logits after each token. */
export function gemma4Logits(checkpoint: Checkpoint, tokens: readonly number[]): Row[] {
  const d = new Doubles(checkpoint);
  const { config } = checkpoint;
  const width = d.n('hidden_size');
  const layers = d.n('num_hidden_layers');
  const own = d.n('hidden_size_per_layer_input');
  const kinds = config.layer_types as readonly string[];
  /** Of values there is no weight. */
  const normed = (x: Row): Row => {
    const squares = x.reduce((sum, value) => sum + value * value, 0) / x.length;
    return times(x, 1 / Math.sqrt(squares + d.n('rms_norm_eps')));
  };

  /** Layers with a window turn a whole head, the others its first pairs as slowly as if it were whole. */
  const turned = (x: Row, position: number, kind: string): Row => {
    const { rope_theta: base, partial_rotary_factor: part = 1 } = (config.rope_parameters as Ropes)[
      kind
    ] as Ropes[string];
    const pairs = Math.floor((x.length / 2) * part);
    return turn(x, position, { base, slower: (pair) => (pair < pairs ? 1 : 0) });
  };
  const kept = new Map<string, { readonly keys: Row[][]; readonly seen: Row[][] }>();
  const attention = (rows: readonly Row[], layer: number): Row[] => {
    const name = `model.layers.${layer}.self_attn`;
    const kind = kinds[layer] as string;
    const full = kind === 'full_attention';
    const head = d.n(full ? 'global_head_dim' : 'head_dim');
    const project = (part: string) =>
      rows.map((x) => headsOf(d.linear(x, `${name}.${part}`), head));
    const rotated = (all: Row[][], part: string) =>
      all.map((heads, t) => heads.map((x) => turned(d.norm(x, `${name}.${part}`), t, kind)));
    if (d.has(`${name}.k_proj.weight`)) {
      const raw = project('k_proj');
      const values = d.has(`${name}.v_proj.weight`) ? project('v_proj') : raw;
      kept.set(kind, {
        keys: rotated(raw, 'k_norm'),
        seen: values.map((heads) => heads.map(normed)),
      });
    }
    const { keys = [], seen = [] } = kept.get(kind) ?? {};
    const window = full ? {} : { window: d.n('sliding_window') };
    return attend(rotated(project('q_proj'), 'q_norm'), keys, seen, { scale: 1, ...window }).map(
      (x) => d.linear(x, `${name}.o_proj`),
    );
  };

  const network = (x: Row, name: string): Row =>
    d.linear(
      gate(d.linear(x, `${name}.gate_proj`), d.linear(x, `${name}.up_proj`)),
      `${name}.down_proj`,
    );
  const mixture = (x: Row, layer: string): Row => {
    const scale = d.values(`${layer}.router.scale`);
    const rated = normed(x).map((value, i) => (value * at(scale, i)) / Math.sqrt(width));
    const shares = softmax([...d.linear(rated, `${layer}.router.proj`)]);
    const best = largest(shares, d.n('top_k_experts'));
    const total = best.reduce((sum, index) => sum + at(shares, index), 0);
    const input = d.norm(x, `${layer}.pre_feedforward_layernorm_2`);
    const size = d.n('moe_intermediate_size');
    let result: Row = new Float64Array(width);
    for (const index of best) {
      const both = d.matrix(input, `${layer}.experts.gate_up_proj`, 2 * index * size, 2 * size);
      const inner = gate(both.slice(0, size), both.slice(size));
      const grown = d.matrix(inner, `${layer}.experts.down_proj`, index * width, width);
      const factor = at(d.values(`${layer}.router.per_expert_scale`), index);
      result = add(result, times(grown, (at(shares, index) / total) * factor));
    }
    return result;
  };

  const embedded = tokens.map((token) => times(d.embed(token), Math.sqrt(width)));
  /** What a layer gets of a token besides. */
  const ownInput = (x: Row, token: number, layer: number): Row => {
    const part = (row: ArrayLike<number>, start = 0): Row =>
      Float64Array.from({ length: own }, (_, i) => at(row, start + layer * own + i));
    const projected = times(d.linear(x, 'model.per_layer_model_projection'), 1 / Math.sqrt(width));
    const table = d.values('model.embed_tokens_per_layer.weight');
    const identity = times(part(table, token * layers * own), Math.sqrt(own));
    const context = d.norm(part(projected), 'model.per_layer_projection_norm');
    return times(add(context, identity), Math.SQRT1_2);
  };
  let rows = embedded;
  for (let index = 0; index < layers; index++) {
    const layer = `model.layers.${index}`;
    const seen = attention(
      rows.map((x) => d.norm(x, `${layer}.input_layernorm`)),
      index,
    );
    rows = rows.map((x, t) => {
      const sum = add(x, d.norm(seen[t] as Row, `${layer}.post_attention_layernorm`));
      const dense = network(d.norm(sum, `${layer}.pre_feedforward_layernorm`), `${layer}.mlp`);
      const grown =
        config.enable_moe_block === true
          ? add(
              d.norm(dense, `${layer}.post_feedforward_layernorm_1`),
              d.norm(mixture(sum, layer), `${layer}.post_feedforward_layernorm_2`),
            )
          : dense;
      let y = add(sum, d.norm(grown, `${layer}.post_feedforward_layernorm`));
      if (own > 0) {
        const input = ownInput(embedded[t] as Row, tokens[t] as number, index);
        const gated = gate(d.linear(y, `${layer}.per_layer_input_gate`), input);
        const added = d.linear(gated, `${layer}.per_layer_projection`);
        y = add(y, d.norm(added, `${layer}.post_per_layer_input_norm`));
      }
      return times(y, at(d.values(`${layer}.layer_scalar`), 0));
    });
  }
  const cap = config.final_logit_softcapping as number | null;
  return d.logits(rows).map((row) => (cap ? row.map((z) => cap * Math.tanh(z / cap)) : row));
}
