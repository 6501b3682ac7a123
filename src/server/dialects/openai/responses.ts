/**
 * `POST /v1/responses`: bodies to internal requests, results to responses, and events to the API's
 * full sequence: created, in_progress, then for every item added, parts, deltas, done, and at the
 * end completed, incomplete or failed; numbered without a gap.
 */
import { PacelineError } from '../../../base/errors.js';
import type { ChoiceEnd, StartEvent, TextEvent, TokenProbability } from '../../../chat/events.js';
import { type TextRequest, type ToolChoice, toolUse } from '../../../chat/request.js';
import type { TextResult } from '../../../chat/result.js';
import {
  checkBody,
  type DialectContext,
  type StreamEncoder,
  sse,
  type TextExchange,
} from '../dialect.js';
import { samplingOf, settingsOf } from '../schemas.js';
import {
  affinityOf,
  extensionsOf,
  logprobContent,
  logprobSetting,
  openaiError,
  outputFormat,
} from './common.js';
import type { ResponseStore } from './response-store.js';
import {
  callItem,
  functionsOf,
  messageItem,
  messagesOf,
  type OutputItem,
  qualifiedName,
  reasoningItem,
  responseUsage,
  textPart,
} from './responses-items.js';
import { type InputItem, type ResponseBody, responseSchema } from './responses-schema.js';

/** @throws {PacelineError} `usage` naming the field that is wrong or not supported. */
export function responseExchange(
  given: unknown,
  context: DialectContext,
  store: ResponseStore,
): TextExchange {
  const body = checkBody(responseSchema, given);
  const input = conversation(body, store);
  const response = new ResponseShape(body, context, (finished, output) => {
    if (body.store !== false) store.put({ response: finished, input, output });
  });
  return {
    request: responseRequest(body, input, context),
    stream: body.stream === true,
    body: (result) => response.whole(result),
    encoder: () => new ResponseEncoder(response),
  };
}

/** The items of the whole conversation: what is stored of the previous response, then the input. */
function conversation(body: ResponseBody, store: ResponseStore): readonly InputItem[] {
  const own: readonly InputItem[] =
    typeof body.input === 'string' ? [{ role: 'user', content: body.input }] : body.input;
  const { previous_response_id: id } = body;
  if (id === undefined) return own;
  const previous = store.get(id);
  if (previous === undefined) {
    throw new PacelineError('usage', `Previous response with id '${id}' not found`, {
      details: { param: 'previous_response_id', apiCode: 'previous_response_not_found' },
    });
  }
  return [...previous.input, ...previous.output, ...own];
}

function responseRequest(
  body: ResponseBody,
  items: readonly InputItem[],
  context: DialectContext,
): TextRequest {
  const choice = body.tool_choice;
  const chosen: ToolChoice | undefined =
    typeof choice === 'object'
      ? { type: 'named', name: qualifiedName(choice.name, choice.namespace as string | undefined) }
      : choice && { type: choice };
  const tools = toolUse(functionsOf(body.tools), chosen, body.parallel_tool_calls ?? true);
  const format = outputFormat(body.text?.format ?? undefined);
  const effort = body.reasoning?.effort;
  const affinity = affinityOf(body.prompt_cache_key, context.header);
  const variables = {
    ...(effort == null ? {} : { reasoning_effort: effort }),
    ...body.chat_template_kwargs,
  };
  const system =
    body.instructions === undefined
      ? []
      : [{ role: 'system' as const, content: body.instructions }];
  return {
    model: body.model,
    input: {
      type: 'chat',
      messages: [...system, ...messagesOf(items)],
      ...(effort == null ? {} : { thinking: effort !== 'none' }),
      ...(Object.keys(variables).length > 0 ? { variables } : {}),
    },
    settings: settingsOf({
      maxTokens: body.max_output_tokens,
      ...samplingOf(body),
      logprobs: logprobSetting(wantsLogprobs(body), body.top_logprobs ?? 0),
    }),
    ...(format === undefined ? {} : { format }),
    ...(tools === undefined ? {} : { tools }),
    ...(body.reasoning_budget === undefined ? {} : { reasoningBudget: body.reasoning_budget }),
    ...(affinity === undefined ? {} : { affinity }),
  };
}

function wantsLogprobs(body: ResponseBody): boolean {
  return body.include?.includes('message.output_text.logprobs') === true;
}

type Finished = Readonly<Record<string, unknown>> & { readonly id: string };

