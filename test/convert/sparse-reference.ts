/**
 * Mixtures of experts of DeepSeek's kind in double precision: some groups of experts, then some experts of them,
 * by ratings and a bias that counts for the choice alone; shared experts besides.
 */
import {
  add,
  type Doubles,
  largest,
  type Row,
  sigmoid,
  softmax,
  times,
} from './double-precision.js';

export interface SparseKind {
  /** How ratings are made, and a group's: of its best or its two best. */
  readonly rating: 'softmax' | 'sigmoid';
  readonly normalises: boolean;
  readonly groups: { readonly count: number; readonly used: number };
  readonly ofGroup?: 'best' | 'two best';
}

/** The network of a layer: x to what is added to it. */
export function sparseNetwork(d: Doubles, x: Row, layer: string, kind: SparseKind): Row {
  const mlp = `${layer}.mlp`;
  if (!d.has(`${mlp}.gate.weight`)) return d.gated(x, mlp);
  const logits = [...d.linear(x, `${mlp}.gate`)];
  const ratings = kind.rating === 'softmax' ? softmax(logits) : logits.map(sigmoid);
  const bias = `${mlp}.gate.e_score_correction_bias`;
  const biased = ratings.map((rating, i) =>
    d.has(bias) ? rating + (d.values(bias)[i] as number) : rating,
  );
  const size = biased.length / kind.groups.count;
  const groups = Array.from({ length: kind.groups.count }, (_, g) => {
    const [first = 0, second = 0] = biased.slice(g * size, (g + 1) * size).sort((a, b) => b - a);
    return kind.ofGroup === 'best' ? first : first + second;
  });
  const kept = largest(groups, kind.groups.used);
  const candidates = biased.map((rating, i) =>
    kept.includes(Math.floor(i / size)) ? rating : Number.NEGATIVE_INFINITY,
  );
  const chosen = largest(candidates, d.n('num_experts_per_tok'));
  const sum = chosen.reduce((all, i) => all + (ratings[i] as number), 0);
  const scale = d.n('routed_scaling_factor') / (kind.normalises ? sum : 1);
  let result: Row = new Float64Array(x.length);
  for (const i of chosen) {
    const own = d.gated(x, `${mlp}.experts.${i}`);
    result = add(result, times(own, (ratings[i] as number) * scale));
  }
  return add(result, d.gated(x, `${mlp}.shared_experts`));
}

/** Shapes of a layer's network, by the config's usual keys. */
export function sparseShapes(
  set: (part: string, shape: number[]) => void,
  config: Readonly<Record<string, unknown>>,
  layer: number,
): void {
  const n = (key: string) => config[key] as number;
  const width = n('hidden_size');
  const network = (at: string, inner: number) => {
    set(`${at}.gate_proj.weight`, [inner, width]);
    set(`${at}.up_proj.weight`, [inner, width]);
    set(`${at}.down_proj.weight`, [width, inner]);
  };
  if (layer < n('first_k_dense_replace')) {
    network('mlp', n('intermediate_size'));
    return;
  }
  set('mlp.gate.weight', [n('n_routed_experts'), width]);
  for (let expert = 0; expert < n('n_routed_experts'); expert++) {
    network(`mlp.experts.${expert}`, n('moe_intermediate_size'));
  }
  network('mlp.shared_experts', n('moe_intermediate_size') * n('n_shared_experts'));
}
