/** Single elements of the floating-point types that checkpoints hold, as numbers. */
import { PacelineError } from '../base/errors.js';
import { GgmlType, typeName } from '../ggml/types.js';

/** Element `at` of packed values. @throws {PacelineError} `unsupported-type` for other types. */
export function floatAt(view: DataView, at: number, type: GgmlType): number {
  if (type === GgmlType.F32) return view.getFloat32(4 * at, true);
  if (type === GgmlType.BF16) return bfloat(view.getUint16(2 * at, true));
  if (type === GgmlType.F16) return half(view.getUint16(2 * at, true));
  throw new PacelineError(
    'unsupported-type',
    `Values of type ${typeName(type)} cannot be computed with`,
  );
}

function bfloat(bits: number): number {
  return new Float32Array(Uint32Array.of(bits << 16).buffer)[0] as number;
}

function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
