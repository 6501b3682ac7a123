/**
 * Writes a model of a given shape with random weights: its text is noise, its speed is that of the
 * real one. The same shape and type give the same bytes. Weights come from a pool of quantised
 * random blocks, since making each of them anew would take minutes.
 */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { PacelineError } from '../../base/errors.js';
import type { OnProgress } from '../../base/progress.js';
import { loadGgml } from '../../ggml/library.js';
import { GgmlType, rowBytes, tensorBytes } from '../../ggml/types.js';
import { type GgufMetadataEntry, GgufValueType } from '../../gguf/types.js';
import { writeGguf } from '../../gguf/writer.js';
import { mixOf, type Shape, shapeOf, tensorsOf } from './shapes.js';

/** Changes when the same shape and type would give other bytes. */
const recipe = 1;
const poolValues = 1 << 20;
const deviation = 0.02;

/** A small generator of random numbers (xorshift32); the same everywhere. */
function generator(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
}

/** Sum of uniform numbers, close enough to normal ones. */
function normalValues(count: number, random: () => number): Float32Array {
  const values = new Float32Array(count);
  for (let index = 0; index < count; index++) {
    values[index] = (random() + random() + random() + random() - 2) * Math.sqrt(3) * deviation;
  }
  return values;
}

/** Random blocks of a type. */
export function makePool(type: GgmlType): Uint8Array {
  const values = normalValues(poolValues, generator(type + 1));
  if (type === GgmlType.F32) return new Uint8Array(values.buffer);
  const pool = new Uint8Array(rowBytes(type, poolValues));
  const { base } = loadGgml();
  const written = base.ggml_quantize_chunk(type, values, pool, 0, 1, poolValues, 0);
  if (written === pool.byteLength) return pool;
  throw new PacelineError('unsupported-type', `ggml cannot quantise to type ${type}`);
}

const chunkBytes = 8 << 20;

/** Bytes of a tensor: pieces of the pool from random places, whole blocks only. */
export function* tensorData(pool: Uint8Array, bytes: number, block: number, seed: number) {
  const random = generator(seed);
  const most = Math.floor(chunkBytes / block) * block;
  for (let left = bytes; left > 0; ) {
    const chunk = new Uint8Array(Math.min(left, most));
    for (let at = 0; at < chunk.length; ) {
      const from = Math.floor((random() * pool.length) / 2 / block) * block;
      const piece = pool.subarray(from, from + Math.min(pool.length / 2, chunk.length - at));
      chunk.set(piece, at);
      at += piece.length;
    }
    left -= chunk.length;
    yield chunk;
  }
}

/** Bytes of the smallest piece of a type that stands alone. */
export function blockBytes(type: GgmlType): number {
  return rowBytes(type, 256);
}

const string = (value: string): GgufMetadataEntry => ({ type: GgufValueType.STRING, value });
const uint32 = (value: number): GgufMetadataEntry => ({ type: GgufValueType.UINT32, value });
const float32 = (value: number): GgufMetadataEntry => ({ type: GgufValueType.FLOAT32, value });
const boolean = (value: boolean): GgufMetadataEntry => ({ type: GgufValueType.BOOL, value });
const strings = (value: string[]): GgufMetadataEntry => ({
  type: GgufValueType.ARRAY,
  itemType: GgufValueType.STRING,
  value,
});

/** The characters that stand for bytes in byte-level vocabularies, by byte. */
function byteCharacters(): string[] {
  const printable = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCharCode(printable(byte) ? byte : next++),
  );
}

