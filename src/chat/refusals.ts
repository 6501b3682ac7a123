/** The errors of requests that are wrong, with the field that is meant, as every dialect words them. */
import { PacelineError } from '../base/errors.js';

/** A field of a request that is wrong or not supported; `param` is its path, as in `messages.0.role`. */
export function refuseField(param: string, message: string, hint?: string): PacelineError {
  return new PacelineError('usage', message, {
    ...(hint === undefined ? {} : { hint }),
    details: { param },
  });
}

/** The prompt is longer than the context: the dialects say it in their own words, with both counts. */
export function contextOverflow(promptTokens: number, contextLength: number): PacelineError {
  return new PacelineError(
    'context-overflow',
    `The prompt has ${promptTokens} tokens, and the context holds ${contextLength}`,
    {
      hint: 'Shorten the prompt, or give the model a longer context (--ctx, contextLength).',
      details: { promptTokens, contextLength },
    },
  );
}
