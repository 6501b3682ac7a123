/**
 * Parses the part of a GGUF file before the tensors' data: version, metadata, tensor descriptions.
 * What it returns is consistent: keys and names are unique, every tensor lies inside the source, on
 * its alignment, and overlaps no other. Reads no tensor data and knows no model.
 */
import { PacelineError } from '../base/errors.js';
import { isGgmlType, tensorBytes, typeName, typeTraits } from '../ggml/types.js';
import { brokenFile, HeaderCursor, shown, truncatedFile } from './cursor.js';
import type { ByteSource } from './source.js';
import {
  type GgufArray,
  type GgufMetadataEntry,
  type GgufNumberType,
  type GgufTensorInfo,
  GgufValueType,
  type GgufWideType,
  isGgufValueType,
  valueBytes,
  valueTypeName,
} from './types.js';

export const ggufMagic = 0x46554747;
export const ggufDefaultAlignment = 32;
export const alignmentKey = 'general.alignment';

/** Limits that no real file comes near; they keep a hostile one from taking time and memory. */
export const ggufLimits = {
  keyBytes: 65535,
  nameBytes: 64,
  dimensions: 4,
  metadataEntries: 100_000,
  tensors: 100_000,
  arrayBytes: 2 ** 29,
  arrayStrings: 2 ** 24,
  arrayDepth: 4,
  nestedArrays: 100_000,
  smallestAlignment: 8,
  largestAlignment: 2 ** 24,
} as const;

/** Least bytes of a metadata entry: key length, one character, type, one byte of value. */
const entryBytes = 8 + 1 + 4 + 1;
/** Least bytes of a tensor's description: name length and name, rank, one extent, type, offset. */
const descriptionBytes = 8 + 1 + 4 + 8 + 4 + 8;

export interface GgufHeader {
  readonly version: number;
  readonly metadata: Map<string, GgufMetadataEntry>;
  readonly tensors: GgufTensorInfo[];
  readonly alignment: number;
  /** Position of the tensors' data. */
  readonly dataOffset: number;
}

/**
 * Parses the header of `source`. `file` becomes the tensors' file index.
 * @throws {PacelineError} `broken-file` for any violation of the format, with file and offset;
 *   `unsupported-type` for a tensor type that ggml 0.25.1 does not have; `aborted`.
 */
export async function parseHeader(
  source: ByteSource,
  options: { readonly file?: number; readonly signal?: AbortSignal | undefined } = {},
): Promise<GgufHeader> {
  const cursor = new HeaderCursor(source, options.signal);
  await cursor.prefetch(24);
  if (source.size === 0) throw cursor.truncated('an empty file: the header', 24);
  const version = readVersion(cursor);
  const tensorCount = cursor.count('The number of tensors', descriptionBytes);
  limit(cursor, 'tensors', tensorCount, ggufLimits.tensors);
  const entryCount = cursor.count('The number of metadata entries', entryBytes);
  limit(cursor, 'metadata entries', entryCount, ggufLimits.metadataEntries);

  const metadata = await new MetadataParser(cursor).entries(entryCount);
  const alignment = checkedAlignment(metadata.get(alignmentKey), cursor);

  const relative: GgufTensorInfo[] = [];
  const names = new Set<string>();
  for (let index = 0; index < tensorCount; index++) {
    const tensor = await readTensorInfo(cursor, index, options.file ?? 0);
    if (names.has(tensor.name)) throw cursor.broken(`tensor ${shown(tensor.name)} occurs twice`);
    names.add(tensor.name);
    relative.push(tensor);
  }
  const dataOffset = Math.ceil(cursor.offset / alignment) * alignment;
  const tensors = relative.map((tensor) => ({ ...tensor, offset: dataOffset + tensor.offset }));
  checkPlacement(source, tensors, alignment, dataOffset);
  return { version, metadata, tensors, alignment, dataOffset };
}

