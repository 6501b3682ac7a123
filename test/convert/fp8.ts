/** Matrices as codes in F8_E4M3 with a scale for each block, as FP8 checkpoints have them. */
import { encode, type Weights } from './checkpoint.js';
import type { RawTensor } from './written-checkpoint.js';

/** Values of the codes, by the type's definition: S EEEE MMM, bias 7, no infinities. */
const values = Array.from({ length: 256 }, (_, code) => {
  const [sign, exponent, fraction] = [code >> 7 ? -1 : 1, (code >> 3) & 15, code & 7];
  if ((code & 127) === 127) return Number.NaN;
  return exponent === 0 ? (sign * fraction) / 512 : sign * 2 ** (exponent - 7) * (1 + fraction / 8);
});

function codeOf(value: number): number {
  let best = 0;
  for (const [code, found] of values.entries()) {
    if (Math.abs(found - value) < Math.abs((values[best] as number) - value)) best = code;
  }
  return best;
}

/** Rows and columns that share a scale. */
export const block = 20;

interface CodedOptions {
  /** Rows and columns that share a scale; of infinitely many, the scale has no extents. Default `block`. */
  readonly size?: number;
  /** Scales are powers of two, of which the exponents are written. */
  readonly exponents?: boolean;
}

export interface Coded {
  readonly codes: RawTensor;
  readonly scales: RawTensor;
  /** What they stand for. */
  readonly weights: Weights;
}

/** Codes and scales of a matrix. */
export function coded(
  { shape, values: given }: Weights,
  { size = block, exponents = false }: CodedOptions = {},
): Coded {
  const [rows = 0, columns = 0] = shape;
  const sides = [rows, columns].map((n) => Math.max(1, Math.ceil(n / size)));
  const [down = 1, across = 1] = sides;
  const factors = Float32Array.from({ length: down * across }, (_, at) =>
    exponents ? 2 ** -(3 + (at % 3)) : 0.01 + 0.001 * at,
  );
  const bytes = new Uint8Array(given.length);
  const decoded = given.map((value, at) => {
    const [row, column] = [Math.floor(at / columns), at % columns];
    const factor = factors[Math.floor(row / size) * across + Math.floor(column / size)] as number;
    const code = codeOf(value / factor);
    bytes[at] = code;
    return (values[code] as number) * factor;
  });
  return {
    codes: { dtype: 'F8_E4M3', shape, bytes },
    scales: exponents
      ? {
          dtype: 'F8_E8M0',
          shape: [down, across],
          bytes: Uint8Array.from(factors, (factor) => Math.log2(factor) + 127),
        }
      : {
          dtype: 'F32',
          shape: size === Number.POSITIVE_INFINITY ? [] : [down, across],
          bytes: encode(factors, 'F32'),
        },
    weights: { shape, values: decoded },
  };
}

/** Tensors of a checkpoint of which those whose names fit are codes, and the values that they stand for. */
export function codedWeights(
  weights: ReadonlyMap<string, Weights>,
  fits: RegExp,
  options: CodedOptions = {},
) {
  const raw = new Map<string, RawTensor | undefined>();
  const decoded = new Map(weights);
  for (const [name, tensor] of weights) {
    if (!fits.test(name)) continue;
    const made = coded(tensor, options);
    raw.set(name, made.codes);
    raw.set(`${name}_scale_inv`, made.scales);
    decoded.set(name, made.weights);
  }
  return { raw, decoded };
}

/** What config.json says of it. */
export const quantization_config = {
  ...{ quant_method: 'fp8', fmt: 'e4m3', activation_scheme: 'dynamic' },
  weight_block_size: [block, block],
};
