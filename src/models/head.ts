/** What a model can be asked for, by its head. */
import { PacelineError } from '../base/errors.js';
import type { Tensor } from '../ggml/tensor.js';
import type { ForwardResult, LanguageModel } from './model.js';

/** @throws {PacelineError} `platform` for a model that continues no texts. */
export function requireText({ head }: Pick<LanguageModel, 'head'>): void {
  if (head === 'tokens') return;
  const makes = head === 'classes' ? 'ranks texts' : 'makes vectors of texts';
  throw new PacelineError('platform', `The model ${makes}, and cannot continue one`, {
    hint: `Use it for ${head === 'classes' ? 'ranking' : 'embeddings'}; take another model to generate text.`,
    details: { head, param: 'model' },
  });
}

/** @throws {PacelineError} `platform` as `requireText`, where a model has no logits. */
export function requireLogits({ logits }: Pick<ForwardResult, 'logits'>): Tensor {
  if (logits === undefined) requireText({ head: 'none' });
  return logits as Tensor;
}
