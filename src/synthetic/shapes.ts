/**
 * Shapes of well-known models, for speed alone: what a pass costs depends on shapes and types, not
 * on what the weights say. Says which tensors a model of a shape has and of which type.
 */
import { PacelineError } from '../base/errors.js';
import { GgmlType } from '../ggml/types.js';
import { tensorsOf } from './architecture.js';
import type { MatrixRole, ModelShape, TensorPlan } from './plan.js';

/** A shape by its name. */
export interface Shape extends ModelShape {
  readonly name: string;
}

const qwen3 = {
  architecture: 'qwen3',
  kvHeads: 8,
  headDim: 128,
  vocab: 151936,
  context: 40960,
  ropeBase: 1e6,
  epsilon: 1e-6,
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
    vocab: 50304,
    context: 4096,
    ropeBase: 1e4,
    epsilon: 1e-5,
    experts: [64, 8],
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
    vocab: 512,
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
    vocab: 512,
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
export type Mix = (role: MatrixRole, layer: number) => GgmlType;

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

/** A tensor and the type that it is stored as. */
export interface TypedTensor extends TensorPlan {
  readonly type: GgmlType;
}

/** All tensors of a model of this shape, in the order of a file. */
export function typedTensorsOf(shape: ModelShape, mix: Mix): TypedTensor[] {
  return [...tensorsOf(shape)].map((plan) => ({
    ...plan,
    type: plan.kind === 'matrix' ? mix(plan.role, plan.layer) : GgmlType.F32,
  }));
}
