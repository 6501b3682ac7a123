/**
 * What a model's name stands for, and which drafters lie beside it. Knows nothing of files' contents,
 * and loads no library.
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { PacelineError } from '../base/errors.js';
import { defaultModelPath } from '../base/paths.js';

/**
 * The file that a model's name stands for here: `default` or a path. Names of the hub and aliases are
 * found by the layers above, which give the engine the path.
 * @throws {PacelineError} `model-not-found` for names of the hub.
 */
export function resolveModelPath(model: string): string {
  if (model === 'default') return defaultModelPath();
  if (/^hf:/i.test(model)) {
    throw new PacelineError('model-not-found', `${model} is no path of a file`, {
      hint: `Run \`paceline pull ${model}\` and load the path that it prints.`,
      details: { model },
    });
  }
  return resolve(model);
}

/** Draft files that lie beside a model by their naming: `name-mtp.gguf`. DSpark outranks DFlash. */
export function companionsOf(path: string): string[] {
  const named = (kind: string) => path.replace(/\.gguf$/, `-${kind}.gguf`);
  const found = ['mtp', 'assistant', 'dspark', 'dflash'].map(named).filter(existsSync);
  return found.filter((file) => file !== named('dflash') || !found.includes(named('dspark')));
}

/** Draft files that are loaded with a model: those asked for, or those of the embedded model. */
export function draftFilesOf(
  path: string,
  asked: readonly string[] | undefined,
): readonly string[] {
  return asked ?? (path === defaultModelPath() ? companionsOf(path) : []);
}
