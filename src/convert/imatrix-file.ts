/**
 * Importance matrices as files: for each matrix of a model, how strongly each of its columns is used.
 * Reads and writes llama.cpp's two formats: GGUF (sums of squared inputs and their counts) and the
 * older one, usually named `.dat` (means times a number of calls). A file is from a stranger: every
 * length in it is checked against the file before memory is taken.
 */
import { PacelineError } from '../base/errors.js';
import { writeFileAtomically } from '../base/files.js';
import { GgmlType, typeName } from '../ggml/types.js';
import { ggufMagic } from '../gguf/header.js';
import { readGguf } from '../gguf/reader.js';
import { type ByteSource, openFileSource } from '../gguf/source.js';
import { ggufValue } from '../gguf/values.js';
import { type GgufTensorToWrite, writeGguf } from '../gguf/writer.js';

/** What was collected for one tensor. */
export interface ImportanceEntry {
  /** Sums of squares of the inputs: columns of the first matrix, of the second, ... */
  readonly sums: Float32Array;
  /** Inputs that were summed up: one count a matrix, or one for all. */
  readonly counts: Float32Array;
}

export interface ImportanceMatrix {
  /** By the tensor's name. */
  readonly entries: ReadonlyMap<string, ImportanceEntry>;
  /** Files of text that it was made of. */
  readonly datasets: readonly string[];
  readonly chunkCount: number;
  /** Tokens of a chunk; 0 when the file does not say. */
  readonly chunkSize: number;
}

const sumsSuffix = '.in_sum2';
const countsSuffix = '.counts';
const datasetsKey = 'imatrix.datasets';
const chunkCountKey = 'imatrix.chunk_count';
const chunkSizeKey = 'imatrix.chunk_size';

/** More than any model has; the old format gives no other way to tell a wrong file. */
const mostEntries = 100_000;
const mostNameBytes = 4096;
/** Files of the old format are read as a whole. */
const mostOldBytes = 2 ** 31 - 1;

