/** Which requests belong together: what agents say of it, else the beginning of the conversation. */
import { createHash } from 'node:crypto';
import type { TextRequest } from '../../chat/request.js';

/** Characters of a text by which it is known. */
const telling = 2000;

/** A short key of the conversation; equal for all of its turns. */
export function conversationOf(request: TextRequest): string {
  const { affinity, input, model } = request;
  if (affinity !== undefined) return digest([model, affinity]);
  if (input.type === 'tokens') return digest([model, ...input.tokens.slice(0, 256).map(String)]);
  if (input.type === 'text') return digest([model, input.text.slice(0, telling)]);
  const first = input.messages.findIndex(({ role }) => role === 'user');
  const beginning = input.messages.slice(0, first + 1);
  return digest([model, ...beginning.map(({ role, content }) => role + content.slice(0, telling))]);
}

function digest(parts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('base64url').slice(0, 22);
}
