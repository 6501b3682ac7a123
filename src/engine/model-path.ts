/**
 * What a model's name stands for, and which drafters lie beside it. Knows nothing of files' contents,
 * and loads no library.
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { PacelineError } from '../base/errors.js';
import { defaultModelPath } from '../base/paths.js';

/**
 * The file that a model's name stands for: `default` or a path.
 * @throws {PacelineError} `model-not-found` for names that can't be resolved yet.
 */
export function resolveModelPath(model: string): string {
  if (model === 'default') return defaultModelPath();
  if (model.startsWith('hf:')) {
    throw new PacelineError('model-not-found', `Models can't be downloaded yet: ${model}`, {
      hint: 'Download the GGUF file yourself and give its path.',
    });
  }
  return resolve(model);
}

/** Draft files that lie beside a model by our own naming: `name-mtp.gguf`. */
export function companionsOf(path: string): string[] {
  return ['mtp', 'dflash']
    .map((kind) => path.replace(/\.gguf$/, `-${kind}.gguf`))
    .filter(existsSync);
}

/** Draft files that are loaded with a model: those asked for, or those of the embedded model. */
export function draftFilesOf(
  path: string,
  asked: readonly string[] | undefined,
): readonly string[] {
  return asked ?? (path === defaultModelPath() ? companionsOf(path) : []);
}