/** The response object around the output, at any time of its life. */
class ResponseShape {
  readonly id: string;
  readonly #createdAt: number;

  constructor(
    readonly body: ResponseBody,
    readonly context: DialectContext,
    readonly keep: (finished: Finished, output: readonly InputItem[]) => void,
  ) {
    this.id = context.newId('resp_');
    this.#createdAt = Math.floor(context.now() / 1000);
  }

  object(status: string, output: readonly OutputItem[], more: object = {}): Finished {
    const { body } = this;
    return {
      id: this.id,
      object: 'response',
      created_at: this.#createdAt,
      status,
      background: false,
      error: null,
      incomplete_details: null,
      instructions: body.instructions ?? null,
      max_output_tokens: body.max_output_tokens ?? null,
      max_tool_calls: null,
      metadata: body.metadata ?? {},
      model: body.model,
      output,
      parallel_tool_calls: body.parallel_tool_calls ?? true,
      previous_response_id: body.previous_response_id ?? null,
      prompt_cache_key: body.prompt_cache_key ?? null,
      reasoning: { effort: body.reasoning?.effort ?? null, summary: null },
      service_tier: 'default',
      store: body.store ?? true,
      temperature: body.temperature ?? null,
      text: { format: body.text?.format ?? { type: 'text' }, verbosity: 'medium' },
      tool_choice: body.tool_choice ?? 'auto',
      tools: body.tools ?? [],
      top_logprobs: body.top_logprobs ?? 0,
      top_p: body.top_p ?? null,
      truncation: 'disabled',
      usage: null,
      user: null,
      ...more,
    };
  }

  /** The response at its end; it is stored. */
  finished(output: readonly OutputItem[], start: StartEvent, end: ChoiceEnd): Finished {
    const cut = end.reason === 'length';
    const finished = this.object(cut ? 'incomplete' : 'completed', output, {
      incomplete_details: cut ? { reason: 'max_output_tokens' } : null,
      completed_at: Math.floor(this.context.now() / 1000),
      usage: responseUsage(start, end),
      ...extensionsOf(end),
    });
    this.keep(finished, output as unknown as readonly InputItem[]);
    return finished;
  }

  whole({ start, choices }: TextResult): unknown {
    const choice = choices[0];
    if (choice === undefined) throw new PacelineError('internal', 'A response without a text');
    const { newId } = this.context;
    const status = (last: boolean): string =>
      last && choice.end.reason === 'length' ? 'incomplete' : 'completed';
    const output = choice.parts.map((part, index) => {
      const state = status(index === choice.parts.length - 1);
      if (part.type === 'tool') return callItem(newId('fc_'), part.call, state, this.body.tools);
      if (part.type === 'reasoning') return reasoningItem(newId('rs_'), part.text, state);
      return messageItem(newId('msg_'), part.text, state, this.logprobs(choice.logprobs));
    });
    const written = output.length > 0 ? output : [messageItem(newId('msg_'), '', status(true))];
    return this.finished(written, start, choice.end);
  }

  logprobs(entries: readonly TokenProbability[]): readonly unknown[] {
    return wantsLogprobs(this.body) ? logprobContent(entries, this.body.top_logprobs ?? 0) : [];
  }
}

interface OpenItem {
  readonly id: string;
  readonly kind: 'text' | 'reasoning' | 'tool';
  readonly call?: { readonly id: string; readonly name: string };
  text: string;
  readonly logprobs: TokenProbability[];
}

class ResponseEncoder implements StreamEncoder {
  readonly contentType = 'text/event-stream';
  readonly #shape: ResponseShape;
  readonly #output: OutputItem[] = [];
  #sequence = 0;
  #open: OpenItem | undefined;
  #start: StartEvent | undefined;
  #end: ChoiceEnd | undefined;

  constructor(shape: ResponseShape) {
    this.#shape = shape;
  }

