/**
 * Shapes of well-known models, for speed alone: what a pass costs depends on shapes and types, not
 * on what the weights say. Says which tensors a model of a shape has and of which type.
 */
import { PacelineError } from '../base/errors.js';
import { GgmlType } from '../ggml/types.js';
import { tensorsOf } from './architecture.js';
import { describeShapes, knownShapes, type Shape } from './known-shapes.js';
import type { MatrixRole, ModelShape, TensorPlan } from './plan.js';

/** Names of the shapes. */
export const shapeNames: readonly string[] = knownShapes.map((shape) => shape.name);

/** @throws {PacelineError} `usage` for an unknown name. */
export function shapeOf(name: string): Shape {
  const found = knownShapes.find((shape) => shape.name === name);
  if (found !== undefined) return found;
  throw new PacelineError('usage', `There is no shape ${name}`, {
    hint: `The shapes are: ${describeShapes()}.`,
    details: { shape: name },
  });
}

/** How a file is quantised: the type of each of its matrices. */
export type Mix = (tensor: Pick<TensorPlan, 'role' | 'layer' | 'shape'>) => GgmlType;

/**
 * Types of the matrices by name: a plain type, llama.cpp's mix `q4_k_m`, or `mxfp4` for the experts as
 * gpt-oss has them, beside Q8_0.
 */
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
  if (name === 'q4_k_m') return ({ role, layer }) => q4KM(role, layer, shape);
  if (name === 'mxfp4') {
    return (tensor) => (tensor.shape.length > 2 ? GgmlType.MXFP4 : GgmlType.Q8_0);
  }
  throw new PacelineError('usage', `There is no type ${name}`, {
    hint: `The types are: ${[...Object.keys(plain), 'q4_k_m', 'mxfp4'].join(', ')}.`,
    details: { type: name },
  });
}

/** More bits for values and the down projection in the first, the last and every third layer. */
function q4KM(role: MatrixRole, layer: number, shape: Shape): GgmlType {
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
    type:
      plan.kind === 'matrix' ? mix(plan) : plan.kind === 'numbers' ? GgmlType.I32 : GgmlType.F32,
  }));
}
