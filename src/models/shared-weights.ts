/** Weights that a drafter uses of its target: the embedding table and the output matrix. */
import { PacelineError } from '../base/errors.js';
import type { Weight } from '../ggml/weight.js';
import type { LanguageModel } from './model.js';

/** The first of these weights that the target has. @throws {PacelineError} `missing-tensor`. */
export function sharedWeight(target: LanguageModel, ...names: readonly string[]): Weight {
  for (const name of names) {
    const found = target.weights.find((weight) => weight.name === name);
    if (found !== undefined) return found;
  }
  throw new PacelineError(
    'missing-tensor',
    `The target has no ${names.join(' or ')} to share with its drafter`,
  );
}
