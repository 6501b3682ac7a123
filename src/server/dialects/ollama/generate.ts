/**
 * Ollama's `POST /api/chat` and `/api/generate`: bodies to internal requests, results to one object,
 * events to lines of JSON of which the last says `done`.
 */
import type { PacelineError } from '../../../base/errors.js';
import {
  type ChoiceEnd,
  promptCounts,
  type StartEvent,
  type TextEvent,
} from '../../../chat/events.js';
import {
  type OutputFormat,
  type PromptInput,
  type TextRequest,
  toolUse,
} from '../../../chat/request.js';
import type { TextResult } from '../../../chat/result.js';
import type { ChatMessage } from '../../../engine/types.js';
import {
  checkBody,
  type DialectContext,
  type ErrorAnswer,
  type StreamEncoder,
  type TextExchange,
} from '../dialect.js';
import { extensionsOf, toolDefinition } from '../openai/common.js';
import { settingsOf, stopList } from '../schemas.js';
import {
  type OllamaChatBody,
  type OllamaGenerateBody,
  ollamaChatSchema,
  ollamaGenerateSchema,
} from './schema.js';

/** A request without a prompt loads a model, or unloads it. */
export interface OllamaLoad {
  readonly load: 'load' | 'unload';
  readonly model: string;
  readonly body: unknown;
}

type Kind = 'chat' | 'generate';

/** @throws {PacelineError} `usage` naming the field that is wrong or not supported. */
export function ollamaChat(given: unknown, context: DialectContext): TextExchange | OllamaLoad {
  const body = checkBody(ollamaChatSchema, given);
  if (body.messages === undefined || body.messages.length === 0) {
    return loadOnly(body, 'chat', context);
  }
  const tools = toolUse(
    (body.tools ?? []).map((tool) => toolDefinition(tool.function)),
    undefined,
    true,
  );
  return exchange(body, 'chat', context, {
    input: {
      type: 'chat',
      messages: body.messages.map(toMessage),
      ...thinkingOf(body),
    },
    ...(tools === undefined ? {} : { tools }),
  });
}

/** @throws as `ollamaChat` */
export function ollamaGenerate(given: unknown, context: DialectContext): TextExchange | OllamaLoad {
  const body = checkBody(ollamaGenerateSchema, given);
  const { prompt = '', system } = body;
  if (prompt === '') return loadOnly(body, 'generate', context);
  const messages: ChatMessage[] = [{ role: 'user', content: prompt }];
  if (system !== undefined && system !== '') messages.unshift({ role: 'system', content: system });
  const input: PromptInput =
    body.raw === true
      ? { type: 'text', text: prompt }
      : { type: 'chat', messages, ...thinkingOf(body) };
  return exchange(body, 'generate', context, { input });
}

type Body = OllamaChatBody | OllamaGenerateBody;

function loadOnly(body: Body, kind: Kind, context: DialectContext): OllamaLoad {
  const load = body.keep_alive === 0 || body.keep_alive === '0' ? 'unload' : 'load';
  const answer = line(kind, body.model, context, { text: '' });
  return { load, model: body.model, body: { ...answer, done: true, done_reason: load } };
}

function exchange(
  body: Body,
  kind: Kind,
  context: DialectContext,
  request: Pick<TextRequest, 'input' | 'tools'>,
): TextExchange {
  const { options = {} } = body;
  const format = formatOf(body.format);
  const limit = options.num_predict;
  return {
    request: {
      ...request,
      model: body.model,
      settings: settingsOf({
        maxTokens: limit === undefined || limit < 0 ? undefined : limit,
        temperature: options.temperature,
        topK: options.top_k,
        topP: options.top_p,
        minP: options.min_p,
        repetitionPenalty: options.repeat_penalty,
        penaltyWindow: options.repeat_last_n,
        presencePenalty: options.presence_penalty,
        frequencyPenalty: options.frequency_penalty,
        seed: options.seed === -1 ? undefined : options.seed,
        stop: stopList(options.stop),
      }),
      ...(format === undefined ? {} : { format }),
    },
    stream: body.stream ?? true,
    body: (result) => whole(result, kind, body.model, context),
    encoder: () => new OllamaEncoder(kind, body.model, context),
  };
}

function thinkingOf({ think }: Body) {
  if (think === undefined) return {};
  if (typeof think === 'boolean') return { thinking: think };
  return { thinking: true, variables: { reasoning_effort: think } };
}

function formatOf(format: Body['format']): OutputFormat | undefined {
  if (format === undefined || format === '') return undefined;
  return format === 'json' ? { type: 'json' } : { type: 'json-schema', schema: format };
}

