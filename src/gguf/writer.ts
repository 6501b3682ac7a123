/**
 * Writes GGUF version 3, little endian. The header is built in memory, tensors are taken one after
 * another from buffers or producers, so memory is that of the largest chunk. The file appears under
 * its name only when it is whole. Readers accept what it writes: names, shapes and sizes are checked
 * by the rules of `header.ts` and by those of ggml where they are stricter.
 */
import { PacelineError, throwIfAborted } from '../base/errors.js';
import { type FileSink, writeFileAtomically } from '../base/files.js';
import type { OnProgress } from '../base/progress.js';
import { type GgmlType, tensorBytes } from '../ggml/types.js';
import { alignmentKey, ggufDefaultAlignment, ggufLimits, ggufMagic } from './header.js';
import { bytesOfText } from './text.js';
import { type GgufArray, type GgufMetadataEntry, GgufValueType } from './types.js';
import { checkScalar } from './values.js';

/** Bytes of a tensor at once or piece by piece; made when the writer gets there. */
export type GgufTensorData =
  | Uint8Array
  | (() => Uint8Array | Promise<Uint8Array> | Iterable<Uint8Array> | AsyncIterable<Uint8Array>);

export interface GgufTensorToWrite {
  /** At most 63 bytes: ggml keeps no longer names. */
  readonly name: string;
  readonly type: GgmlType;
  /** 1 to 4 extents in ggml order. */
  readonly shape: readonly number[];
  /** Exactly as many bytes as type and shape ask for, in all. */
  readonly data: GgufTensorData;
}

export interface GgufContent {
  /** In the order in which they are to stand in the file. */
  readonly metadata: Iterable<readonly [key: string, entry: GgufMetadataEntry]>;
  readonly tensors: readonly GgufTensorToWrite[];
}

export interface WriteOptions {
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Writes `content` to `path`, replacing what was there only when all is written.
 * @returns the file's size in bytes.
 * @throws {PacelineError} `internal` when the content cannot be written as GGUF, `io`, `aborted`.
 */
export async function writeGguf(
  path: string,
  content: GgufContent,
  { onProgress, signal }: WriteOptions = {},
): Promise<number> {
  const plan = planGguf(content);
  return writeFileAtomically(path, (sink) => writePlan(sink, plan, onProgress, signal), { signal });
}

/** `content` as the bytes of a file, for small models that are not to touch the disk. */
export async function encodeGguf(content: GgufContent): Promise<Uint8Array> {
  const plan = planGguf(content);
  const file = new Uint8Array(plan.bytes);
  let position = 0;
  const sink: FileSink = {
    get position() {
      return position;
    },
    async write(bytes) {
      file.set(bytes, position);
      position += bytes.byteLength;
    },
  };
  await writePlan(sink, plan, undefined, undefined);
  return file;
}

interface Plan {
  readonly header: Uint8Array;
  readonly tensors: readonly (GgufTensorToWrite & { readonly bytes: number })[];
  readonly alignment: number;
  /** Of the whole file. */
  readonly bytes: number;
}

function planGguf(content: GgufContent): Plan {
  const metadata = new Map<string, GgufMetadataEntry>();
  for (const [key, entry] of content.metadata) {
    const bytes = bytesOfText(key).byteLength;
    if (bytes === 0 || bytes > ggufLimits.keyBytes || key.includes('\0') || metadata.has(key)) {
      throw refuse(`metadata key ${JSON.stringify(key)} is empty, too long or there twice`);
    }
    metadata.set(key, entry);
  }
  const alignment = alignmentOf(metadata.get(alignmentKey));
  const names = new Set<string>();
  const tensors = content.tensors.map((tensor) => {
    const length = bytesOfText(tensor.name).byteLength;
    if (length === 0 || length >= ggufLimits.nameBytes || tensor.name.includes('\0')) {
      throw refuse(`tensor name ${JSON.stringify(tensor.name)} has ${length} bytes, not 1 to 63`);
    }
    if (names.has(tensor.name)) throw refuse(`tensor ${tensor.name} is there twice`);
    names.add(tensor.name);
    return { ...tensor, bytes: checkedBytes(tensor) };
  });

  const out = new ByteWriter();
  out.u32(ggufMagic);
  out.u32(3);
  out.u64(tensors.length);
  out.u64(metadata.size);
  for (const [key, entry] of metadata) {
    out.string(key);
    out.u32(entry.type);
    out.value(entry);
  }
  let offset = 0;
  for (const tensor of tensors) {
    out.string(tensor.name);
    out.u32(tensor.shape.length);
    for (const extent of tensor.shape) out.u64(extent);
    out.u32(tensor.type);
    out.u64(offset);
    offset += padded(tensor.bytes, alignment);
  }
  if (tensors.length > 0) out.pad(alignment);
  const header = out.result();
  return { header, tensors, alignment, bytes: header.byteLength + offset };
}

function checkedBytes({ name, type, shape }: GgufTensorToWrite): number {
  const proper = shape.every((extent) => Number.isSafeInteger(extent) && extent > 0);
  if (shape.length < 1 || shape.length > ggufLimits.dimensions || !proper) {
    throw refuse(`tensor ${name} has shape [${shape.join(', ')}]`);
  }
  try {
    return tensorBytes(type, shape);
  } catch (error) {
    throw refuse(`tensor ${name}: ${(error as Error).message}`);
  }
}

function alignmentOf(entry: GgufMetadataEntry | undefined): number {
  if (entry === undefined) return ggufDefaultAlignment;
  const value = entry.type === GgufValueType.UINT32 ? entry.value : 0;
  const { smallestAlignment, largestAlignment } = ggufLimits;
  const fits = value >= smallestAlignment && value <= largestAlignment;
  if (!fits || !Number.isInteger(Math.log2(value))) {
    throw refuse(`${alignmentKey} must be a uint32 power of two of at least ${smallestAlignment}`);
  }
  return value;
}

async function writePlan(
  sink: FileSink,
  plan: Plan,
  onProgress: OnProgress | undefined,
  signal: AbortSignal | undefined,
): Promise<number> {
  const report = () =>
    onProgress?.({ task: 'writing', done: sink.position, total: plan.bytes, unit: 'bytes' });
  await sink.write(plan.header);
  for (const tensor of plan.tensors) {
    let left = tensor.bytes;
    for await (const chunk of chunksOf(tensor.data)) {
      throwIfAborted(signal);
      left -= chunk.byteLength;
      if (left < 0) break;
      await sink.write(chunk);
      report();
    }
    if (left !== 0) {
      const amount = left < 0 ? 'more' : 'fewer';
      throw refuse(`tensor ${tensor.name} was given ${amount} than its ${tensor.bytes} bytes`);
    }
    await sink.write(new Uint8Array(padded(tensor.bytes, plan.alignment) - tensor.bytes));
  }
  report();
  return sink.position;
}

async function* chunksOf(data: GgufTensorData): AsyncGenerator<Uint8Array> {
  const made = typeof data === 'function' ? await data() : data;
  if (made instanceof Uint8Array) yield made;
  else yield* made;
}

function padded(bytes: number, alignment: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}

function refuse(problem: string): PacelineError {
  return new PacelineError('internal', `Cannot write a GGUF file: ${problem}`);
}

/** Little-endian bytes in a buffer that grows. */
class ByteWriter {
  #buffer = Buffer.allocUnsafeSlow(65536);
  #size = 0;

