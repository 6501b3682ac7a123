/**
 * Checkpoints that were quantised before: codes of one byte (F8_E4M3) with a scale for each block of a matrix, as
 * DeepSeek V3 and the FP8 releases of others are, or for a matrix as a whole, as those of Ministral 3, are read as the
 * values that they stand for. Other methods are refused by name.
 */
import { PacelineError } from '../base/errors.js';
import { GgmlType } from '../ggml/types.js';
import { derived, readTensorRows } from './derived-tensors.js';
import { floatAt } from './element-values.js';
import type { JsonObject } from './json.js';
import { type SafetensorsTensor, unknownElements } from './safetensors.js';

/** Methods that can be read. */
const methods = ['fp8', 'mxfp4'] as const;
export type Quantization = (typeof methods)[number];

/**
 * How a checkpoint says that it is quantised.
 * @param known the methods that its architecture can be converted from.
 * @throws {PacelineError} `unsupported-architecture` for other methods.
 */
export function quantizationOf(
  config: JsonObject,
  known: readonly Quantization[] = ['fp8'],
): Quantization | undefined {
  const text = config.object('text_config');
  const given = config.object('quantization_config') ?? text?.object('quantization_config');
  if (given === undefined) return undefined;
  const method = given.string('quant_method');
  const found = known.find((name) => name === method);
  if (found !== undefined) return found;
  throw new PacelineError(
    'unsupported-architecture',
    `A quantised checkpoint (${method ?? 'of no method'}) is not supported`,
    { hint: 'Use the original checkpoint, in F32, F16, BF16 or FP8.', details: { method } },
  );
}

const scaleSuffix = '_scale_inv';

/**
 * The tensors with the values of the codes in place of codes and scales.
 * @throws {PacelineError} `wrong-shape` where scales do not fit, `unsupported-type`.
 */
export function withoutCodes(
  tensors: ReadonlyMap<string, SafetensorsTensor>,
  config: JsonObject,
): ReadonlyMap<string, SafetensorsTensor> {
  if (quantizationOf(config, methods) !== 'fp8') return tensors;
  const block = blockOf(config);
  const result = new Map(tensors);
  for (const [name, scales] of tensors) {
    // What inputs would be divided by, were they codes too.
    if (/[._]activation_scale$/.test(name)) result.delete(name);
    if (!name.endsWith(scaleSuffix)) continue;
    const of = name.slice(0, -scaleSuffix.length);
    const codes = tensors.get(of);
    if (codes === undefined) continue;
    result.delete(name);
    const own = block ?? { rows: Math.max(1, codes.shape[0] ?? 1), columns: codes.shape[1] ?? 1 };
    const [size = 1] = scales.shape;
    // One scale of all has no extents, or that of 1.
    const whole = block === undefined && scales.shape.length < 2 && size === 1;
    result.set(of, scaled(codes, whole ? { ...scales, shape: [1, 1] } : scales, own));
  }
  return result;
}

/** Rows and columns that share a scale. */
export interface ScaleBlock {
  readonly rows: number;
  readonly columns: number;
}

/** Undefined: a matrix has one scale. */
function blockOf(config: JsonObject): ScaleBlock | undefined {
  const text = config.object('text_config');
  const given = config.object('quantization_config') ?? text?.object('quantization_config');
  const told = given?.list('weight_block_size');
  if (told === undefined && Object.hasOwn(given?.values ?? {}, 'weight_block_size')) {
    return undefined;
  }
  const [rows = 128, columns = 128] = told ?? [];
  if ([rows, columns].every((n) => Number.isSafeInteger(n) && (n as number) > 0)) {
    return { rows: rows as number, columns: columns as number };
  }
  throw config.wrong('quantization_config', 'has no proper weight_block_size');
}

/** A matrix of codes times its scales, in F32. */
export function scaled(
  codes: SafetensorsTensor,
  scales: SafetensorsTensor,
  block: ScaleBlock,
): SafetensorsTensor {
  const [rows = 0, columns = 0] = codes.shape;
  const across = Math.ceil(columns / block.columns);
  if (codes.codes !== 'F8_E4M3') {
    throw unknownElements(codes.source.name, codes.name, codes.codes ?? 'another type than FP8');
  }
  const wanted = [Math.ceil(rows / block.rows), across];
  if (codes.shape.length !== 2 || String(scales.shape) !== String(wanted)) {
    throw new PacelineError(
      'wrong-shape',
      `Tensor ${scales.name} has the shape [${scales.shape.join(', ')}], expected [${wanted.join(', ')}]`,
      { hint: 'config.json does not fit the tensors.', details: { tensor: scales.name } },
    );
  }
  const read = async (target: Uint8Array, first: number, signal?: AbortSignal) => {
    const count = target.byteLength / (4 * columns);
    const bytes = new Uint8Array(count * columns);
    await readTensorRows(codes, bytes, first, signal);
    const firstBlock = Math.floor(first / block.rows);
    const blocks = Math.floor((first + count - 1) / block.rows) - firstBlock + 1;
    const factors = await readScales(scales, firstBlock, blocks * across, signal);
    const values = new Float32Array(count * columns);
    for (let row = 0; row < count; row++) {
      const line = (Math.floor((first + row) / block.rows) - firstBlock) * across;
      for (let column = 0; column < columns; column++) {
        const factor = factors[line + Math.floor(column / block.columns)] as number;
        const at = row * columns + column;
        values[at] = (e4m3[bytes[at] as number] as number) * factor;
      }
    }
    target.set(new Uint8Array(values.buffer));
  };
  const result = derived(codes, { shape: codes.shape, type: GgmlType.F32, read });
  return { ...result, natural: GgmlType.BF16 };
}

/** Scales from a row on; those of one byte are exponents of two. */
async function readScales(
  scales: SafetensorsTensor,
  row: number,
  count: number,
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  const size = scales.bytes / scales.shape.reduce((a, b) => a * b, 1);
  const bytes = new Uint8Array(count * size);
  await readTensorRows(scales, bytes, row, signal);
  if (scales.codes === 'F8_E8M0') return Float32Array.from(bytes, (code) => 2 ** (code - 127));
  if (scales.codes !== undefined) {
    throw unknownElements(scales.source.name, scales.name, scales.codes);
  }
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: count }, (_, at) => floatAt(view, at, scales.type));
}

/** Values of F8_E4M3's codes: a sign, an exponent of four bits, a fraction of three; no infinities. */
const e4m3 = Float32Array.from({ length: 256 }, (_, code) => {
  const sign = code & 0x80 ? -1 : 1;
  const exponent = (code >> 3) & 15;
  const fraction = code & 7;
  if (exponent === 15 && fraction === 7) return Number.NaN;
  if (exponent === 0) return sign * fraction * 2 ** -9;
  return sign * (1 + fraction / 8) * 2 ** (exponent - 7);
});
