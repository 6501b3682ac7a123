/** `POST /v1/chat/completions`: bodies to internal requests, results and events to the API's shapes. */
import type { PacelineError } from '../../../base/errors.js';
import type { ChoiceEnd, StartEvent, TextEvent } from '../../../chat/events.js';
import { refuseField } from '../../../chat/refusals.js';
import { type TextRequest, type ToolChoice, toolUse } from '../../../chat/request.js';
import type { ChoiceResult, TextResult } from '../../../chat/result.js';
import type { ChatMessage } from '../../../engine/types.js';
import {
  checkBody,
  type DialectContext,
  type StreamEncoder,
  sse,
  type TextExchange,
} from '../dialect.js';
import { samplingOf, settingsOf, stopList } from '../schemas.js';
import { type ChatBody, type ChatMessageBody, chatSchema } from './chat-schema.js';
import {
  affinityOf,
  checkStreamOptions,
  detailsOf,
  extensionsOf,
  finishReason,
  logprobContent,
  logprobSetting,
  openaiError,
  openaiUsage,
  responseFormat,
  stopReason,
  toolDefinition,
} from './common.js';

/** @throws {PacelineError} `usage` naming the field that is wrong or not supported. */
export function chatExchange(given: unknown, context: DialectContext): TextExchange {
  const body = checkBody(chatSchema, given);
  checkStreamOptions(body);
  if (body.top_logprobs !== undefined && body.logprobs !== true) {
    throw refuseField('top_logprobs', 'top_logprobs needs logprobs: true');
  }
  const head = {
    id: context.newId('chatcmpl-'),
    created: Math.floor(context.now() / 1000),
    model: body.model,
  };
  return {
    request: chatRequest(body, context),
    stream: body.stream === true,
    body: (result) => chatCompletion(result, body, head),
    encoder: () => new ChatEncoder(body, head),
  };
}

function chatRequest(body: ChatBody, context: DialectContext): TextRequest {
  const tools = toolUse(
    (body.tools ?? []).map((tool) => toolDefinition(tool.function)),
    toolChoice(body.tool_choice),
    body.parallel_tool_calls ?? true,
  );
  const format = responseFormat(body.response_format);
  const effort = body.reasoning_effort;
  const affinity = affinityOf(body.prompt_cache_key, context.header);
  const variables = {
    ...(effort === undefined ? {} : { reasoning_effort: effort }),
    ...body.chat_template_kwargs,
  };
  return {
    model: body.model,
    input: {
      type: 'chat',
      messages: body.messages.map(toMessage),
      ...(effort === undefined ? {} : { thinking: effort !== 'none' }),
      ...(Object.keys(variables).length > 0 ? { variables } : {}),
    },
    settings: settingsOf({
      maxTokens: body.max_completion_tokens ?? body.max_tokens,
      ...samplingOf(body),
      stop: stopList(body.stop),
      logprobs: logprobSetting(body.logprobs === true, body.top_logprobs ?? 0),
    }),
    ...(body.n === undefined ? {} : { choices: body.n }),
    ...(format === undefined ? {} : { format }),
    ...(tools === undefined ? {} : { tools }),
    ...(body.reasoning_budget === undefined ? {} : { reasoningBudget: body.reasoning_budget }),
    ...(body.details === true ? { details: true } : {}),
    ...(affinity === undefined ? {} : { affinity }),
  };
}

function toolChoice(choice: ChatBody['tool_choice']): ToolChoice | undefined {
  if (choice === undefined) return undefined;
  if (typeof choice === 'string') return { type: choice };
  return { type: 'named', name: choice.function.name };
}

function toMessage(message: ChatMessageBody, index: number): ChatMessage {
  const content = textOf(message.content, `messages.${index}.content`);
  if (message.role === 'assistant') {
    const reasoning = message.reasoning_content ?? message.reasoning;
    return {
      role: 'assistant',
      content: content === '' ? (message.refusal ?? '') : content,
      ...(reasoning == null ? {} : { reasoning_content: reasoning }),
      ...(message.tool_calls == null || message.tool_calls.length === 0
        ? {}
        : { tool_calls: message.tool_calls.map((call) => ({ type: 'function', ...call })) }),
    };
  }
  if (message.role === 'tool') {
    const { tool_call_id: id } = message;
    return { role: 'tool', content, ...(id === undefined ? {} : { tool_call_id: id }) };
  }
  const role = message.role === 'developer' ? 'system' : message.role;
  return { role, content, ...(message.name === undefined ? {} : { name: message.name }) };
}