function readVersion(cursor: HeaderCursor): number {
  const magic = cursor.u32('The magic number');
  if (magic !== ggufMagic) {
    throw cursor.broken(`not a GGUF file: it starts with ${guess(magic)}, expected "GGUF"`, 0);
  }
  const version = cursor.u32('The version');
  if (version === 2 || version === 3) return version;
  const about =
    version === 1
      ? 'GGUF version 1 is no longer in use; versions 2 and 3 are read'
      : (version & 0xffff) === 0 && version !== 0
        ? 'the file is big-endian; only little-endian GGUF files are read'
        : `GGUF version ${version} is not known; versions 2 and 3 are read`;
  throw cursor.broken(about, 4);
}

/** Says what a file that is not GGUF seems to be. */
function guess(magic: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(magic);
  const text = bytes.toString('latin1');
  const known: Readonly<Record<string, string>> = {
    FUGG: '"FUGG" (a GGUF file with its bytes swapped)',
    vers: '"vers" (a Git LFS pointer? fetch the real file with `git lfs pull`)',
    '<!DO': '"<!DO" (a web page, not a model)',
    '<htm': '"<htm" (a web page, not a model)',
    'PK\x03\x04': 'a ZIP signature (a PyTorch checkpoint?)',
    tjgg: '"tjgg" (the GGJT format from before GGUF)',
    lmgg: '"lmgg" (the GGML format from before GGUF)',
  };
  return known[text] ?? (/^[ -~]{4}$/.test(text) ? `"${text}"` : `0x${bytes.toString('hex')}`);
}

function limit(cursor: HeaderCursor, what: string, count: number, most: number): void {
  if (count > most) throw cursor.broken(`${count} ${what}, more than the ${most} allowed`);
}

class MetadataParser {
  readonly #cursor: HeaderCursor;
  #nested = 0;

  constructor(cursor: HeaderCursor) {
    this.#cursor = cursor;
  }

  async entries(count: number): Promise<Map<string, GgufMetadataEntry>> {
    const entries = new Map<string, GgufMetadataEntry>();
    for (let index = 0; index < count; index++) {
      const at = this.#cursor.offset;
      const key = await this.#cursor.string(
        `The key of metadata entry ${index}`,
        ggufLimits.keyBytes,
      );
      if (key === '' || key.includes('\0')) {
        throw this.#cursor.broken(`metadata entry ${index} has no proper key`, at);
      }
      if (entries.has(key)) {
        throw this.#cursor.broken(`metadata key ${shown(key)} occurs twice`, at);
      }
      entries.set(key, await this.#value(shown(key)));
    }
    return entries;
  }

