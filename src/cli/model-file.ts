/** Opening a model by its name for commands that read no weights: header, vocabulary, nothing else. */
import { type GgufFile, readGguf } from '../gguf/reader.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { resolveModel } from './model-names.js';

/** Opens the header of a model; close it afterwards. @throws {PacelineError} as `readGguf`. */
export async function openModelFile(model: string, signal?: AbortSignal): Promise<GgufFile> {
  const { path } = await resolveModel(model);
  return readGguf(path, { signal });
}

/** The tokenizer of a model. @throws {PacelineError} as `readGguf` and `createTokenizer`. */
export async function openTokenizer(model: string): Promise<Tokenizer> {
  const { createTokenizer } = await import('../tokenizer/tokenizer.js');
  const file = await openModelFile(model);
  try {
    return createTokenizer(file);
  } finally {
    await file.close();
  }
}
