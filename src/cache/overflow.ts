/** The error of a sequence that has no room left. */
import { PacelineError } from '../base/errors.js';

/** `context-overflow`, with both counts. */
export function contextOverflow(needed: number, capacity: number): PacelineError {
  const problem = `${needed} tokens do not fit into the context of ${capacity}`;
  return new PacelineError('context-overflow', problem, {
    hint: 'Shorten the prompt, or load the model with a larger contextLength.',
    details: { promptTokens: needed, contextLength: capacity },
  });
}