/** The text of a content. @throws {PacelineError} `usage` for parts that are no text, by name. */
export function textOf(
  content: string | readonly { readonly type: string }[] | null | undefined,
  path: string,
): string {
  if (typeof content === 'string') return content;
  return (content ?? [])
    .map((part, index) => {
      const { type, text, refusal } = part as { type: string; text?: unknown; refusal?: unknown };
      const said = type === 'refusal' ? refusal : text;
      const known = ['text', 'input_text', 'output_text', 'refusal', 'summary_text'];
      if (known.includes(type) && typeof said === 'string') return said;
      throw refuseField(
        `${path}.${index}`,
        known.includes(type)
          ? `${path}.${index}: a part of type ${type} needs a text`
          : `${path}.${index}: content of type ${JSON.stringify(type)} is not supported`,
        'This server reads text only: no images, audio or files.',
      );
    })
    .join('');
}

interface Head {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

function chatCompletion({ start, choices }: TextResult, body: ChatBody, head: Head): unknown {
  const ends = choices.map(({ end }) => end);
  return {
    ...head,
    object: 'chat.completion',
    choices: choices.map((choice, index) => ({
      index,
      message: assistantMessage(choice),
      logprobs:
        body.logprobs === true
          ? { content: logprobContent(choice.logprobs, body.top_logprobs ?? 0), refusal: null }
          : null,
      finish_reason: finishReason(choice.end),
      ...stopReason(choice.end),
    })),
    usage: openaiUsage(start, ends),
    system_fingerprint: null,
    service_tier: 'default',
    ...(ends[0] === undefined ? {} : { ...extensionsOf(ends[0]) }),
  };
}

function assistantMessage({ text, reasoning, toolCalls }: ChoiceResult): unknown {
  return {
    role: 'assistant',
    content: text === '' && toolCalls.length > 0 ? null : text,
    refusal: null,
    ...(reasoning === '' ? {} : { reasoning_content: reasoning }),
    ...(toolCalls.length === 0
      ? {}
      : {
          tool_calls: toolCalls.map(({ id, name, arguments: text }) => ({
            id,
            type: 'function',
            function: { name, arguments: text },
          })),
        }),
  };
}

class ChatEncoder implements StreamEncoder {
  readonly contentType = 'text/event-stream';
  readonly #body: ChatBody;
  readonly #head: Head;
  readonly #withUsage: boolean;
  readonly #ends: ChoiceEnd[] = [];
  #start: StartEvent | undefined;

  constructor(body: ChatBody, head: Head) {
    this.#body = body;
    this.#head = head;
    this.#withUsage = body.stream_options?.include_usage === true;
  }

  events(batch: readonly TextEvent[]): string {
    return batch.map((event) => this.#event(event)).join('');
  }

  #event(event: TextEvent): string {
    switch (event.type) {
      case 'start':
        this.#start = event;
        return Array.from({ length: this.#body.n ?? 1 }, (_, choice) =>
          this.#chunk(choice, { role: 'assistant', content: '', refusal: null }, {}, event),
        ).join('');
      case 'progress':
        return this.#body.details === true ? this.#chunk(0, {}, {}, event) : '';
      case 'tool-end':
        return '';
      case 'text': {
        if (event.text === '' && event.logprobs === undefined) return '';
        const alternatives = this.#body.top_logprobs ?? 0;
        const logprobs = event.logprobs && {
          content: logprobContent(event.logprobs, alternatives),
          refusal: null,
        };
        return this.#chunk(
          event.choice,
          { content: event.text },
          logprobs ? { logprobs } : {},
          event,
        );
      }
      case 'reasoning':
        return this.#chunk(event.choice, { reasoning_content: event.text }, {}, event);
      case 'tool-start': {
        const { index, id, name } = event;
        const call = { index, id, type: 'function', function: { name, arguments: '' } };
        return this.#chunk(event.choice, { tool_calls: [call] });
      }
      case 'tool-arguments': {
        const call = { index: event.index, function: { arguments: event.text } };
        return this.#chunk(event.choice, { tool_calls: [call] });
      }
      case 'end':
        this.#ends.push(event);
        return this.#chunk(
          event.choice,
          {},
          { finish_reason: finishReason(event), ...stopReason(event) },
          event,
        );
    }
  }

  #chunk(index: number, delta: unknown, more: object = {}, event?: TextEvent): string {
    return sse({
      ...this.#head,
      object: 'chat.completion.chunk',
      system_fingerprint: null,
      choices: [{ index, delta, logprobs: null, finish_reason: null, ...more }],
      ...(this.#withUsage ? { usage: null } : {}),
      ...(event?.type === 'end' ? extensionsOf(event) : {}),
      ...(event !== undefined && this.#body.details === true ? detailsOf(event) : {}),
    });
  }

  error(error: PacelineError): string {
    return sse({ error: openaiError(error) });
  }

  end(): string {
    const usage =
      this.#withUsage && this.#start !== undefined
        ? sse({
            ...this.#head,
            object: 'chat.completion.chunk',
            system_fingerprint: null,
            choices: [],
            usage: openaiUsage(this.#start, this.#ends),
          })
        : '';
    return `${usage}data: [DONE]\n\n`;
  }

  ping(): string {
    return ': keep-alive\n\n';
  }
}
