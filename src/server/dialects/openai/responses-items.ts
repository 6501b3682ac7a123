/** Items of the Responses API: input items to messages of a conversation, results to output items. */

import { type ChoiceEnd, promptCounts, type StartEvent } from '../../../chat/events.js';
import { refuseField } from '../../../chat/refusals.js';
import type { ToolDefinition } from '../../../chat/request.js';
import type { ChatMessage } from '../../../engine/types.js';
import { textOf } from './chat.js';
import { toolDefinition } from './common.js';
import type { InputItem, ResponseBody } from './responses-schema.js';

export type OutputItem = Readonly<Record<string, unknown>> & {
  readonly id: string;
  readonly type: 'message' | 'reasoning' | 'function_call';
};

/** Tools of a namespace are called `namespace.name` by the model. */
const separator = '.';

export function qualifiedName(name: string, namespace: string | null | undefined): string {
  return namespace == null || namespace === '' ? name : namespace + separator + name;
}

/** The tools that the model is told of. */
export function functionsOf(tools: ResponseBody['tools']): ToolDefinition[] {
  return (tools ?? []).flatMap((tool) => {
    if (tool.type === 'function') return [toolDefinition(tool)];
    if (tool.type !== 'namespace') return [];
    return tool.tools.map((one) => ({
      ...toolDefinition(one),
      name: qualifiedName(one.name, tool.name),
    }));
  });
}

/** A name as the model said it, as the API has it. */
function splitName(name: string, tools: ResponseBody['tools']) {
  for (const tool of tools ?? []) {
    if (tool.type !== 'namespace') continue;
    const prefix = tool.name + separator;
    if (name.startsWith(prefix)) return { name: name.slice(prefix.length), namespace: tool.name };
  }
  return { name };
}

/** The conversation that items describe. Thought and calls join the assistant's message. */
export function messagesOf(items: readonly InputItem[]): ChatMessage[] {
  const messages: ChatMessage[] = [];
  let reasoning = '';
  const assistant = (): ChatMessage => {
    const last = messages.at(-1);
    if (last?.role === 'assistant') return last;
    const fresh: ChatMessage = { role: 'assistant', content: '', ...thought(reasoning) };
    reasoning = '';
    messages.push(fresh);
    return fresh;
  };
  for (const [index, item] of items.entries()) {
    const path = `input.${index}`;
    switch (item.type) {
      case 'reasoning':
        reasoning += (item.content ?? []).map(({ text }) => text ?? '').join('');
        break;
      case 'function_call': {
        const message = assistant();
        const call = {
          id: item.call_id,
          type: 'function',
          function: { name: qualifiedName(item.name, item.namespace), arguments: item.arguments },
        };
        const calls = Array.isArray(message.tool_calls) ? message.tool_calls : [];
        messages[messages.length - 1] = { ...message, tool_calls: [...calls, call] };
        break;
      }
      case 'function_call_output':
        messages.push({
          role: 'tool',
          content: textOf(item.output, `${path}.output`),
          ...(item.call_id == null ? {} : { tool_call_id: item.call_id }),
        });
        break;
      default: {
        const content = textOf(item.content, `${path}.content`);
        const role = item.role === 'developer' ? 'system' : item.role;
        messages.push({ role, content, ...(role === 'assistant' ? thought(reasoning) : {}) });
        if (role === 'assistant') reasoning = '';
      }
    }
  }
  if (messages.length === 0) throw refuseField('input', 'The input has no messages');
  return messages;
}

function thought(reasoning: string): { reasoning_content?: string } {
  return reasoning === '' ? {} : { reasoning_content: reasoning };
}

export function messageItem(
  id: string,
  text: string,
  status: string,
  logprobs: readonly unknown[] = [],
): OutputItem {
  const content = status === 'in_progress' ? [] : [textPart(text, logprobs)];
  return { id, type: 'message', status, role: 'assistant', content };
}

export function textPart(text: string, logprobs: readonly unknown[] = []) {
  return { type: 'output_text', text, annotations: [], logprobs };
}

export function reasoningItem(id: string, text: string, status: string): OutputItem {
  const content = status === 'in_progress' ? [] : [{ type: 'reasoning_text', text }];
  return { id, type: 'reasoning', status, summary: [], content, encrypted_content: null };
}

export function callItem(
  id: string,
  call: { readonly id: string; readonly name: string; readonly arguments: string },
  status: string,
  tools: ResponseBody['tools'],
): OutputItem {
  return {
    id,
    type: 'function_call',
    status,
    call_id: call.id,
    ...splitName(call.name, tools),
    arguments: call.arguments,
  };
}

export function responseUsage(start: StartEvent, end: ChoiceEnd) {
  const { draft } = end;
  const { promptTokens, cachedTokens } = promptCounts(start, [end]);
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: cachedTokens },
    output_tokens: end.tokens,
    output_tokens_details: {
      reasoning_tokens: end.reasoningTokens,
      accepted_prediction_tokens: draft.accepted,
      rejected_prediction_tokens: draft.drafted - draft.accepted,
    },
    total_tokens: promptTokens + end.tokens,
  };
}
