/** `POST /paceline/v1/verify`: one text plainly and with drafts, as a stream of JSON lines. */
import type { PacelineError } from '../../../base/errors.js';
import { refuseField } from '../../../chat/refusals.js';
import type { TextRequest } from '../../../chat/request.js';
import type { ProofEvent } from '../../../engine/verify/prove.js';
import type { DialectContext } from '../dialect.js';
import { chatExchange } from '../openai/chat.js';
import { openaiError } from '../openai/common.js';
import { completionExchange } from '../openai/completions.js';

/** The text that a body asks for. @throws {PacelineError} `usage` for what can't be proved. */
export function verifyRequest(given: unknown, context: DialectContext): TextRequest {
  const chat = typeof given === 'object' && given !== null && 'messages' in given;
  const { request, further } = (chat ? chatExchange : completionExchange)(given, context);
  if (further !== undefined) throw refuseField('prompt', 'one text is proved at a time');
  if ((request.choices ?? 1) > 1) throw refuseField('n', 'one text is proved at a time');
  for (const [field, value] of [
    ['response_format', request.format],
    ['reasoning_budget', request.reasoningBudget],
  ] as const) {
    if (value === undefined) continue;
    throw refuseField(field, `a text with ${field} can't be proved here`, 'Leave it out.');
  }
  if (request.tools !== undefined && request.tools.choice.type !== 'none') {
    throw refuseField('tools', "a text that may call tools can't be proved here");
  }
  return request;
}

export function proofLine(event: ProofEvent): string {
  return `${JSON.stringify(event)}\n`;
}

/** The last words of a proof that failed. */
export function proofError(error: PacelineError): string {
  return `${JSON.stringify({ type: 'error', error: openaiError(error) })}\n`;
}
