/**
 * A conversation in the plainer forms that strict templates want, which say the same. Nothing is ever
 * left out. Knows no template.
 */
import { createHash } from 'node:crypto';
import { isRecord } from '../base/records.js';
import type { ChatMessage } from '../engine/types.js';

/** From what was sent to what the strictest template takes; the first that is taken is used. */
export const messageForms: readonly ((
  messages: readonly ChatMessage[],
) => readonly ChatMessage[])[] = [
  (messages) => messages,
  plainly,
  (messages) => withShortIds(plainly(messages)),
  (messages) => withShortIds(afterResults(plainly(messages))),
  (messages) => withoutSystem(plainly(messages)),
];

/** System messages only at the start, roles in turn, arguments that are objects. */
function plainly(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const result: ChatMessage[] = [];
  for (const message of messages) {
    const late = message.role === 'system' && result.some(({ role }) => role !== 'system');
    const next = withObjectArguments(late ? { ...message, role: 'user' } : message);
    const last = result.at(-1);
    const mergeable = last?.role === next.role && next.role !== 'tool' && !last.tool_calls;
    if (last !== undefined && mergeable) {
      result[result.length - 1] = {
        ...last,
        ...next,
        content: [last.content, next.content].filter((text) => text !== '').join('\n\n'),
      };
    } else {
      result.push(next);
    }
  }
  return result;
}

function withObjectArguments(message: ChatMessage): ChatMessage {
  if (!Array.isArray(message.tool_calls)) return message;
  return {
    ...message,
    tool_calls: message.tool_calls.map((call: { function?: { arguments?: unknown } }) => {
      const given = call.function?.arguments;
      if (typeof given !== 'string' || isObject(given)) return call;
      return { ...call, function: { ...call.function, arguments: { malformed: given } } };
    }),
  };
}

/** Ids of calls as the templates of Mistral want them: nine letters and digits. */
function withShortIds(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const short = (id: unknown): string =>
    createHash('sha256').update(String(id)).digest('hex').slice(0, 9);
  return messages.map((message) => {
    const { tool_calls: calls, tool_call_id: id } = message;
    return {
      ...message,
      ...(id === undefined ? {} : { tool_call_id: short(id) }),
      ...(Array.isArray(calls)
        ? { tool_calls: calls.map((call: { id?: unknown }) => ({ ...call, id: short(call.id) })) }
        : {}),
    };
  });
}

/** What the user says after the result of a tool as a part of that result. */
function afterResults(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const result: ChatMessage[] = [];
  for (const message of messages) {
    const last = result.at(-1);
    if (message.role === 'user' && last?.role === 'tool') {
      result[result.length - 1] = { ...last, content: `${last.content}\n\n${message.content}` };
    } else {
      result.push(message);
    }
  }
  return result;
}

/** The system message as the beginning of the first message of the user. */
function withoutSystem(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const [system, first, ...rest] = messages;
  if (system?.role !== 'system') return messages;
  if (first?.role !== 'user') return [{ ...system, role: 'user' }, ...messages.slice(1)];
  return [{ ...first, content: `${system.content}\n\n${first.content}` }, ...rest];
}

function isObject(text: string): boolean {
  try {
    return isRecord(JSON.parse(text.trim() || '{}'));
  } catch {
    return false;
  }
}