/** A byte-level vocabulary of any size: bytes, two merges, an end token, and words that never occur. */
function vocabulary(size: number): [string, GgufMetadataEntry][] {
  const bytes = byteCharacters();
  const tokens = [...bytes, 'ĠĠ', 'ĊĊ', '<|end|>'];
  const end = tokens.length - 1;
  while (tokens.length < size) tokens.push(`Ġrandom${tokens.length}`);
  const types = new Int32Array(size).fill(1);
  types[end] = 3;
  return [
    ['tokenizer.ggml.model', string('gpt2')],
    ['tokenizer.ggml.pre', string('qwen2')],
    ['tokenizer.ggml.tokens', strings(tokens)],
    [
      'tokenizer.ggml.token_type',
      { type: GgufValueType.ARRAY, itemType: GgufValueType.INT32, value: types },
    ],
    ['tokenizer.ggml.merges', strings(['Ġ Ġ', 'Ċ Ċ'])],
    ['tokenizer.ggml.eos_token_id', uint32(end)],
    ['tokenizer.ggml.add_bos_token', boolean(false)],
  ];
}

function metadata(shape: Shape, type: string): [string, GgufMetadataEntry][] {
  const key = (name: string): string => `${shape.architecture}.${name}`;
  const entries: [string, GgufMetadataEntry][] = [
    ['general.architecture', string(shape.architecture)],
    ['general.name', string(`random ${shape.name} ${type}`)],
    ['general.finetune', string('base')],
    ['general.quantization_version', uint32(2)],
    [key('context_length'), uint32(shape.context)],
    [key('embedding_length'), uint32(shape.embedding)],
    [key('block_count'), uint32(shape.layers)],
    [key('feed_forward_length'), uint32(shape.inner)],
    [key('attention.head_count'), uint32(shape.heads)],
    [key('attention.head_count_kv'), uint32(shape.kvHeads)],
    [key('attention.layer_norm_rms_epsilon'), float32(shape.epsilon)],
    [key('rope.freq_base'), float32(shape.ropeBase)],
  ];
  if (shape.architecture === 'qwen3') {
    entries.push([key('attention.key_length'), uint32(shape.headDim)]);
    entries.push([key('attention.value_length'), uint32(shape.headDim)]);
  }
  if (shape.experts > 0) {
    entries.push([key('expert_count'), uint32(shape.experts)]);
    entries.push([key('expert_used_count'), uint32(shape.expertsUsed)]);
  }
  return [...entries, ...vocabulary(shape.vocabulary)];
}

export interface RandomModelOptions {
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/**
 * Writes a random model to `path`.
 * @throws {PacelineError} `usage` for unknown names, `io`, `aborted`.
 */
export async function writeRandomModel(
  path: string,
  shapeName: string,
  typeName: string,
  options: RandomModelOptions = {},
): Promise<void> {
  const shape = shapeOf(shapeName);
  const pools = new Map<GgmlType, Uint8Array>();
  const poolOf = (type: GgmlType): Uint8Array => {
    const pool = pools.get(type) ?? makePool(type);
    pools.set(type, pool);
    return pool;
  };
  const tensors = tensorsOf(shape, mixOf(typeName, shape)).map((tensor, index) => ({
    ...tensor,
    data: () =>
      tensor.shape.length === 1
        ? new Uint8Array(new Float32Array(tensor.shape[0] ?? 0).fill(1).buffer)
        : tensorData(
            poolOf(tensor.type),
            tensorBytes(tensor.type, tensor.shape),
            blockBytes(tensor.type),
            index + 1,
          ),
  }));
  await writeGguf(path, { metadata: metadata(shape, typeName), tensors }, options);
}

/** The random model of a shape and type in the cache folder, made when first needed. */
export async function cachedRandomModel(
  cacheFolder: string,
  shapeName: string,
  typeName: string,
  options: RandomModelOptions = {},
): Promise<string> {
  mixOf(typeName, shapeOf(shapeName));
  const folder = join(cacheFolder, 'shapes');
  const path = join(folder, `${shapeName}-${typeName}-${recipe}.gguf`);
  if (existsSync(path)) return path;
  await mkdir(folder, { recursive: true });
  await writeRandomModel(path, shapeName, typeName, options);
  return path;
}