  /** `key` is for messages only, here and below. */
  async #value(key: string): Promise<GgufMetadataEntry> {
    const cursor = this.#cursor;
    await cursor.prefetch(16);
    const type = this.#type(key);
    switch (type) {
      case GgufValueType.STRING:
        return { type, value: await cursor.string(key) };
      case GgufValueType.ARRAY:
        return this.#array(key, 1);
      case GgufValueType.BOOL:
        return { type, value: bool(cursor, cursor.u8(key), key) };
      case GgufValueType.UINT64:
        return { type, value: cursor.u64(key) };
      case GgufValueType.INT64:
        return { type, value: cursor.i64(key) };
      default:
        return { type, value: readNumber(cursor, type, key) };
    }
  }

  async #array(key: string, depth: number): Promise<GgufArray> {
    const cursor = this.#cursor;
    const at = cursor.offset;
    await cursor.prefetch(12);
    const itemType = this.#type(key);
    const itemBytes = valueBytes(itemType);
    const least = itemBytes || (itemType === GgufValueType.STRING ? 8 : 12);
    const count = cursor.count(`${key}: an array`, least);
    if (count * least > ggufLimits.arrayBytes) {
      throw cursor.broken(`${key} has ${count} items, more than are allowed`, at);
    }
    const type = GgufValueType.ARRAY;
    switch (itemType) {
      case GgufValueType.STRING:
        limit(cursor, `strings in ${key}`, count, ggufLimits.arrayStrings);
        return { type, itemType, value: await cursor.strings(count, key) };
      case GgufValueType.ARRAY: {
        this.#nested += count;
        limit(cursor, 'arrays within arrays', this.#nested, ggufLimits.nestedArrays);
        if (depth >= ggufLimits.arrayDepth) throw cursor.broken(`${key}: arrays too deep`, at);
        const value: GgufArray[] = [];
        while (value.length < count) value.push(await this.#array(key, depth + 1));
        return { type, itemType, value };
      }
      case GgufValueType.BOOL: {
        const value = await cursor.bytes(count, key);
        const wrong = value.findIndex((byte) => byte > 1);
        if (wrong >= 0) bool(cursor, value[wrong] ?? 2, `${key}[${wrong}]`);
        return { type, itemType, value };
      }
      case GgufValueType.UINT64:
      case GgufValueType.INT64: {
        const { buffer } = await cursor.bytes(count * 8, key);
        const value = wideView(itemType, buffer);
        return { type, itemType, value };
      }
      default: {
        const { buffer } = await cursor.bytes(count * itemBytes, key);
        return { type, itemType, value: numberView(itemType, buffer) };
      }
    }
  }

  #type(key: string): GgufValueType {
    const at = this.#cursor.offset;
    const type = this.#cursor.u32(`${key}: the value's type`);
    if (!isGgufValueType(type)) {
      throw this.#cursor.broken(`${key} has value type ${type}, expected 0 to 12`, at);
    }
    return type;
  }
}

function bool(cursor: HeaderCursor, byte: number, key: string): boolean {
  if (byte > 1) throw cursor.broken(`${key} is a boolean of value ${byte}, expected 0 or 1`);
  return byte === 1;
}

function readNumber(cursor: HeaderCursor, type: GgufNumberType, key: string): number {
  switch (type) {
    case GgufValueType.UINT8:
      return cursor.u8(key);
    case GgufValueType.INT8:
      return cursor.i8(key);
    case GgufValueType.UINT16:
      return cursor.u16(key);
    case GgufValueType.INT16:
      return cursor.i16(key);
    case GgufValueType.UINT32:
      return cursor.u32(key);
    case GgufValueType.INT32:
      return cursor.i32(key);
    case GgufValueType.FLOAT32:
      return cursor.f32(key);
    case GgufValueType.FLOAT64:
      return cursor.f64(key);
  }
}

/** A typed array over `buffer`. Hosts are little-endian: Node runs on no other that ggml serves. */
function numberView(type: GgufNumberType, buffer: ArrayBuffer) {
  switch (type) {
    case GgufValueType.UINT8:
      return new Uint8Array(buffer);
    case GgufValueType.INT8:
      return new Int8Array(buffer);
    case GgufValueType.UINT16:
      return new Uint16Array(buffer);
    case GgufValueType.INT16:
      return new Int16Array(buffer);
    case GgufValueType.UINT32:
      return new Uint32Array(buffer);
    case GgufValueType.INT32:
      return new Int32Array(buffer);
    case GgufValueType.FLOAT32:
      return new Float32Array(buffer);
    case GgufValueType.FLOAT64:
      return new Float64Array(buffer);
  }
}

/** A typed array of 64-bit integers over `buffer`. */
function wideView(type: GgufWideType, buffer: ArrayBuffer) {
  return type === GgufValueType.UINT64 ? new BigUint64Array(buffer) : new BigInt64Array(buffer);
}

function checkedAlignment(entry: GgufMetadataEntry | undefined, cursor: HeaderCursor): number {
  if (entry === undefined) return ggufDefaultAlignment;
  if (entry.type !== GgufValueType.UINT32) {
    throw cursor.broken(`${alignmentKey} is ${valueTypeName(entry.type)}, expected uint32`);
  }
  const alignment = entry.value;
  const { smallestAlignment: least, largestAlignment: most } = ggufLimits;
  if (alignment < least || alignment > most || !Number.isInteger(Math.log2(alignment))) {
    throw cursor.broken(
      `${alignmentKey} is ${alignment}, expected a power of two from ${least} to ${most}`,
    );
  }
  return alignment;
}

