/**
 * The checkpoints' models in double precision, as transformers computes them from the checkpoint's
 * own names and layouts: rotation of halves, rows of q and k as they stand, Gemma's 1 + weight. Slow
 * and plain on purpose; shares nothing with the engine or the converter.
 */
import type { Checkpoint } from './checkpoint.js';
import { rotationOf } from './rotation-reference.js';

type Row = Float64Array;

const dot = (a: ArrayLike<number>, b: ArrayLike<number>, start = 0) => {
  let sum = 0;
  for (let at = 0; at < a.length; at++) sum += (a[at] as number) * (b[start + at] as number);
  return sum;
};
const add = (a: Row, b: ArrayLike<number>) => a.map((value, at) => value + (b[at] as number));
const silu = (x: number) => x / (1 + Math.exp(-x));
const gelu = (x: number) =>
  0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

function softmax(scores: readonly number[]): number[] {
  const largest = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

/** What a mixture of EMO has done with a row. */
export interface MixtureSeen {
  readonly layer: number;
  /** Of the experts that the router chooses among. */
  readonly shares: readonly number[];
  /** Which the row went through, and the norms of what they gave. */
  readonly best: readonly { readonly share: number; readonly index: number }[];
  readonly norms: readonly number[];
  readonly x: Float64Array;
  readonly result: Float64Array;
}

export interface ReferenceOptions {
  /** Of EMO: the experts that are left of the first layers. */
  readonly kept?: readonly (readonly number[] | undefined)[];
  readonly see?: (seen: MixtureSeen) => void;
}

/** Logits after each token; of a model without a head its last rows. */
export function referenceLogits(
  checkpoint: Checkpoint,
  tokens: readonly number[],
  options: ReferenceOptions = {},
): Row[] {
  const { config } = checkpoint;
  const [name] = config.architectures as [string];
  const n = (key: string) => config[key] as number;
  const gemma = name.startsWith('Gemma');
  const olmo = name.startsWith('Olmo');
  /** OLMo 2 and 3 have norms behind attention and network, and none before. */
  const behind = /^Olmo[23]/.test(name);
  const factor = (key: string, usual = 1) => (config[key] as number | undefined) ?? usual;
  const capped = (x: number, key: string) => {
    const cap = config[key] as number | undefined;
    return cap === undefined ? x : cap * Math.tanh(x / cap);
  };
  // It sees what comes behind a token too, with half of a window to either side.
  const encodes = config.use_bidirectional_attention === true;
  const values = (tensor: string): Float32Array => {
    const found = checkpoint.weights.get(tensor)?.values ?? part(tensor);
    if (found === undefined) throw new Error(`No ${tensor}`);
    return found;
  };
  /** A matrix that stands in another, below those before it. */
  const part = (tensor: string): Float32Array | undefined => {
    const [, before = '', name = ''] = /^(.*\.)(\w+)_proj\.weight$/.exec(tensor) ?? [];
    const whole = (together: string) => checkpoint.weights.get(`${before}${together}`)?.values;
    const [width, size] = [n('hidden_size'), n('head_dim') * n('hidden_size')];
    const [q, k] = [n('num_attention_heads') * size, n('num_key_value_heads') * size];
    const half = n('intermediate_size') * width;
    const places: Readonly<Record<string, readonly [together: string, from: number, to: number]>> =
      {
        q: ['qkv_proj.weight', 0, q],
        k: ['qkv_proj.weight', q, q + k],
        v: ['qkv_proj.weight', q + k, q + 2 * k],
        gate: ['gate_up_proj.weight', 0, half],
        up: ['gate_up_proj.weight', half, 2 * half],
      };
    const place = places[name];
    return place && whole(place[0])?.subarray(place[1], place[2]);
  };
  const has = (tensor: string) => checkpoint.weights.has(tensor);
  const matrix = (x: Row, all: Float32Array, first: number, rows: number): Row =>
    Float64Array.from({ length: rows }, (_, row) => dot(x, all, (first + row) * x.length));
  const linear = (x: Row, tensor: string): Row => {
    const all = values(`${tensor}.weight`);
    const y = matrix(x, all, 0, all.length / x.length);
    return has(`${tensor}.bias`) ? add(y, values(`${tensor}.bias`)) : y;
  };
  const norm = (x: Row, tensor: string): Row => {
    const weight = values(`${tensor}.weight`);
    const scale = 1 / Math.sqrt(dot(x, x) / x.length + n('rms_norm_eps'));
    return x.map((value, at) => value * scale * ((gemma ? 1 : 0) + (weight[at] as number)));
  };
  const hunyuan = name === 'HunYuanDenseV1ForCausalLM';
  const behindRotation = { q: 'query_layernorm', k: 'key_layernorm' };
  /** Ministral 3's queries grow behind the first context. */
  const grown = (position: number): number => {
    const rope = (config.rope_parameters ?? {}) as Record<string, number>;
    const { llama_4_scaling_beta: beta = 0, original_max_position_embeddings: length = 1 } = rope;
    return 1 + beta * Math.log(1 + Math.floor(position / length));
  };
  const head = n('head_dim');
  const [heads, kvHeads] = [n('num_attention_heads'), n('num_key_value_heads')];

  /** ERNIE turns neighbours, the others features half a head apart. */
  const neighbours = name === 'Ernie4_5ForCausalLM';
  const rotate = (x: Row, position: number, base: number): Row => {
    const { frequencies, magnitude } = rotationOf(config, base, tokens.length);
    const half = frequencies.length;
    return x.map((value, at) => {
      const pair = neighbours ? Math.floor(at / 2) : at % half;
      if (at >= 2 * half) return value;
      const angle = position * (frequencies[pair] as number);
      const [first, apart] = neighbours ? [at % 2 === 0, 1] : [at < half, half];
      const partner = x[first ? at + apart : at - apart] as number;
      return magnitude * (value * Math.cos(angle) + (first ? -partner : partner) * Math.sin(angle));
    });
  };
  const headsOf = (x: Row, count: number) =>
    Array.from({ length: count }, (_, at) => x.slice(at * head, (at + 1) * head));

  const experts = hunyuan ? 0 : ((config.num_experts ?? config.num_local_experts ?? 0) as number);
  const inner = n('intermediate_size');
  const activation = gemma ? gelu : silu;
  const network = (gate: Row, up: Row, down: (y: Row) => Row): Row =>
    down(gate.map((value, at) => activation(value) * (up[at] as number)));
  const dense = (x: Row, at: string): Row =>
    network(linear(x, `${at}.gate_proj`), linear(x, `${at}.up_proj`), (y) =>
      linear(y, `${at}.down_proj`),
    );
  const expert = (x: Row, layer: string, index: number): Row => {
    const granite = `${layer}.block_sparse_moe`;
    const fused = has(`${granite}.input_linear.weight`)
      ? [`${granite}.input_linear.weight`, `${granite}.output_linear.weight`]
      : [`${layer}.mlp.experts.gate_up_proj`, `${layer}.mlp.experts.down_proj`];
    const [bothName = '', downName = ''] = fused;
    if (has(bothName)) {
      const both = values(bothName);
      const down = values(downName);
      const gate = matrix(x, both, index * 2 * inner, inner);
      const up = matrix(x, both, index * 2 * inner + inner, inner);
      return network(gate, up, (y) => matrix(y, down, index * x.length, x.length));
    }
    if (name !== 'MixtralForCausalLM') return dense(x, `${layer}.mlp.experts.${index}`);
    const at = `${layer}.block_sparse_moe.experts.${index}`;
    return network(linear(x, `${at}.w1`), linear(x, `${at}.w3`), (y) => linear(y, `${at}.w2`));
  };
  /** The last experts are shared; the others' shares are a softmax among themselves, as they are. */
  const emoMixture = (x: Row, layer: string, logits: readonly number[]): Row => {
    const shared = n('num_shared_experts');
    const routed = logits.length - shared;
    const index = Number(layer.split('.')[2]);
    const kept = options.kept?.[index];
    const masked = logits
      .slice(0, routed)
      .map((logit, at) => (kept && !kept.includes(at) ? Number.NEGATIVE_INFINITY : logit));
    const shares = softmax(masked);
    const best = shares
      .map((share, index) => ({ share, index }))
      .sort((a, b) => b.share - a.share)
      .slice(0, n('num_experts_per_tok') - shared);
    for (let at = 0; at < shared; at++) best.push({ share: 1, index: routed + at });
    const norms: number[] = [];
    let result: Row = new Float64Array(x.length);
    for (const { share, index } of best) {
      const own = expert(x, layer, index);
      norms.push(Math.sqrt(dot(own, own)));
      result = add(
        result,
        own.map((value) => value * share),
      );
    }
    options.see?.({ layer: index, shares, best, norms, x, result });
    return result;
  };
  const mixture = (x: Row, layer: string): Row => {
    const routers: Readonly<Record<string, string>> = {
      MixtralForCausalLM: 'block_sparse_moe.gate',
      GraniteMoeForCausalLM: 'block_sparse_moe.router.layer',
    };
    const router = routers[name] ?? 'mlp.gate';
    const logits = [...linear(x, `${layer}.${router}`)];
    if (name === 'EmoForCausalLM') return emoMixture(x, layer, logits);
    const shares = softmax(logits);
    const best = shares
      .map((share, index) => ({ share, index }))
      .sort((a, b) => b.share - a.share)
      .slice(0, n('num_experts_per_tok'));
    const sum = best.reduce((all, { share }) => all + share, 0);
    const divisor = name === 'OlmoeForCausalLM' ? 1 : sum;
    let result: Row = new Float64Array(x.length);
    for (const { share, index } of best) {
      result = add(
        result,
        expert(x, layer, index).map((value) => (value * share) / divisor),
      );
    }
    return result;
  };

  const embedding = n('hidden_size');
  const table = values('model.embed_tokens.weight');
  let rows = tokens.map((token) =>
    Float64Array.from(
      table.subarray(token * embedding, (token + 1) * embedding),
      (value) => value * (gemma ? Math.sqrt(embedding) : factor('embedding_multiplier')),
    ),
  );
  for (let index = 0; index < n('num_hidden_layers'); index++) {
    const layer = `model.layers.${index}`;
    const period = { Gemma2ForCausalLM: 2, Olmo3ForCausalLM: 4 }[name] ?? 6;
    const local = (gemma || name === 'Olmo3ForCausalLM') && (index + 1) % period !== 0;
    const rotates = name !== 'SmolLM3ForCausalLM' || (index + 1) % 4 !== 0;
    const uneven = config.num_experts_per_layer as number[] | undefined;
    const layerExperts = uneven?.[index] ?? experts;
    const base = local ? factor('rope_local_base_freq', n('rope_theta')) : n('rope_theta');
    const emo = name === 'EmoForCausalLM';
    const input = emo ? 'pre_attention_layernorm' : 'input_layernorm';
    const normed = behind ? rows : rows.map((x) => norm(x, `${layer}.${input}`));
    const project = (part: 'q' | 'k', count: number) =>
      normed.map((x, position) => {
        let y = linear(x, `${layer}.self_attn.${part}_proj`);
        const own = `${layer}.self_attn.${part}_norm`;
        if (olmo) y = norm(y, own);
        return headsOf(y, count).map((one) => {
          const even = has(`${own}.weight`) && !olmo ? norm(one, own) : one;
          const turned = rotates ? rotate(even, position, base) : even;
          if (hunyuan) return norm(turned, `${layer}.self_attn.${behindRotation[part]}`);
          return part === 'q' ? turned.map((value) => value * grown(position)) : turned;
        });
      });
    const queries = project('q', heads);
    const keys = project('k', kvHeads);
    const seen = normed.map((x) => headsOf(linear(x, `${layer}.self_attn.v_proj`), kvHeads));
    rows = rows.map((x, position) => {
      const wide = local ? n('sliding_window') : Number.POSITIVE_INFINITY;
      const reach = encodes ? Math.floor(wide / 2) : wide - 1;
      const first = Math.max(0, position - reach);
      const end = encodes ? Math.min(tokens.length - 1, position + reach) : position;
      const attended = new Float64Array(heads * head);
      for (let at = 0; at < heads; at++) {
        const group = Math.floor(at / (heads / kvHeads));
        const query = queries[position]?.[at] as Row;
        const places = Array.from({ length: end - first + 1 }, (_, step) => first + step);
        const shares = softmax(
          places.map((place) => {
            const score = dot(query, keys[place]?.[group] as Row);
            const scaled = score * factor('attention_multiplier', 1 / Math.sqrt(head));
            return capped(scaled, 'attn_logit_softcapping');
          }),
        );
        for (const [step, place] of places.entries()) {
          const value = seen[place]?.[group] as Row;
          for (let i = 0; i < head; i++) {
            (attended[at * head + i] as number) += (shares[step] as number) * (value[i] as number);
          }
        }
      }
      const out = linear(attended, `${layer}.self_attn.o_proj`);
      const residual = (y: Row) => y.map((value) => value * factor('residual_multiplier'));
      const normsOut = gemma || behind;
      const kept = normsOut ? norm(out, `${layer}.post_attention_layernorm`) : residual(out);
      const after = add(x, kept);
      const before = gemma || emo ? 'pre_feedforward_layernorm' : 'post_attention_layernorm';
      const y = behind ? after : norm(after, `${layer}.${before}`);
      const grown = layerExperts > 0 ? mixture(y, layer) : dense(y, `${layer}.mlp`);
      const last = `${layer}.post_feedforward_layernorm`;
      return add(after, normsOut ? norm(grown, last) : residual(grown));
    });
  }
  if (encodes) return rows.map((x) => norm(x, 'model.norm'));
  const headTensor = has('lm_head.weight') ? 'lm_head' : 'model.embed_tokens';
  return rows.map((x) =>
    linear(norm(x, 'model.norm'), headTensor).map((value) =>
      capped(value / factor('logits_scaling'), 'final_logit_softcapping'),
    ),
  );
}
