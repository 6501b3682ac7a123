/**
 * Reads safetensors files: a length, a JSON header, raw tensors. The header is from a stranger: its
 * length, every offset and every shape is checked, and tensors may not overlap, before anything else
 * is read. Format: https://github.com/huggingface/safetensors#format
 */
import { PacelineError } from '../base/errors.js';
import { GgmlType } from '../ggml/types.js';
import { type ByteSource, openFileSource } from '../gguf/source.js';

export interface SafetensorsTensor {
  readonly name: string;
  readonly type: GgmlType;
  /** As in the file: the last extent varies fastest. */
  readonly shape: readonly number[];
  /** Position of the first byte in the file. */
  readonly offset: number;
  readonly bytes: number;
  readonly source: ByteSource;
  /** What `type` can't say: the elements are codes of this type, which mean nothing without their scales. */
  readonly codes?: string;
  /** The smallest type of a file that holds the values well, where it is not `type`. */
  readonly natural?: GgmlType;
}

/** The library itself allows no longer headers. */
const mostHeaderBytes = 100_000_000;
const mostExtents = 8;

const types: Readonly<Record<string, readonly [type: GgmlType, bytes: number]>> = {
  F64: [GgmlType.F64, 8],
  F32: [GgmlType.F32, 4],
  F16: [GgmlType.F16, 2],
  BF16: [GgmlType.BF16, 2],
  I64: [GgmlType.I64, 8],
  I32: [GgmlType.I32, 4],
  I16: [GgmlType.I16, 2],
  I8: [GgmlType.I8, 1],
};

/** Types of one byte that only who knows the checkpoint's quantisation can read. */
const codes: ReadonlySet<string> = new Set(['U8', 'F8_E4M3', 'F8_E8M0']);

/**
 * Opens a file and describes its tensors.
 * @returns tensors by name; close the source when done with them.
 * @throws {PacelineError} `model-not-found`, `broken-file`, `unsupported-type` for element types that
 *   cannot be converted, `io`, `aborted`.
 */
export async function openSafetensors(
  path: string,
  signal?: AbortSignal,
): Promise<{ source: ByteSource; tensors: Map<string, SafetensorsTensor> }> {
  const source = await openFileSource(path);
  try {
    return { source, tensors: await readHeader(source, signal) };
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** The tensors of any source. */
export async function readHeader(
  source: ByteSource,
  signal?: AbortSignal,
): Promise<Map<string, SafetensorsTensor>> {
  const broken = (problem: string) => brokenHeader(source.name, problem);
  if (source.size < 8) throw broken('it ends before its header');
  const prefix = new Uint8Array(8);
  await source.read(prefix, 0, signal);
  const length = Number(new DataView(prefix.buffer).getBigUint64(0, true));
  if (length < 2 || length > mostHeaderBytes || length > source.size - 8) {
    throw broken(`its header claims ${length} bytes`);
  }
  const text = new Uint8Array(length);
  await source.read(text, 8, signal);
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text));
  } catch {
    throw broken('its header is not JSON');
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) {
    throw broken('its header is no JSON object');
  }
  const data = { start: 8 + length, bytes: source.size - 8 - length };
  const tensors = new Map<string, SafetensorsTensor>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    tensors.set(name, describe(source, name, entry, data));
  }
  const placed = [...tensors.values()].sort((a, b) => a.offset - b.offset);
  for (const [index, tensor] of placed.entries()) {
    const next = placed[index + 1];
    if (next !== undefined && tensor.offset + tensor.bytes > next.offset) {
      throw broken(`tensors ${tensor.name} and ${next.name} overlap`);
    }
  }
  return tensors;
}

function describe(
  source: ByteSource,
  name: string,
  entry: unknown,
  data: { readonly start: number; readonly bytes: number },
): SafetensorsTensor {
  const broken = (problem: string) => brokenHeader(source.name, `tensor ${name} ${problem}`);
  if (typeof entry !== 'object' || entry === null) throw broken('is not described');
  const { dtype, shape, data_offsets: offsets } = entry as Record<string, unknown>;
  const kind = String(dtype);
  const coded = codes.has(kind);
  const type = coded ? types.I8 : Object.hasOwn(types, kind) ? types[kind] : undefined;
  if (type === undefined) throw unknownElements(source.name, name, kind);
  if (!isSizes(shape) || shape.length > mostExtents) throw broken('has no proper shape');
  if (!isSizes(offsets) || offsets.length !== 2) throw broken('has no proper offsets');
  const [begin, end] = offsets as [number, number];
  if (begin > end || end > data.bytes) {
    throw broken(`lies from ${begin} to ${end}, outside of the file's ${data.bytes} bytes`);
  }
  const bytes = shape.reduce((product, extent) => product * extent, type[1]);
  if (bytes !== end - begin) {
    throw broken(`has ${end - begin} bytes, where [${shape.join(', ')}] needs ${bytes}`);
  }
  const found = { name, type: type[0], shape, offset: data.start + begin, bytes, source };
  return coded ? { ...found, codes: kind } : found;
}

/** The error for elements of a type that cannot be converted. */
export function unknownElements(file: string, tensor: string, type: string): PacelineError {
  return new PacelineError(
    'unsupported-type',
    `${file}: tensor ${tensor} has elements of type ${type}`,
    { hint: 'Convert checkpoints in F32, F16 or BF16.', details: { file, tensor, type } },
  );
}

function isSizes(value: unknown): value is number[] {
  return (
    Array.isArray(value) &&
    value.every((item) => Number.isSafeInteger(item) && (item as number) >= 0)
  );
}

function brokenHeader(file: string, problem: string): PacelineError {
  return new PacelineError('broken-file', `${file}: ${problem}`, {
    hint: 'Download the file again.',
    details: { file },
  });
}
