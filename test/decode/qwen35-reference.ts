/** A slow reference in double precision of Qwen3.5's trunk, delta nets and gated attention, from its description. */
import {
  Block,
  normed,
  plus,
  type ReferenceShape,
  type Row,
  type TargetRows,
  type Tensors,
  times,
} from './reference.js';

export interface Qwen35Sizes extends ReferenceShape {
  /** Every so many layers one with attention. */
  readonly interval: number;
  readonly keyHeads: number;
  readonly valueHeads: number;
  readonly headLength: number;
  readonly kernel: number;
}

const epsilon = 1e-6;
const sigmoid = (z: number) => 1 / (1 + Math.exp(-z));

function unit(x: Row): Row {
  const length = Math.sqrt(x.reduce((sum, value) => sum + value * value, epsilon));
  return x.map((value) => value / length);
}

/** What a delta net makes of the rows of a text, whose norm was taken already. */
function deltaNet(tensors: Tensors, at: string, o: Qwen35Sizes, rows: readonly Row[]): Row[] {
  const weight = (name: string) => tensors.get(`${at}.${name}`);
  const { keyHeads, valueHeads, headLength: size, kernel } = o;
  const mixed = rows.map((row) => times(weight('attn_qkv.weight'), row));
  const taps = weight('ssm_conv1d.weight');
  const states = Array.from({ length: valueHeads }, () => new Float64Array(size * size));
  return rows.map((row, position) => {
    const convolved = (mixed[position] as Row).map((_, channel) => {
      let sum = 0;
      for (let tap = 0; tap < kernel; tap++) {
        const from = position - (kernel - 1) + tap;
        sum += (taps[channel * kernel + tap] ?? 0) * (mixed[from]?.[channel] ?? 0);
      }
      return sum * sigmoid(sum);
    });
    const head = (index: number) => convolved.slice(index * size, (index + 1) * size);
    const beta = times(weight('ssm_beta.weight'), row).map(sigmoid);
    const alpha = plus(times(weight('ssm_alpha.weight'), row), weight('ssm_dt.bias'));
    const decay = alpha.map((z, i) => Math.log1p(Math.exp(z)) * (weight('ssm_a')[i] ?? 0));
    const z = times(weight('attn_gate.weight'), row);
    const out = new Float64Array(valueHeads * size);
    for (let r = 0; r < valueHeads; r++) {
      const q = unit(head(r % keyHeads));
      const k = unit(head(keyHeads + (r % keyHeads)));
      const v = head(2 * keyHeads + r);
      const state = states[r] as Row;
      for (const [i, value] of state.entries()) state[i] = value * Math.exp(decay[r] ?? 0);
      const column = (j: number, by: Row) =>
        by.reduce((sum, value, i) => sum + value * (state[i * size + j] ?? 0), 0);
      const change = v.map((value, j) => (beta[r] ?? 0) * (value - column(j, k)));
      for (let i = 0; i < size; i++) {
        for (let j = 0; j < size; j++) {
          state[i * size + j] = (state[i * size + j] ?? 0) + (k[i] ?? 0) * (change[j] ?? 0);
        }
      }
      const seen = v.map((_, j) => column(j, q) / Math.sqrt(size));
      const norm = normed(seen, weight('ssm_norm.weight'));
      for (const [j, value] of norm.entries()) {
        const gate = z[r * size + j] ?? 0;
        out[r * size + j] = value * gate * sigmoid(gate);
      }
    }
    return times(weight('ssm_out.weight'), out);
  });
}

/** A Qwen3.5 over a whole text. */
export function qwen35Rows(
  tensors: Tensors,
  sizes: Qwen35Sizes,
  tokens: readonly number[],
): TargetRows {
  let x = tokens.map((token) => tensors.row('token_embd.weight', token, sizes.embedding));
  const streams = [x];
  for (let layer = 0; layer < sizes.layers; layer++) {
    const block = new Block(tensors, `blk.${layer}`, sizes);
    const inputs = x.map((row) => normed(row, block.weight('attn_norm')));
    const linear = (layer + 1) % sizes.interval !== 0;
    const cached = linear ? [] : inputs.map((row, at) => block.keyAndValue(row, at));
    const made = linear
      ? deltaNet(tensors, `blk.${layer}`, sizes, inputs)
      : inputs.map((row, at) => block.attend(row, at, cached.slice(0, at + 1)));
    x = x.map((row, at) => block.network(plus(row, made[at] as Row)));
    streams.push(x);
  }
  const norm = tensors.get('output_norm.weight');
  return { streams, hidden: x.map((row) => normed(row, norm)) };
}
