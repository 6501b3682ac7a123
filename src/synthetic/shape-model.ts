/**
 * Writes a model of a named shape with random weights: its text is noise, its speed is that of the
 * real one. The same shape and type give the same bytes.
 */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { OnProgress } from '../base/progress.js';
import { type GgmlType, tensorBytes } from '../ggml/types.js';
import { writeGguf } from '../gguf/writer.js';
import { metadataOf } from './architecture.js';
import { text, u32 } from './entries.js';
import type { Shape } from './known-shapes.js';
import { numbersOf, type TensorPlan } from './plan.js';
import { blockBytes, makePool, tensorData } from './pools.js';
import { mixOf, shapeOf, typedTensorsOf } from './shapes.js';
import { byteLevelVocabulary } from './vocabularies.js';

/** Values of what is no matrix, where small random numbers would make no sense. */
const constants: Readonly<Partial<Record<TensorPlan['kind'], number>>> = {
  norm: 1,
  divisors: 1,
  decay: -1,
};

function constant(shape: readonly number[], value = 0): Uint8Array {
  const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
  return new Uint8Array(values.fill(value).buffer);
}

/** Changes when the same shape and type would give other bytes. */
const recipe = 2;

export interface ShapeModelOptions {
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/**
 * Writes a random model to `path`.
 * @throws {PacelineError} `usage` for unknown names, `io`, `aborted`.
 */
export async function writeShapeModel(
  path: string,
  shapeName: string | Shape,
  typeName: string,
  options: ShapeModelOptions = {},
): Promise<void> {
  const shape = typeof shapeName === 'string' ? shapeOf(shapeName) : shapeName;
  const pools = new Map<GgmlType, Uint8Array>();
  const poolOf = (type: GgmlType): Uint8Array => {
    const pool = pools.get(type) ?? makePool(type);
    pools.set(type, pool);
    return pool;
  };
  const tensors = typedTensorsOf(shape, mixOf(typeName, shape)).map((tensor, index) => ({
    name: tensor.name,
    type: tensor.type,
    shape: tensor.shape,
    data: () =>
      tensor.kind === 'numbers'
        ? [new Uint8Array(numbersOf(tensor.shape, tensor.gain).buffer)]
        : constants[tensor.kind] !== undefined
          ? constant(tensor.shape, constants[tensor.kind])
          : tensorData(
              poolOf(tensor.type),
              tensorBytes(tensor.type, tensor.shape),
              blockBytes(tensor.type),
              index + 1,
            ),
  }));
  // Not the shape's name: libllama looks for words of its own in vocabularies of what is called phi-3.
  const metadata = metadataOf(shape, `random ${typeName}`, byteLevelVocabulary(shape.vocab));
  metadata.set('general.finetune', text('base'));
  metadata.set('general.quantization_version', u32(2));
  await writeGguf(path, { metadata, tensors }, options);
}

/** The random model of a shape and type in the cache folder, made when first needed. */
export async function cachedShapeModel(
  cacheFolder: string,
  shapeName: string,
  typeName: string,
  options: ShapeModelOptions = {},
): Promise<string> {
  mixOf(typeName, shapeOf(shapeName));
  const folder = join(cacheFolder, 'shapes');
  const path = join(folder, `${shapeName}-${typeName}-${recipe}.gguf`);
  if (existsSync(path)) return path;
  await mkdir(folder, { recursive: true });
  await writeShapeModel(path, shapeName, typeName, options);
  return path;
}