interface SignalOption {
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads an importance matrix in either format.
 * @throws {PacelineError} `model-not-found`, `broken-file`, `bad-weights` for values that are not
 *   finite, `io`, `aborted`.
 */
export async function readImportance(
  path: string,
  options: SignalOption = {},
): Promise<ImportanceMatrix> {
  const source = await openFileSource(path);
  let matrix: ImportanceMatrix;
  try {
    const magic = new Uint8Array(4);
    if (source.size >= 4) await source.read(magic, 0, options.signal);
    const isGguf = new DataView(magic.buffer).getUint32(0, true) === ggufMagic;
    matrix = isGguf
      ? await readNewFormat(path, options)
      : parseOldFormat(await wholeFile(source, options), path);
  } finally {
    await source.close();
  }
  for (const [name, { sums, counts }] of matrix.entries) {
    if (sums.every(Number.isFinite) && counts.every(Number.isFinite)) continue;
    throw new PacelineError('bad-weights', `${path}: ${name} has values that are no numbers`, {
      hint: 'Make the importance matrix again.',
      details: { file: path, tensor: name },
    });
  }
  return matrix;
}

async function readNewFormat(path: string, { signal }: SignalOption): Promise<ImportanceMatrix> {
  await using file = await readGguf(path, { signal });
  const entries = new Map<string, ImportanceEntry>();
  const values = async (name: string): Promise<Float32Array> => {
    const info = file.tensors.get(name);
    if (info === undefined) throw broken(path, `it has no tensor ${name}`);
    if (info.type !== GgmlType.F32)
      throw broken(path, `${name} is ${typeName(info.type)}, not F32`);
    const data = new Float32Array(info.bytes / 4);
    await file.readTensor(info, new Uint8Array(data.buffer), { signal });
    return data;
  };
  for (const name of file.tensors.keys()) {
    if (!name.endsWith(sumsSuffix)) continue;
    const tensor = name.slice(0, -sumsSuffix.length);
    const sums = await values(name);
    const counts = await values(`${tensor}${countsSuffix}`);
    if (sums.length % counts.length !== 0) {
      throw broken(path, `${tensor} has ${counts.length} counts for ${sums.length} sums`);
    }
    entries.set(tensor, { sums, counts: counts.map(Math.round) });
  }
  if (entries.size === 0) throw broken(path, 'it is no importance matrix: no tensor is a sum');
  return {
    entries,
    datasets: file.optionalStringArray(datasetsKey) ?? [],
    chunkCount: file.optionalInteger(chunkCountKey) ?? 0,
    chunkSize: file.optionalInteger(chunkSizeKey) ?? 0,
  };
}

async function wholeFile(source: ByteSource, { signal }: SignalOption): Promise<Buffer> {
  if (source.size > mostOldBytes) {
    throw broken(source.name, 'it is no GGUF file, and too large for the older format');
  }
  const bytes = Buffer.alloc(source.size);
  await source.read(bytes, 0, signal);
  return bytes;
}

/** The older format from memory; `name` is for messages. @throws {PacelineError} `broken-file`. */
export function parseOldFormat(bytes: Buffer, name: string): ImportanceMatrix {
  let at = 0;
  const take = (count: number, what: string): number => {
    if (count < 0 || count > bytes.byteLength - at) {
      throw broken(name, `${what} at byte ${at} does not fit into the file`);
    }
    at += count;
    return at - count;
  };
  const int = (what: string) => bytes.readInt32LE(take(4, what));
  const text = (what: string) => {
    const length = int(`the length of ${what}`);
    if (length > mostNameBytes) throw broken(name, `${what} has ${length} bytes`);
    const start = take(length, what);
    return bytes.toString('utf8', start, start + length);
  };
  const count = int('the number of entries');
  if (count < 1 || count > mostEntries) throw broken(name, `it claims to have ${count} entries`);
  const entries = new Map<string, ImportanceEntry>();
  for (let index = 0; index < count; index++) {
    const tensor = text(`the name of entry ${index}`);
    const calls = int(`the calls of ${tensor}`);
    const length = int(`the number of values of ${tensor}`);
    if (length < 1) throw broken(name, `${tensor} has ${length} values`);
    const start = take(4 * length, `the values of ${tensor}`);
    const sums = new Float32Array(length);
    new Uint8Array(sums.buffer).set(bytes.subarray(start, start + 4 * length));
    entries.set(tensor, { sums, counts: Float32Array.of(Math.max(1, calls)) });
  }
  // Older files end here.
  if (at === bytes.byteLength) return { entries, datasets: [], chunkCount: 0, chunkSize: 0 };
  const chunkCount = int('the number of chunks');
  const datasets = at === bytes.byteLength ? [] : [text('the name of the text')];
  return { entries, datasets, chunkCount, chunkSize: 0 };
}

function broken(file: string, problem: string): PacelineError {
  return new PacelineError('broken-file', `${file}: ${problem}`, {
    hint: 'Give a file that `paceline imatrix` or llama-imatrix wrote.',
    details: { file },
  });
}

/**
 * Writes an importance matrix as GGUF, entries in the order of their names.
 * @throws {PacelineError} `io`, `aborted`.
 */
export async function writeImportance(
  path: string,
  matrix: ImportanceMatrix,
  options: SignalOption = {},
): Promise<void> {
  const bytes = ({ buffer, byteOffset, byteLength }: Float32Array) =>
    new Uint8Array(buffer, byteOffset, byteLength);
  const tensors = inOrder(matrix).flatMap(([name, { sums, counts }]): GgufTensorToWrite[] => [
    {
      name: `${name}${sumsSuffix}`,
      type: GgmlType.F32,
      shape: counts.length === 1 ? [sums.length] : [sums.length / counts.length, counts.length],
      data: bytes(sums),
    },
    {
      name: `${name}${countsSuffix}`,
      type: GgmlType.F32,
      shape: counts.length === 1 ? [1] : [1, counts.length],
      data: bytes(counts),
    },
  ]);
  const metadata = new Map([
    ['general.type', ggufValue.string('imatrix')],
    [datasetsKey, ggufValue.strings(matrix.datasets)],
    [chunkCountKey, ggufValue.uint32(matrix.chunkCount)],
    [chunkSizeKey, ggufValue.uint32(matrix.chunkSize)],
  ]);
  await writeGguf(path, { metadata, tensors }, options);
}

/** Writes the older format, which holds means only: what experts were used how often is lost. */
export async function writeOldImportance(
  path: string,
  matrix: ImportanceMatrix,
  options: SignalOption = {},
): Promise<void> {
  const chunkSize = Math.max(1, matrix.chunkSize);
  await writeFileAtomically(
    path,
    async (sink) => {
      const stored = inOrder(matrix).filter(([, { counts }]) => counts.some((count) => count > 0));
      await sink.write(ints(stored.length));
      for (const [name, entry] of stored) {
        const calls = Math.ceil(Math.max(...entry.counts) / chunkSize);
        const means = columnWeights(entry);
        await sink.write(ints(Buffer.byteLength(name)));
        await sink.write(Buffer.from(name));
        await sink.write(ints(calls, means.length));
        await sink.write(new Uint8Array(means.map((mean) => mean * calls).buffer));
      }
      const dataset = Buffer.from(matrix.datasets.at(-1) ?? '');
      await sink.write(ints(matrix.chunkCount, dataset.byteLength));
      await sink.write(dataset);
    },
    options,
  );
}

function ints(...values: readonly number[]): Uint8Array {
  return new Uint8Array(Int32Array.from(values).buffer);
}

function inOrder({ entries }: ImportanceMatrix): [string, ImportanceEntry][] {
  return [...entries].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

/** Mean squares of the columns' inputs, and 1 for matrices that saw none. */
export function columnWeights({ sums, counts }: ImportanceEntry): Float32Array {
  const columns = sums.length / counts.length;
  return sums.map((sum, at) => {
    const count = counts[Math.floor(at / columns)] ?? 0;
    return count > 0 ? sum / count : 1;
  });
}
