/**
 * Shapes of well-known models, for speed alone: what a pass costs depends on shapes and types, not
 * on what the weights say. Says which tensors a model of a shape has and of which type.
 */
import { PacelineError } from '../../base/errors.js';
import { GgmlType } from '../../ggml/types.js';

export interface Shape {
  readonly name: string;
  readonly architecture: 'qwen3' | 'olmoe';
  readonly layers: number;
  readonly embedding: number;
  /** Width of the feed-forward network, or of each expert. */
  readonly inner: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocabulary: number;
  readonly context: number;
  readonly ropeBase: number;
  readonly epsilon: number;
  /** Experts in all and for each token; 0 for a dense network. */
  readonly experts: number;
  readonly expertsUsed: number;
  /** Whether the output uses the embedding's weights. */
  readonly tied: boolean;
}

const qwen3 = {
  architecture: 'qwen3',
  kvHeads: 8,
  headDim: 128,
  vocabulary: 151936,
  context: 40960,
  ropeBase: 1e6,
  epsilon: 1e-6,
  experts: 0,
  expertsUsed: 0,
  tied: true,
} as const;

const shapes: readonly Shape[] = [
  { ...qwen3, name: 'qwen3-0.6b', layers: 28, embedding: 1024, inner: 3072, heads: 16 },
  { ...qwen3, name: 'qwen3-1.7b', layers: 28, embedding: 2048, inner: 6144, heads: 16 },
  { ...qwen3, name: 'qwen3-4b', layers: 36, embedding: 2560, inner: 9728, heads: 32 },
  {
    name: 'olmoe-1b-7b',
    architecture: 'olmoe',
    layers: 16,
    embedding: 2048,
    inner: 1024,
    heads: 16,
    kvHeads: 16,
    headDim: 128,
    vocabulary: 50304,
    context: 4096,
    ropeBase: 1e4,
    epsilon: 1e-5,
    experts: 64,
    expertsUsed: 8,
    tied: false,
  },
  // Small enough for tests of everything around a model, and what to pad such a model to.
  {
    ...qwen3,
    name: 'tiny',
    layers: 2,
    embedding: 64,
    inner: 128,
    heads: 4,
    kvHeads: 2,
    headDim: 16,
    vocabulary: 512,
    context: 512,
  },
  {
    ...qwen3,
    name: 'small',
    layers: 4,
    embedding: 256,
    inner: 512,
    heads: 4,
    kvHeads: 2,
    headDim: 32,
    vocabulary: 512,
    context: 512,
  },
];

/** Names of the shapes. */
export const shapeNames: readonly string[] = shapes.map((shape) => shape.name);

/** @throws {PacelineError} `usage` for an unknown name. */
export function shapeOf(name: string): Shape {
  const found = shapes.find((shape) => shape.name === name);
  if (found !== undefined) return found;
  throw new PacelineError('usage', `There is no shape ${name}`, {
    hint: `The shapes are: ${shapeNames.join(', ')}.`,
    details: { shape: name },
  });
}

/** How a file is quantised: the type of its matrices, or a mix by role. */
export type Mix = (
  role: 'value' | 'down' | 'embedding' | 'output' | 'other',
  layer: number,
) => GgmlType;

/** Types of the matrices by name: a plain type, or llama.cpp's mix `q4_k_m`. */
export function mixOf(name: string, shape: Shape): Mix {
  const plain = {
    q4_0: GgmlType.Q4_0,
    q4_1: GgmlType.Q4_1,
    q5_0: GgmlType.Q5_0,
    q5_1: GgmlType.Q5_1,
    q8_0: GgmlType.Q8_0,
    q2_k: GgmlType.Q2_K,
    q3_k: GgmlType.Q3_K,
    q4_k: GgmlType.Q4_K,
    q5_k: GgmlType.Q5_K,
    q6_k: GgmlType.Q6_K,
    iq4_nl: GgmlType.IQ4_NL,
    f16: GgmlType.F16,
    bf16: GgmlType.BF16,
    f32: GgmlType.F32,
  } as const;
  const type = Object.entries(plain).find(([key]) => key === name)?.[1];
  if (type !== undefined) return () => type;
  if (name === 'q4_k_m') return (role, layer) => q4KM(role, layer, shape);
  throw new PacelineError('usage', `There is no type ${name}`, {
    hint: `The types are: ${[...Object.keys(plain), 'q4_k_m'].join(', ')}.`,
    details: { type: name },
  });
}

/** More bits for values and the down projection in the first, the last and every third layer. */
function q4KM(role: Parameters<Mix>[0], layer: number, shape: Shape): GgmlType {
  const eighth = Math.floor(shape.layers / 8);
  const more =
    layer < eighth || layer >= Math.floor((7 * shape.layers) / 8) || (layer - eighth) % 3 === 2;
  if (role === 'output' || (role === 'embedding' && shape.tied)) return GgmlType.Q6_K;
  if ((role === 'value' || role === 'down') && more) return GgmlType.Q6_K;
  return GgmlType.Q4_K;
}

export interface TensorPlan {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: GgmlType;
}

/** All tensors of a model of this shape, in the order of a file. */
export function tensorsOf(shape: Shape, mix: Mix): TensorPlan[] {
  const { embedding, inner, headDim, experts, vocabulary } = shape;
  const queries = shape.heads * headDim;
  const keys = shape.kvHeads * headDim;
  const plan: TensorPlan[] = [];
  const vector = (name: string, size: number): void => {
    plan.push({ name, shape: [size], type: GgmlType.F32 });
  };
  const matrix = (name: string, extents: number[], role: Parameters<Mix>[0], layer = 0): void => {
    plan.push({ name, shape: extents, type: mix(role, layer) });
  };
  matrix('token_embd.weight', [embedding, vocabulary], 'embedding');
  for (let layer = 0; layer < shape.layers; layer++) {
    const at = `blk.${layer}`;
    vector(`${at}.attn_norm.weight`, embedding);
    matrix(`${at}.attn_q.weight`, [embedding, queries], 'other', layer);
    matrix(`${at}.attn_k.weight`, [embedding, keys], 'other', layer);
    matrix(`${at}.attn_v.weight`, [embedding, keys], 'value', layer);
    const whole = shape.architecture === 'olmoe';
    vector(`${at}.attn_q_norm.weight`, whole ? queries : headDim);
    vector(`${at}.attn_k_norm.weight`, whole ? keys : headDim);
    matrix(`${at}.attn_output.weight`, [queries, embedding], 'other', layer);
    vector(`${at}.ffn_norm.weight`, embedding);
    if (experts === 0) {
      matrix(`${at}.ffn_gate.weight`, [embedding, inner], 'other', layer);
      matrix(`${at}.ffn_up.weight`, [embedding, inner], 'other', layer);
      matrix(`${at}.ffn_down.weight`, [inner, embedding], 'down', layer);
    } else {
      plan.push({
        name: `${at}.ffn_gate_inp.weight`,
        shape: [embedding, experts],
        type: GgmlType.F32,
      });
      matrix(`${at}.ffn_gate_exps.weight`, [embedding, inner, experts], 'other', layer);
      matrix(`${at}.ffn_up_exps.weight`, [embedding, inner, experts], 'other', layer);
      matrix(`${at}.ffn_down_exps.weight`, [inner, embedding, experts], 'down', layer);
    }
  }
  vector('output_norm.weight', embedding);
  if (!shape.tied) matrix('output.weight', [embedding, vocabulary], 'output');
  return plan;
}