  u32(value: number): void {
    this.#size = this.#room(4).writeUInt32LE(value, this.#size);
  }

  u64(value: number): void {
    this.#size = this.#room(8).writeBigUInt64LE(BigInt(value), this.#size);
  }

  string(text: string): void {
    // Another lone surrogate has no bytes; it would come back as another string.
    if (/[\ud800-\udc7f\udd00-\udfff]/u.test(text)) {
      throw refuse(`${JSON.stringify(text)} is not valid Unicode`);
    }
    const bytes = bytesOfText(text);
    this.u64(bytes.byteLength);
    this.#room(bytes.byteLength).set(bytes, this.#size);
    this.#size += bytes.byteLength;
  }

  value(entry: GgufMetadataEntry): void {
    checkScalar(entry);
    const buffer = this.#room(8);
    const at = this.#size;
    switch (entry.type) {
      case GgufValueType.UINT8:
        this.#size = buffer.writeUInt8(entry.value, at);
        break;
      case GgufValueType.INT8:
        this.#size = buffer.writeInt8(entry.value, at);
        break;
      case GgufValueType.UINT16:
        this.#size = buffer.writeUInt16LE(entry.value, at);
        break;
      case GgufValueType.INT16:
        this.#size = buffer.writeInt16LE(entry.value, at);
        break;
      case GgufValueType.UINT32:
        this.#size = buffer.writeUInt32LE(entry.value, at);
        break;
      case GgufValueType.INT32:
        this.#size = buffer.writeInt32LE(entry.value, at);
        break;
      case GgufValueType.FLOAT32:
        this.#size = buffer.writeFloatLE(entry.value, at);
        break;
      case GgufValueType.FLOAT64:
        this.#size = buffer.writeDoubleLE(entry.value, at);
        break;
      case GgufValueType.UINT64:
        this.#size = buffer.writeBigUInt64LE(BigInt(entry.value), at);
        break;
      case GgufValueType.INT64:
        this.#size = buffer.writeBigInt64LE(BigInt(entry.value), at);
        break;
      case GgufValueType.BOOL:
        this.#size = buffer.writeUInt8(Number(entry.value), at);
        break;
      case GgufValueType.STRING:
        this.string(entry.value);
        break;
      case GgufValueType.ARRAY:
        this.array(entry);
        break;
    }
  }

  array(array: GgufArray): void {
    this.u32(array.itemType);
    this.u64(array.value.length);
    switch (array.itemType) {
      case GgufValueType.STRING:
        for (const text of array.value) this.string(text);
        break;
      case GgufValueType.ARRAY:
        for (const inner of array.value) this.array(inner);
        break;
      default: {
        const { buffer, byteOffset, byteLength } = array.value;
        this.#room(byteLength).set(new Uint8Array(buffer, byteOffset, byteLength), this.#size);
        this.#size += byteLength;
      }
    }
  }

  pad(alignment: number): void {
    const end = padded(this.#size, alignment);
    this.#room(end - this.#size).fill(0, this.#size, end);
    this.#size = end;
  }

  result(): Uint8Array {
    return this.#buffer.subarray(0, this.#size);
  }

  #room(bytes: number): Buffer {
    const needed = this.#size + bytes;
    if (needed > this.#buffer.byteLength) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#buffer.byteLength));
      this.#buffer.copy(larger, 0, 0, this.#size);
      this.#buffer = larger;
    }
    return this.#buffer;
  }
}
