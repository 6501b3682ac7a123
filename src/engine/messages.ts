/** Checks the messages of a conversation before a chat template sees them. */
import { PacelineError } from '../base/errors.js';
import { show } from '../base/options.js';

/** Roles that chat templates know. */
const roles = ['system', 'developer', 'user', 'assistant', 'tool'] as const;

/** Deeper values are no message. */
const deepest = 64;

/**
 * @throws {PacelineError} `usage` for what is no list of messages, an unknown role, content that is
 *   neither text nor parts, cycles, and values that no template can print.
 */
export function checkMessages(messages: unknown): void {
  if (!Array.isArray(messages) || messages.length === 0) {
    throw bad(`A chat needs at least one message, not ${show(messages)}`, []);
  }
  for (const [index, message] of messages.entries()) {
    if (typeof message !== 'object' || message === null || Array.isArray(message)) {
      throw bad(`Message ${index} must be an object, not ${show(message)}`, [index]);
    }
    const { role, content, tool_calls: calls } = message as Readonly<Record<string, unknown>>;
    if (!roles.some((known) => known === role)) {
      const problem = `Message ${index} must have one of the roles ${roles.join(', ')}`;
      throw bad(`${problem}, not ${show(role)}`, [index, 'role']);
    }
    const absent = content === undefined || content === null;
    if (absent ? calls === undefined : typeof content !== 'string' && !Array.isArray(content)) {
      const problem = `Message ${index} must have text or a list of parts as its content`;
      throw bad(`${problem}, not ${show(content)}`, [index, 'content']);
    }
    checkValue(message, [index], []);
  }
}

function checkValue(
  value: unknown,
  path: readonly (string | number)[],
  above: readonly object[],
): void {
  if (typeof value === 'function' || typeof value === 'symbol') {
    throw bad(`A message has ${show(value)}, which is no data`, path);
  }
  if (typeof value !== 'object' || value === null) return;
  if (above.includes(value)) throw bad('A message contains itself', path);
  if (above.length >= deepest) throw bad(`A message is nested more than ${deepest} levels`, path);
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  for (const [key, entry] of entries) checkValue(entry, [...path, String(key)], [...above, value]);
}

function bad(problem: string, path: readonly (string | number)[]): PacelineError {
  return new PacelineError('usage', problem, {
    hint: 'Messages look like { role: "user", content: "Hello" }.',
    details: { field: ['messages', ...path].join('.') },
  });
}
