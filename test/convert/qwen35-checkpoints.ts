/** Random checkpoints of Qwen3.5 in transformers' layout, and their logits in double precision. */
import type { Checkpoint } from './checkpoint.js';
import {
  add,
  attend,
  Doubles,
  dot,
  headsOf,
  largest,
  type Row,
  sigmoid,
  silu,
  softmax,
  times,
  turn,
} from './double-precision.js';
import { randomWeights, type WrittenOptions, writeCheckpoint } from './written-checkpoint.js';

/** Groups of three heads of values, so that their order counts. */
export const qwen35Config = {
  ...{ architectures: ['Qwen3_5ForCausalLM'], model_type: 'qwen3_5_text' },
  ...{ vocab_size: 320, hidden_size: 64, intermediate_size: 96, num_hidden_layers: 4 },
  ...{ num_attention_heads: 4, num_key_value_heads: 2, head_dim: 32, rms_norm_eps: 1e-6 },
  ...{ max_position_embeddings: 128, tie_word_embeddings: false, hidden_act: 'silu' },
  ...{ linear_conv_kernel_dim: 4, linear_key_head_dim: 16, linear_value_head_dim: 16 },
  ...{ linear_num_key_heads: 2, linear_num_value_heads: 6, full_attention_interval: 4 },
  layer_types: ['linear_attention', 'full_attention', 'linear_attention', 'full_attention'],
  rope_parameters: {
    ...{ rope_type: 'default', rope_theta: 10_000, partial_rotary_factor: 0.25 },
    ...{ mrope_interleaved: true, mrope_section: [2, 1, 1] },
  },
};

export const qwen35MoeConfig = {
  ...qwen35Config,
  ...{ architectures: ['Qwen3_5MoeForCausalLM'], model_type: 'qwen3_5_moe_text' },
  ...{ num_experts: 6, num_experts_per_tok: 2, moe_intermediate_size: 32 },
  ...{ shared_expert_intermediate_size: 48 },
};

const base = 10_000;
const rotated = 8;

type Options = Partial<Omit<WrittenOptions, 'weights'>> & {
  /** Blocks of multi-token prediction. */
  readonly drafts?: number;
  /** Before the model's names: `language_model.` where it also sees pictures. */
  readonly inside?: string;
};

export function qwen35Checkpoint(options: Options = {}): Checkpoint {
  const { drafts = 0, inside = '', type = 'F32' } = options;
  const given: Readonly<Record<string, unknown>> = {
    ...(options.config ?? qwen35Config),
    ...(drafts > 0 && { mtp_num_hidden_layers: drafts }),
  };
  const config = (given.text_config ?? given) as Readonly<Record<string, unknown>>;
  const n = (key: string) => config[key] as number;
  const width = n('hidden_size');
  const kinds = config.layer_types as readonly string[];
  const shapes = new Map<string, number[]>([
    ['model.embed_tokens.weight', [n('vocab_size'), width]],
    ['model.norm.weight', [width]],
  ]);
  if (config.tie_word_embeddings === false) shapes.set('lm_head.weight', [n('vocab_size'), width]);
  for (let layer = 0; layer < n('num_hidden_layers') + drafts; layer++) {
    const drafting = layer - n('num_hidden_layers');
    const at = drafting < 0 ? `model.layers.${layer}` : `mtp.layers.${drafting}`;
    const set = (part: string, shape: number[]) => shapes.set(`${at}.${part}`, shape);
    blockShapes(set, config, kinds[layer] ?? 'full_attention');
  }
  if (drafts > 0) {
    shapes.set('mtp.fc.weight', [width, 2 * width]);
    for (const name of ['pre_fc_norm_embedding', 'pre_fc_norm_hidden', 'norm']) {
      shapes.set(`mtp.${name}.weight`, [width]);
    }
  }
  const weights = randomWeights(shapes, {
    type,
    center: (name) => (name.includes('linear_attn') ? 1 : 0),
  });
  const named = new Map(
    [...weights].map(([name, value]) => [name.replace(/^model\./, `model.${inside}`), value]),
  );
  const { folder } = writeCheckpoint({ ...options, config: given, weights: named });
  return { folder, config, weights };
}