  events(batch: readonly TextEvent[]): string {
    return batch.map((event) => this.#event(event)).join('');
  }

  #event(event: TextEvent): string {
    switch (event.type) {
      case 'start': {
        this.#start = event;
        const response = this.#shape.object('in_progress', []);
        return (
          this.#say('response.created', { response }) +
          this.#say('response.in_progress', { response })
        );
      }
      case 'text': {
        const { text, logprobs: entries = [] } = event;
        const opened = text === '' ? '' : this.#enter('text', 'msg_');
        if (this.#open?.kind === 'text') this.#open.logprobs.push(...entries);
        if (text === '') return '';
        const logprobs = this.#shape.logprobs(entries);
        return opened + this.#delta('response.output_text.delta', text, { logprobs });
      }
      case 'reasoning': {
        const opened = this.#enter('reasoning', 'rs_');
        return opened + this.#delta('response.reasoning_text.delta', event.text);
      }
      case 'tool-start':
        return this.#enter('tool', 'fc_', { id: event.id, name: event.name });
      case 'tool-arguments':
        return this.#delta('response.function_call_arguments.delta', event.text);
      case 'tool-end':
        return this.#leave('completed');
      case 'progress':
        return '';
      case 'end':
        this.#end = event;
        return '';
    }
  }

  /** Opens an item of this kind, unless one is open; closes another one first. */
  #enter(kind: OpenItem['kind'], prefix: string, call?: OpenItem['call']): string {
    if (this.#open?.kind === kind && kind !== 'tool') return '';
    const left = this.#leave('completed');
    const item: OpenItem = {
      id: this.#shape.context.newId(prefix),
      kind,
      text: '',
      logprobs: [],
      ...(call === undefined ? {} : { call }),
    };
    this.#open = item;
    const added = this.#say('response.output_item.added', {
      output_index: this.#output.length,
      item: this.#item(item, 'in_progress'),
    });
    if (kind === 'tool') return left + added;
    const part = kind === 'text' ? textPart('') : { type: 'reasoning_text', text: '' };
    return left + added + this.#say('response.content_part.added', { ...this.#place(), part });
  }

  #item(item: OpenItem, status: string): OutputItem {
    const { id, text, call } = item;
    if (call !== undefined) {
      return callItem(id, { ...call, arguments: text }, status, this.#shape.body.tools);
    }
    if (item.kind === 'reasoning') return reasoningItem(id, text, status);
    return messageItem(id, text, status, this.#shape.logprobs(item.logprobs));
  }

  /** Where in the output the open item and its only part are. */
  #place(): object {
    const where = { item_id: this.#open?.id, output_index: this.#output.length };
    return this.#open?.kind === 'tool' ? where : { ...where, content_index: 0 };
  }

  #delta(type: string, delta: string, more: object = {}): string {
    if (this.#open === undefined) return '';
    this.#open.text += delta;
    return this.#say(type, { ...this.#place(), delta, ...more });
  }

  /** Closes the open item, if there is one. */
  #leave(status: string): string {
    const open = this.#open;
    if (open === undefined) return '';
    const { text } = open;
    const item = this.#item(open, status);
    let said = '';
    if (open.call !== undefined) {
      const { name } = item;
      said += this.#say('response.function_call_arguments.done', {
        ...this.#place(),
        name,
        arguments: text,
      });
    } else {
      const kind = open.kind === 'text' ? 'output_text' : 'reasoning_text';
      const logprobs = open.kind === 'text' ? this.#shape.logprobs(open.logprobs) : undefined;
      const part = open.kind === 'text' ? textPart(text, logprobs) : { type: kind, text };
      said += this.#say(`response.${kind}.done`, {
        ...this.#place(),
        text,
        ...(logprobs === undefined ? {} : { logprobs }),
      });
      said += this.#say('response.content_part.done', { ...this.#place(), part });
    }
    said += this.#say('response.output_item.done', { output_index: this.#output.length, item });
    this.#output.push(item);
    this.#open = undefined;
    return said;
  }

  error(error: PacelineError): string {
    const { code, message } = openaiError(error) as { code: string; message: string };
    const response = this.#shape.object('failed', this.#output, { error: { code, message } });
    return (
      this.#say('response.failed', { response }) +
      this.#say('error', { code, message, param: null })
    );
  }

  end(): string {
    const [start, end] = [this.#start, this.#end];
    if (start === undefined || end === undefined) return '';
    const cut = end.reason === 'length';
    // A text without a word is still a message.
    const opened =
      this.#output.length === 0 && this.#open === undefined ? this.#enter('text', 'msg_') : '';
    const left = this.#leave(cut ? 'incomplete' : 'completed');
    const response = this.#shape.finished(this.#output, start, end);
    return (
      opened + left + this.#say(cut ? 'response.incomplete' : 'response.completed', { response })
    );
  }

  ping(): string {
    return ': keep-alive\n\n';
  }

  #say(type: string, fields: object): string {
    return sse({ type, sequence_number: this.#sequence++, ...fields }, type);
  }
}