/** Reads one description; its offset is still relative to the data. */
async function readTensorInfo(
  cursor: HeaderCursor,
  index: number,
  file: number,
): Promise<GgufTensorInfo> {
  await cursor.prefetch(512);
  const start = cursor.offset;
  const name = await cursor.string(`The name of tensor ${index}`, ggufLimits.nameBytes);
  if (name === '' || name.includes('\0')) {
    throw cursor.broken(`tensor ${index} has no proper name`, start);
  }
  const label = `tensor ${shown(name)}`;
  let at = cursor.offset;
  const rank = cursor.u32(label);
  if (rank < 1 || rank > ggufLimits.dimensions) {
    throw cursor.broken(`${label} has ${rank} dimensions, expected 1 to 4`, at);
  }
  const shape: number[] = [];
  let elements = 1;
  for (let axis = 0; axis < rank; axis++) {
    at = cursor.offset;
    const extent = cursor.u64(label);
    elements *= Number(extent);
    if (typeof extent === 'bigint' || extent === 0 || !Number.isSafeInteger(elements)) {
      const found = [...shape, extent].join(', ');
      throw cursor.broken(`${label} has shape [${found}], expected 1 to 2^53 elements in all`, at);
    }
    shape.push(extent);
  }
  at = cursor.offset;
  const type = cursor.u32(label);
  if (!isGgmlType(type)) {
    const problem = `${cursor.file}: ${label} has type ${type}, unknown here (at byte ${at})`;
    throw new PacelineError('unsupported-type', problem, {
      hint: 'The type was removed from ggml or is newer than this version; convert the model again.',
      details: { file: cursor.file, tensor: name, type, offset: at },
    });
  }
  const { blockSize } = typeTraits(type);
  if ((shape[0] ?? 0) % blockSize !== 0) {
    throw cursor.broken(
      `${label} has rows of ${shape[0]} elements, expected a multiple of ${blockSize}, the block of ${typeName(type)}`,
      at,
    );
  }
  const offset = cursor.u64(label);
  if (typeof offset === 'bigint') {
    throw cursor.broken(`${label} starts at ${offset}, far outside the file`, at + 4);
  }
  // At most 8 bytes an element, so this can pass 2^53, where tensorBytes throws.
  if (elements > Number.MAX_SAFE_INTEGER / 8) {
    throw cursor.broken(`${label} has ${elements} elements, more than any file holds`, at);
  }
  return { name, shape, type, offset, bytes: tensorBytes(type, shape), file };
}

/** Checks that tensors are aligned, apart from each other, and inside the source. */
function checkPlacement(
  source: ByteSource,
  tensors: readonly GgufTensorInfo[],
  alignment: number,
  dataOffset: number,
): void {
  const inOrder = [...tensors].sort((a, b) => a.offset - b.offset);
  let previous: GgufTensorInfo | undefined;
  for (const tensor of inOrder) {
    const { name, offset } = tensor;
    if (offset % alignment !== 0) {
      const problem = `tensor ${shown(name)} starts at ${offset - dataOffset} of the data, expected a multiple of ${alignment}`;
      throw brokenFile(source.name, offset, problem, { tensor: name });
    }
    if (previous !== undefined && offset < previous.offset + previous.bytes) {
      const problem = `tensors ${shown(previous.name)} and ${shown(name)} overlap`;
      throw brokenFile(source.name, offset, problem, { tensor: name });
    }
    previous = tensor;
  }
  if (previous === undefined) return;
  const end = previous.offset + previous.bytes;
  if (end > source.size) {
    const missing = end - source.size;
    throw truncatedFile(
      source.name,
      source.size,
      `the data up to tensor ${previous.name}`,
      missing,
    );
  }
}
