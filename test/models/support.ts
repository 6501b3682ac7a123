/** What the tests of loading share: a small model as a file in memory, and an error's facts. */
import assert from 'node:assert/strict';
import { type ErrorCode, PacelineError } from '../../src/base/errors.js';
import type { Backend } from '../../src/ggml/backend.js';
import { readGgufFrom } from '../../src/gguf/reader.js';
import { memorySource } from '../../src/gguf/source.js';
import { encodeGguf, type GgufContent } from '../../src/gguf/writer.js';
import { type LoadModelOptions, loadLanguageModel } from '../../src/models/load.js';
import { type RandomModelOptions, randomModel } from '../../src/synthetic/random-model.js';

export const small = {
  architecture: 'qwen3',
  layers: 2,
  embedding: 32,
  heads: 2,
  kvHeads: 1,
  headDim: 16,
  inner: 48,
} as const satisfies RandomModelOptions;

export async function open(content: GgufContent) {
  const bytes = await encodeGguf(content);
  return readGgufFrom('random.gguf', async () => memorySource(bytes, 'random.gguf'));
}

/** Loads `small` with changed options. */
export function loader(backend: Backend) {
  return async (options: Partial<RandomModelOptions>, more: Partial<LoadModelOptions> = {}) => {
    const file = await open(randomModel({ ...small, ...options }));
    return loadLanguageModel(file, { backend, ...more });
  };
}

/** A check for `assert.rejects`: the code, and what message and hint say. */
export function refused(code: ErrorCode, ...patterns: readonly RegExp[]) {
  return (error: unknown) => {
    assert.ok(PacelineError.is(error), String(error));
    assert.equal(error.code, code, error.message);
    const said = `${error.message} ${error.hint ?? ''}`;
    for (const pattern of patterns) assert.match(said, pattern);
    return true;
  };
}
