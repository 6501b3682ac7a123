/** What a model's name stands for. Knows nothing of files' contents, and loads no library. */
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