function toMessage(message: NonNullable<OllamaChatBody['messages']>[number]): ChatMessage {
  const { role, content, thinking, tool_calls: calls, tool_name: tool, tool_call_id: id } = message;
  return {
    role,
    content: content ?? '',
    ...(thinking == null || thinking === '' ? {} : { reasoning_content: thinking }),
    ...(tool == null ? {} : { name: tool }),
    ...(id == null ? {} : { tool_call_id: id }),
    ...(calls == null || calls.length === 0
      ? {}
      : {
          tool_calls: calls.map((call) => {
            const { name, arguments: given = {} } = call.function;
            const text = typeof given === 'string' ? given : JSON.stringify(given);
            return { ...call, type: 'function', function: { name, arguments: text } };
          }),
        }),
  };
}

interface Said {
  readonly text: string;
  readonly thinking?: string;
  readonly calls?: readonly { readonly name: string; readonly arguments: string }[];
}

function line(kind: Kind, model: string, context: DialectContext, said: Said) {
  const { text, thinking, calls = [] } = said;
  const thought = thinking === undefined || thinking === '' ? {} : { thinking };
  const head = { model, created_at: new Date(context.now()).toISOString() };
  if (kind === 'generate') return { ...head, response: text, ...thought, done: false };
  const made =
    calls.length === 0
      ? {}
      : {
          tool_calls: calls.map(({ name, arguments: given }) => ({
            function: { name, arguments: parsed(given) },
          })),
        };
  return {
    ...head,
    message: { role: 'assistant', content: text, ...thought, ...made },
    done: false,
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text === '' ? '{}' : text);
  } catch {
    return {};
  }
}

/** What the last line adds; durations in nanoseconds. */
function ending(start: StartEvent, end: ChoiceEnd) {
  const nanoseconds = (milliseconds: number): number => Math.round(milliseconds * 1e6);
  const { prefillMs, decodeMs } = end.timings;
  const { promptTokens, cachedTokens } = promptCounts(start, [end]);
  return {
    done: true,
    done_reason: end.reason === 'length' ? 'length' : 'stop',
    total_duration: nanoseconds(prefillMs + decodeMs),
    load_duration: 0,
    prompt_eval_count: promptTokens,
    prompt_eval_duration: nanoseconds(prefillMs),
    eval_count: end.tokens,
    eval_duration: nanoseconds(decodeMs),
    cached_count: cachedTokens,
    ...extensionsOf(end),
  };
}

function whole(
  { start, choices }: TextResult,
  kind: Kind,
  model: string,
  context: DialectContext,
): unknown {
  const choice = choices[0];
  if (choice === undefined) return {};
  const { text, reasoning, toolCalls, end } = choice;
  const said = { text, thinking: reasoning, calls: toolCalls };
  return { ...line(kind, model, context, said), ...ending(start, end) };
}

class OllamaEncoder implements StreamEncoder {
  readonly contentType = 'application/x-ndjson';
  #start: StartEvent | undefined;
  #end: ChoiceEnd | undefined;
  #call: { name: string; arguments: string } | undefined;

  constructor(
    private readonly kind: Kind,
    private readonly model: string,
    private readonly context: DialectContext,
  ) {}

  events(batch: readonly TextEvent[]): string {
    return batch.map((event) => this.#event(event)).join('');
  }

  #event(event: TextEvent): string {
    switch (event.type) {
      case 'start':
        this.#start = event;
        return '';
      case 'text':
        return event.text === '' ? '' : this.#line({ text: event.text });
      case 'reasoning':
        return this.#line({ text: '', thinking: event.text });
      case 'tool-start':
        this.#call = { name: event.name, arguments: '' };
        return '';
      case 'tool-arguments':
        if (this.#call !== undefined) this.#call.arguments += event.text;
        return '';
      case 'tool-end': {
        // The dialect sends calls as a whole.
        const call = this.#call;
        this.#call = undefined;
        return call === undefined ? '' : this.#line({ text: '', calls: [call] });
      }
      case 'progress':
        return '';
      case 'end':
        this.#end = event;
        return '';
    }
  }

  #line(said: Said, more: object = {}): string {
    return `${JSON.stringify({ ...line(this.kind, this.model, this.context, said), ...more })}\n`;
  }

  error(error: PacelineError): string {
    return `${JSON.stringify(ollamaErrorAnswer(error).body)}\n`;
  }

  end(): string {
    if (this.#start === undefined || this.#end === undefined) return '';
    return this.#line({ text: '' }, ending(this.#start, this.#end));
  }

  /** There are no comments between lines of JSON: a line that adds nothing. */
  ping(): string {
    return this.#line({ text: '' });
  }
}

/** The dialect's errors are texts. */
export function ollamaErrorAnswer(error: PacelineError): ErrorAnswer {
  const { message, hint } = error;
  return {
    status: error.httpStatus,
    body: { error: hint === undefined ? message : `${message}. ${hint}` },
  };
}