function blockShapes(
  set: (part: string, shape: number[]) => void,
  config: Readonly<Record<string, unknown>>,
  kind: string,
): void {
  const n = (key: string) => config[key] as number;
  const [width, head] = [n('hidden_size'), n('head_dim')];
  set('input_layernorm.weight', [width]);
  set('post_attention_layernorm.weight', [width]);
  if (kind === 'full_attention') {
    set('self_attn.q_proj.weight', [2 * n('num_attention_heads') * head, width]);
    set('self_attn.k_proj.weight', [n('num_key_value_heads') * head, width]);
    set('self_attn.v_proj.weight', [n('num_key_value_heads') * head, width]);
    set('self_attn.o_proj.weight', [width, n('num_attention_heads') * head]);
    set('self_attn.q_norm.weight', [head]);
    set('self_attn.k_norm.weight', [head]);
  } else {
    const values = n('linear_num_value_heads') * n('linear_value_head_dim');
    const channels = 2 * n('linear_num_key_heads') * n('linear_key_head_dim') + values;
    set('linear_attn.in_proj_qkv.weight', [channels, width]);
    set('linear_attn.in_proj_z.weight', [values, width]);
    set('linear_attn.in_proj_b.weight', [n('linear_num_value_heads'), width]);
    set('linear_attn.in_proj_a.weight', [n('linear_num_value_heads'), width]);
    set('linear_attn.conv1d.weight', [channels, 1, n('linear_conv_kernel_dim')]);
    set('linear_attn.dt_bias', [n('linear_num_value_heads')]);
    set('linear_attn.A_log', [n('linear_num_value_heads')]);
    set('linear_attn.norm.weight', [n('linear_value_head_dim')]);
    set('linear_attn.out_proj.weight', [width, values]);
  }
  const network = (at: string, inner: number) => {
    set(`${at}.gate_proj.weight`, [inner, width]);
    set(`${at}.up_proj.weight`, [inner, width]);
    set(`${at}.down_proj.weight`, [width, inner]);
  };
  if (config.num_experts === undefined) {
    network('mlp', n('intermediate_size'));
    return;
  }
  const [experts, inner] = [n('num_experts'), n('moe_intermediate_size')];
  set('mlp.gate.weight', [experts, width]);
  set('mlp.experts.gate_up_proj', [experts, 2 * inner, width]);
  set('mlp.experts.down_proj', [experts, width, inner]);
  network('mlp.shared_expert', n('shared_expert_intermediate_size'));
  set('mlp.shared_expert_gate.weight', [1, width]);
}

/** Logits after each token. */
export function qwen35Logits(checkpoint: Checkpoint, tokens: readonly number[]): Row[] {
  const d = new Doubles(checkpoint);
  const kinds = checkpoint.config.layer_types as readonly string[];
  let rows = tokens.map((token) => d.embed(token));
  for (let index = 0; index < d.n('num_hidden_layers'); index++) {
    const layer = `model.layers.${index}`;
    const normed = rows.map((x) => d.norm(x, `${layer}.input_layernorm`, 1));
    const mixed =
      kinds[index] === 'full_attention'
        ? gatedAttention(d, normed, `${layer}.self_attn`)
        : deltaNet(d, normed, `${layer}.linear_attn`);
    rows = rows.map((x, t) => {
      const sum = add(x, mixed[t] as Row);
      return add(sum, network(d, d.norm(sum, `${layer}.post_attention_layernorm`, 1), layer));
    });
  }
  return d.logits(rows, 1);
}

function gatedAttention(d: Doubles, rows: readonly Row[], own: string): Row[] {
  const head = d.n('head_dim');
  const turned = (one: Row, part: string, position: number) =>
    turn(d.norm(one, `${own}.${part}_norm`, 1), position, { base, dimensions: rotated });
  // A head's queries, then its gate.
  const both = rows.map((x) => headsOf(d.linear(x, `${own}.q_proj`), 2 * head));
  const q = both.map((heads, t) => heads.map((one) => turned(one.slice(0, head), 'q', t)));
  const k = rows.map((x, t) =>
    headsOf(d.linear(x, `${own}.k_proj`), head).map((one) => turned(one, 'k', t)),
  );
  const v = rows.map((x) => headsOf(d.linear(x, `${own}.v_proj`), head));
  return attend(q, k, v, { scale: 1 / Math.sqrt(head) }).map((seen, t) => {
    const gates = (both[t] as Row[]).flatMap((one) => [...one.slice(head)]);
    return d.linear(
      seen.map((value, i) => value * sigmoid(gates[i] as number)),
      `${own}.o_proj`,
    );
  });
}

