/**
 * `POST /v1/messages` and `count_tokens`: bodies to internal requests, results to messages, and
 * events to blocks that each begin, go on and stop before the next begins.
 */
import { type ErrorCode, PacelineError } from '../../../base/errors.js';
import {
  type ChoiceEnd,
  promptCounts,
  type StartEvent,
  type TextEvent,
} from '../../../chat/events.js';
import { type TextRequest, type ToolChoice, type ToolUse, toolUse } from '../../../chat/request.js';
import type { ResultPart, TextResult } from '../../../chat/result.js';
import type { ChatMessage } from '../../../engine/types.js';
import {
  checkBody,
  type DialectContext,
  type ErrorAnswer,
  type StreamEncoder,
  sse,
  type TextExchange,
} from '../dialect.js';
import { extensionsOf } from '../openai/common.js';
import { samplingOf, settingsOf } from '../schemas.js';
import { anthropicMessages, withoutStamp } from './input.js';
import { type CountBody, countSchema, messagesSchema } from './messages-schema.js';

/** Thought is not signed: whoever can change it can change the prompt too. */
const signature = 'paceline-unsigned';

/** @throws {PacelineError} `usage` naming the field that is wrong or not supported. */
export function messagesExchange(given: unknown, context: DialectContext): TextExchange {
  refuseThreads(given);
  const body = checkBody(messagesSchema, given);
  const head = { id: context.newId('msg_'), model: body.model };
  const user = body.metadata?.user_id ?? context.header('x-claude-code-session-id');
  return {
    request: {
      ...promptRequest(body),
      settings: settingsOf({
        maxTokens: body.max_tokens,
        ...samplingOf(body),
        stop: body.stop_sequences,
      }),
      ...(user == null ? {} : { affinity: user.slice(0, 200) }),
    },
    stream: body.stream === true,
    body: (result) => message(result, head),
    encoder: () => new MessageEncoder(head),
  };
}

/** The request whose prompt is to be counted. @throws as `messagesExchange` */
export function countRequest(given: unknown): TextRequest {
  refuseThreads(given);
  return promptRequest(checkBody(countSchema, given));
}

/** Clients that know threads fall back to whole conversations on exactly this answer. */
function refuseThreads(given: unknown): void {
  if ((given as { thread?: unknown } | null)?.thread == null) return;
  throw new PacelineError('usage', 'thread: threads are not supported', {
    hint: 'Send the whole conversation with every request.',
    details: { param: 'thread', anthropic: { error_code: 'thread_unsupported_request' } },
  });
}

function promptRequest(body: CountBody): TextRequest {
  const { thinking, output_config: config } = body;
  const system: ChatMessage[] = [];
  const given = typeof body.system === 'string' ? [{ text: body.system }] : (body.system ?? []);
  if (given.length > 0) {
    const content = given.map(({ text }) => withoutStamp(text)).join('\n\n');
    system.push({ role: 'system', content });
  }
  const tools = toolsOf(body);
  const format = config?.format ?? body.output_format;
  const effort = config?.effort;
  const budget = thinking?.type === 'enabled' ? thinking.budget_tokens : undefined;
  return {
    model: body.model,
    input: {
      type: 'chat',
      messages: [...system, ...anthropicMessages(body.messages)],
      thinking: thinking !== undefined && thinking.type !== 'disabled',
      ...(effort == null ? {} : { variables: { reasoning_effort: effort } }),
    },
    settings: {},
    ...(format == null ? {} : { format: { type: 'json-schema', schema: format.schema } }),
    ...(tools === undefined ? {} : { tools }),
    ...(budget === undefined ? {} : { reasoningBudget: budget }),
  };
}

function toolsOf({ tools = [], tool_choice: choice }: CountBody): ToolUse | undefined {
  const definitions = tools.map(({ name, description, input_schema: parameters, strict }) => ({
    name,
    ...(description === undefined ? {} : { description }),
    parameters,
    ...(strict === undefined ? {} : { strict }),
  }));
  const chosen: ToolChoice | undefined =
    choice === undefined
      ? undefined
      : choice.type === 'tool'
        ? { type: 'named', name: choice.name }
        : { type: choice.type === 'any' ? 'required' : choice.type };
  const single = choice !== undefined && 'disable_parallel_tool_use' in choice;
  const parallel = !(single && choice.disable_parallel_tool_use === true);
  return toolUse(definitions, chosen, parallel);
}

interface Head {
  readonly id: string;
  readonly model: string;
}

function usage(start: StartEvent, end?: ChoiceEnd) {
  const { promptTokens, cachedTokens } = promptCounts(start, end === undefined ? [] : [end]);
  return {
    input_tokens: promptTokens - cachedTokens,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cachedTokens,
    output_tokens: end?.tokens ?? 0,
    service_tier: 'standard',
  };
}

function stopReason({ reason, stopText }: ChoiceEnd) {
  const reasons = {
    stop: 'end_turn',
    'stop-text': 'stop_sequence',
    length: 'max_tokens',
    'tool-calls': 'tool_use',
  } as const;
  return { stop_reason: reasons[reason], stop_sequence: stopText ?? null };
}

