/** Blocks of the Messages API to messages of a conversation. Nothing in them is left out silently. */

import { refuseField } from '../../../chat/refusals.js';
import type { ChatMessage } from '../../../engine/types.js';
import type { MessageBody } from './messages-schema.js';

type Block = Readonly<Record<string, unknown>> & { readonly type: string };

/**
 * Claude Code begins its system prompt with a line for its provider, in which a checksum is another
 * at every turn. It says nothing to a model, and would cost the whole prompt: here it is always the same.
 */
export function withoutStamp(system: string): string {
  if (!system.startsWith('x-anthropic-billing-header:')) return system;
  return system.replace(/^([^\n]{0,400}?\bcch=)[0-9a-f]+/i, (_, before: string) => `${before}0`);
}

/** @throws {PacelineError} `usage` for blocks that are no text, by name. */
export function anthropicMessages(messages: readonly MessageBody[]): ChatMessage[] {
  if (messages.at(-1)?.role === 'assistant') {
    throw refuseField(
      `messages.${messages.length - 1}.role`,
      'The conversation ends with a message of the assistant: beginning its answer is not supported',
      'End the conversation with a user message.',
    );
  }
  return messages.flatMap(({ role, content }, index) => {
    const path = `messages.${index}.content`;
    const blocks: readonly Block[] =
      typeof content === 'string' ? [{ type: 'text', text: content }] : content;
    if (role === 'assistant') return [assistantMessage(blocks, path)];
    return otherMessages(role, blocks, path);
  });
}

function assistantMessage(blocks: readonly Block[], path: string): ChatMessage {
  let text = '';
  let reasoning = '';
  const calls: unknown[] = [];
  for (const [index, block] of blocks.entries()) {
    const at = `${path}.${index}`;
    if (block.type === 'tool_use') {
      const name = stringOf(block, 'name', at);
      const { id, input } = block;
      const given = typeof input === 'string' ? input : JSON.stringify(input ?? {});
      calls.push({ id, type: 'function', function: { name, arguments: given } });
    } else if (block.type === 'thinking') {
      reasoning += stringOf(block, 'thinking', at);
    } else if (block.type !== 'redacted_thinking') {
      // Redacted thought is for its provider's eyes; to every other model it says nothing.
      text += textOfBlock(block, at);
    }
  }
  return {
    role: 'assistant',
    content: text,
    ...(reasoning === '' ? {} : { reasoning_content: reasoning }),
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
  };
}

/** Results of tools become messages of their own, in the order in which they stand. */
function otherMessages(
  role: 'user' | 'system',
  blocks: readonly Block[],
  path: string,
): ChatMessage[] {
  const messages: ChatMessage[] = [];
  let texts: string[] = [];
  const flush = (): void => {
    if (texts.length > 0) messages.push({ role, content: texts.join('\n\n') });
    texts = [];
  };
  for (const [index, block] of blocks.entries()) {
    const at = `${path}.${index}`;
    if (block.type !== 'tool_result') {
      texts.push(textOfBlock(block, at));
      continue;
    }
    flush();
    const id = stringOf(block, 'tool_use_id', at);
    messages.push({ role: 'tool', content: toolResult(block, at), tool_call_id: id });
  }
  flush();
  return messages.length === 0 ? [{ role, content: '' }] : messages;
}

function toolResult(block: Block, path: string): string {
  const { content, is_error: failed } = block;
  const text =
    content == null
      ? ''
      : typeof content === 'string'
        ? content
        : blocksOf(content, path)
            .map((part, index) => textOfBlock(part, `${path}.content.${index}`))
            .join('\n');
  return failed === true ? `Error: ${text}` : text;
}

function blocksOf(content: unknown, path: string): readonly Block[] {
  const isBlock = (part: unknown): part is Block =>
    typeof (part as { type?: unknown } | null)?.type === 'string';
  if (Array.isArray(content) && content.every(isBlock)) return content;
  throw refuseField(`${path}.content`, `${path}.content must be a text or a list of blocks`);
}

function textOfBlock(block: Block, path: string): string {
  if (block.type === 'text') return stringOf(block, 'text', path);
  throw refuseField(
    path,
    `${path}: content of type ${JSON.stringify(block.type)} is not supported`,
    'This server reads text only: no images, documents or references.',
  );
}

function stringOf(block: Block, field: string, path: string): string {
  const value = block[field];
  if (typeof value === 'string') return value;
  throw refuseField(`${path}.${field}`, `${path}.${field} must be a text`);
}
