/**
 * Tools for templates that know none: the model is told of them in the system message, and earlier
 * calls and results are written into the conversation, all in the format of Hermes, in which the
 * answer's calls are then read too.
 */
import type { ChatMessage } from '../engine/types.js';
import type { ToolDefinition, ToolUse } from './request.js';

/** A tool as templates read it. */
export function functionTool({ name, description, parameters }: ToolDefinition) {
  return {
    type: 'function',
    // Templates print both without asking whether they are there.
    function: {
      name,
      description: description ?? '',
      parameters: { type: 'object', properties: {}, ...parameters },
    },
  };
}

/** The conversation with its tools, calls and results as text. */
export function writeTools(
  messages: readonly ChatMessage[],
  use: ToolUse | undefined,
): readonly ChatMessage[] {
  const written = messages.map(writeMessage);
  if (use === undefined) return written;
  const lines = use.definitions.map((tool) => JSON.stringify(functionTool(tool)));
  const text = [
    'You may call these functions, described by JSON schemas:',
    '<tools>',
    ...lines,
    '</tools>',
    'To call one, write its name and its arguments like this:',
    '<tool_call>',
    '{"name": "function", "arguments": {"argument": "value"}}',
    '</tool_call>',
  ].join('\n');
  const [first, ...rest] = written;
  if (first?.role !== 'system') return [{ role: 'system', content: text }, ...written];
  return [{ ...first, content: `${first.content}\n\n${text}` }, ...rest];
}

function writeMessage(message: ChatMessage): ChatMessage {
  if (message.role === 'tool') {
    return { role: 'user', content: `<tool_response>\n${message.content}\n</tool_response>` };
  }
  const { tool_calls: calls, ...rest } = message;
  if (!Array.isArray(calls)) return message;
  const texts = calls.map((call: { function?: { name?: unknown; arguments?: unknown } }) => {
    const { name, arguments: given } = call.function ?? {};
    const json = typeof given === 'string' ? given : JSON.stringify(given ?? {});
    return `<tool_call>\n{"name": ${JSON.stringify(name)}, "arguments": ${json}}\n</tool_call>`;
  });
  const { role, content } = rest;
  return { ...rest, role, content: [content, ...texts].filter((text) => text !== '').join('\n') };
}