function message({ start, choices }: TextResult, head: Head): unknown {
  const choice = choices[0];
  if (choice === undefined) throw new PacelineError('internal', 'A message without a text');
  return {
    ...head,
    type: 'message',
    role: 'assistant',
    content: choice.parts.map(contentBlock),
    ...stopReason(choice.end),
    usage: usage(start, choice.end),
    ...extensionsOf(choice.end),
  };
}

function contentBlock(part: ResultPart): unknown {
  if (part.type === 'text') return { type: 'text', text: part.text };
  if (part.type === 'reasoning') return { type: 'thinking', thinking: part.text, signature };
  const { id, name, arguments: text } = part.call;
  return { type: 'tool_use', id, name, input: parsedInput(text) };
}

/** Arguments that were cut off are no JSON; an object is what clients need. */
function parsedInput(text: string): unknown {
  try {
    return JSON.parse(text === '' ? '{}' : text);
  } catch {
    return {};
  }
}

class MessageEncoder implements StreamEncoder {
  readonly contentType = 'text/event-stream';
  readonly #head: Head;
  #start: StartEvent | undefined;
  #end: ChoiceEnd | undefined;
  /** Kind of the block that is open, and the position of the next one. */
  #open: 'text' | 'reasoning' | 'tool' | undefined;
  #index = 0;

  constructor(head: Head) {
    this.#head = head;
  }

  events(batch: readonly TextEvent[]): string {
    return batch.map((event) => this.#event(event)).join('');
  }

  #event(event: TextEvent): string {
    switch (event.type) {
      case 'start':
        this.#start = event;
        return say('message_start', {
          message: {
            ...this.#head,
            type: 'message',
            role: 'assistant',
            content: [],
            stop_reason: null,
            stop_sequence: null,
            usage: usage(event),
          },
        });
      case 'text':
        if (event.text === '') return '';
        return (
          this.#enter('text', { type: 'text', text: '' }) +
          this.#delta({ type: 'text_delta', text: event.text })
        );
      case 'reasoning':
        return (
          this.#enter('reasoning', { type: 'thinking', thinking: '', signature: '' }) +
          this.#delta({ type: 'thinking_delta', thinking: event.text })
        );
      case 'tool-start': {
        const { id, name } = event;
        return this.#leave() + this.#enter('tool', { type: 'tool_use', id, name, input: {} });
      }
      case 'tool-arguments':
        return this.#delta({ type: 'input_json_delta', partial_json: event.text });
      case 'tool-end':
        return this.#leave();
      case 'progress':
        return '';
      case 'end':
        this.#end = event;
        return this.#leave();
    }
  }

  #enter(kind: 'text' | 'reasoning' | 'tool', block: object): string {
    if (this.#open === kind && kind !== 'tool') return '';
    const left = this.#leave();
    this.#open = kind;
    return left + say('content_block_start', { index: this.#index, content_block: block });
  }

  #delta(delta: object): string {
    return say('content_block_delta', { index: this.#index, delta });
  }

  #leave(): string {
    if (this.#open === undefined) return '';
    const signed =
      this.#open === 'reasoning' ? this.#delta({ type: 'signature_delta', signature }) : '';
    this.#open = undefined;
    return signed + say('content_block_stop', { index: this.#index++ });
  }

  error(error: PacelineError): string {
    return say('error', { error: anthropicError(error) });
  }

  end(): string {
    const [start, end] = [this.#start, this.#end];
    if (start === undefined || end === undefined) return '';
    return (
      say('message_delta', {
        delta: stopReason(end),
        usage: usage(start, end),
        ...extensionsOf(end),
      }) + say('message_stop', {})
    );
  }

  ping(): string {
    return say('ping', {});
  }
}

function say(type: string, fields: object): string {
  return sse({ type, ...fields }, type);
}

const types: Partial<Record<ErrorCode, string>> = {
  unauthorized: 'authentication_error',
  forbidden: 'permission_error',
  'model-not-found': 'not_found_error',
  'not-found': 'not_found_error',
  'too-large': 'request_too_large',
  busy: 'rate_limit_error',
  unavailable: 'overloaded_error',
};

function anthropicError(error: PacelineError): Record<string, unknown> {
  const { code, hint, details } = error;
  // The wording by which clients know that they have to compact the conversation.
  const message =
    code === 'context-overflow'
      ? `prompt is too long: ${details.promptTokens} tokens > ${details.contextLength} maximum`
      : error.message;
  const type = types[code] ?? (error.httpStatus < 500 ? 'invalid_request_error' : 'api_error');
  const extra = details.anthropic;
  return {
    type,
    message: hint === undefined ? message : `${message}. ${hint}`,
    ...(extra === undefined ? {} : { details: extra }),
  };
}

export function anthropicErrorAnswer(error: PacelineError, requestId: string): ErrorAnswer {
  return {
    status: error.httpStatus,
    body: { type: 'error', error: anthropicError(error), request_id: requestId },
  };
}