/** Token by token: a matrix a head that forgets, and is corrected by what it should have said. */
function deltaNet(d: Doubles, rows: readonly Row[], own: string): Row[] {
  const [keyHeads, valueHeads] = [d.n('linear_num_key_heads'), d.n('linear_num_value_heads')];
  const length = d.n('linear_key_head_dim');
  const kernel = d.values(`${own}.conv1d.weight`);
  const size = d.n('linear_conv_kernel_dim');
  const inputs = rows.map((x) => d.linear(x, `${own}.in_proj_qkv`));
  const mixed = inputs.map((x, t) =>
    x.map((_, channel) => {
      let sum = 0;
      for (let i = 0; i < size; i++) {
        const from = inputs[t - (size - 1) + i]?.[channel] ?? 0;
        sum += (kernel[channel * size + i] as number) * from;
      }
      return silu(sum);
    }),
  );
  const unit = (x: Row) => times(x, 1 / Math.sqrt(dot(x, x) + 1e-6));
  const states = Array.from({ length: valueHeads }, () =>
    Array.from({ length }, () => new Float64Array(length) as Row),
  );
  return rows.map((x, t) => {
    const heads = headsOf(mixed[t] as Row, length);
    const gates = headsOf(d.linear(x, `${own}.in_proj_z`), length);
    const beta = d.linear(x, `${own}.in_proj_b`);
    const alpha = d.linear(x, `${own}.in_proj_a`);
    const result = states.flatMap((state, head) => {
      const of = Math.floor(head / (valueHeads / keyHeads));
      const q = times(unit(heads[of] as Row), 1 / Math.sqrt(length));
      const k = unit(heads[keyHeads + of] as Row);
      const v = heads[2 * keyHeads + head] as Row;
      const step = (alpha[head] as number) + (d.values(`${own}.dt_bias`)[head] as number);
      const slope = Math.exp(d.values(`${own}.A_log`)[head] as number);
      const kept = Math.exp(-slope * Math.log1p(Math.exp(step)));
      const said = v.map((_, i) =>
        state.reduce((sum, row, j) => sum + kept * (row[i] as number) * (k[j] as number), 0),
      );
      const change = v.map(
        (value, i) => (value - (said[i] as number)) * sigmoid(beta[head] as number),
      );
      for (const [j, row] of state.entries()) {
        state[j] = row.map((value, i) => kept * value + (k[j] as number) * (change[i] as number));
      }
      const seen = v.map((_, i) =>
        state.reduce((sum, row, j) => sum + (row[i] as number) * (q[j] as number), 0),
      );
      const gate = gates[head] as Row;
      return [...d.norm(seen, `${own}.norm`).map((value, i) => value * silu(gate[i] as number))];
    });
    return d.linear(Float64Array.from(result), `${own}.out_proj`);
  });
}

function network(d: Doubles, x: Row, layer: string): Row {
  const mlp = `${layer}.mlp`;
  if (!d.has(`${mlp}.gate.weight`)) return d.gated(x, mlp);
  const inner = d.n('moe_intermediate_size');
  const shares = softmax([...d.linear(x, `${mlp}.gate`)]);
  const chosen = largest(shares, d.n('num_experts_per_tok'));
  const sum = chosen.reduce((all, i) => all + (shares[i] as number), 0);
  const gate = sigmoid(d.linear(x, `${mlp}.shared_expert_gate`)[0] as number);
  let result = times(d.gated(x, `${mlp}.shared_expert`), gate);
  for (const i of chosen) {
    const both = d.matrix(x, `${mlp}.experts.gate_up_proj`, 2 * i * inner, 2 * inner);
    const made = both.slice(0, inner).map((value, j) => silu(value) * (both[inner + j] as number));
    const down = d.matrix(made, `${mlp}.experts.down_proj`, i * x.length, x.length);
    result = add(result, times(down, (shares[i] as number) / sum));
  }
  return result;
}
