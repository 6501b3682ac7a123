/**
 * From the internal request to a backend's own: each field by what the descriptor says of it. A field
 * that nobody can serve is refused by name, unless its value changes nothing; none is dropped.
 */
import { isRecord } from '../../base/records.js';
import { activeTools } from '../../chat/constraint.js';
import { refuseField } from '../../chat/refusals.js';
import type { JsonSchema, OutputFormat, TextRequest, ToolDefinition } from '../../chat/request.js';
import { functionTool, writeTools } from '../../chat/tool-text.js';
import type { ChatMessage } from '../../engine/types.js';
import type { BackendDescriptor, RequestField } from '../descriptor.js';
import { wireMessage } from './messages.js';
import { patternGrammar } from './pattern-grammar.js';
import { callSchema, choiceGrammar, choicePattern, choiceSchema } from './wanted-call.js';

/** How the text that comes back is read. */
export interface Reading {
  /** The text itself; JSON of one call, or of a call or an answer; a choice as a JSON string. */
  readonly kind: 'text' | 'call' | 'call-or-answer' | 'choice';
  /** Whether thought may stand between marks in the text. */
  readonly chat: boolean;
  /** Stop strings that this server looks for, because the backend does not or can't say which it was. */
  readonly stops: readonly string[];
  /** What a whole text has to be. */
  readonly format: OutputFormat | undefined;
  readonly tools: readonly ToolDefinition[];
  /** A text of no tokens was asked for, which backends refuse. */
  readonly empty: boolean;
}

export interface WireRequest {
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly reading: Reading;
}

export interface WireOptions {
  readonly backend: BackendDescriptor;
  /** What the upstream calls the model. */
  readonly model: string;
  /** Number of the choice, which is added to the seed. */
  readonly choice: number;
  /** The conversation in the form that is tried; default: as it was given. */
  readonly messages?: readonly ChatMessage[];
}

type Body = Record<string, unknown>;

/** @throws {PacelineError} `usage` naming a field that the backend can't serve */
export function wireRequest(request: TextRequest, options: WireOptions): WireRequest {
  const writer = new RequestWriter(request, options);
  return writer.write();
}

class RequestWriter {
  readonly #request: TextRequest;
  readonly #options: WireOptions;
  readonly #backend: BackendDescriptor;
  readonly #body: Body;
  #kind: Reading['kind'] = 'text';
  #stops: readonly string[] = [];

  constructor(request: TextRequest, options: WireOptions) {
    this.#request = request;
    this.#options = options;
    this.#backend = options.backend;
    this.#body = { model: options.model, stream: true, ...options.backend.wire.streamFields };
  }

  write(): WireRequest {
    const { input, settings, format } = this.#request;
    const { maxTokens } = settings;
    const chat = input.type === 'chat';
    if (maxTokens !== undefined) {
      const name = chat ? this.#backend.wire.maxTokens : 'max_tokens';
      this.#body[name] = Math.max(1, maxTokens);
    }
    this.#sampling();
    if (chat) {
      this.#conversation(input);
    } else {
      if (input.type === 'tokens') this.#field('token_prompts', input.tokens);
      else this.#body.prompt = input.text;
      if (format !== undefined) this.#format(format);
    }
    return {
      path: chat ? '/v1/chat/completions' : '/v1/completions',
      body: this.#body,
      reading: {
        kind: this.#kind,
        chat,
        stops: this.#stops,
        format: this.#kind === 'call' ? undefined : format,
        tools: activeTools(this.#request)?.definitions ?? [],
        empty: maxTokens === 0,
      },
    };
  }

  #sampling(): void {
    const { settings, input } = this.#request;
    const { temperature, topP, seed, stop = [], logprobs = 0, logitBias } = settings;
    if (temperature !== undefined) this.#body.temperature = temperature;
    if (topP !== undefined) this.#body.top_p = topP;
    const { topKOff } = this.#backend.wire;
    this.#unless('top_k', settings.topK === 0 ? topKOff : settings.topK, topKOff);
    this.#unless('min_p', settings.minP, 0);
    this.#unless('repetition_penalty', settings.repetitionPenalty, 1);
    this.#unless('penalty_window', settings.penaltyWindow, undefined);
    this.#unless('presence_penalty', settings.presencePenalty, 0);
    this.#unless('frequency_penalty', settings.frequencyPenalty, 0);
    if (seed !== undefined && seed >= 0) {
      this.#field('seed', (seed + this.#options.choice) % this.#backend.wire.seedLimit);
    }
    const biases = logitBias instanceof Map ? Object.fromEntries(logitBias) : logitBias;
    if (biases !== undefined && Object.keys(biases).length > 0) this.#field('logit_bias', biases);
    if (logprobs > 0) {
      if (input.type === 'chat') {
        this.#field('logprobs', true);
        this.#body.top_logprobs = logprobs;
      } else {
        this.#field('logprobs', logprobs);
      }
    }
    if (stop.length > 0) {
      if (this.#backend.fields.stop.by === 'backend') this.#field('stop', stop);
      else this.#stops = stop;
    }
  }

  #conversation(input: Extract<TextRequest['input'], { type: 'chat' }>): void {
    const { format } = this.#request;
    this.#thinking(input);
    const budget = this.#reasoningBudget();
    if (budget !== undefined) this.#field('reasoning_budget', budget);
    const messages = this.#tools(this.#options.messages ?? input.messages);
    if (format !== undefined && this.#kind === 'text') this.#format(format);
    this.#body.messages = messages.map((message) => wireMessage(message, this.#backend));
  }

  /** Tokens of thought; half of all for a text that is held to something, where nobody said how many. */
  #reasoningBudget(): number | undefined {
    const { reasoningBudget, settings, format } = this.#request;
    const choice = activeTools(this.#request)?.choice.type ?? 'auto';
    const isHeld = format !== undefined || choice !== 'auto';
    const { maxTokens } = settings;
    if (reasoningBudget !== undefined || !this.#backend.wire.limitsThought) return reasoningBudget;
    return isHeld && maxTokens !== undefined ? Math.floor(maxTokens / 2) : undefined;
  }

  #thinking({ thinking, variables = {} }: Extract<TextRequest['input'], { type: 'chat' }>): void {
    const { fields } = this.#backend;
    if (fields.template_variables.by === 'backend') {
      if (Object.keys(variables).length > 0) this.#field('template_variables', variables);
      if (thinking !== undefined) this.#field('thinking', thinking);
      return;
    }
    const { reasoning_effort: effort, enable_thinking: _, ...rest } = variables;
    if (Object.keys(rest).length > 0) this.#field('template_variables', rest);
    if (effort !== undefined) this.#body.reasoning_effort = effort;
    else if (thinking === false) this.#body.reasoning_effort = 'none';
  }

  /** The conversation, with the tools told where the backend is not told of them. */
  #tools(messages: readonly ChatMessage[]): readonly ChatMessage[] {
    const { format } = this.#request;
    const use = activeTools(this.#request);
    if (use === undefined) return messages;
    const { choice, definitions, parallel } = use;
    const demanded = choice.type === 'required' || choice.type === 'named';
    const asSchema = demanded && this.#backend.fields.tool_choice.by === 'us';
    // Backends hold the whole text to a format, calls too: so it is asked for beside calls.
    const beside = !demanded && format !== undefined;
    if (asSchema || beside) {
      if (beside && format.type !== 'json' && format.type !== 'json-schema') {
        throw this.#refusal('tools', 'beside tools, a format can be JSON only');
      }
      this.#kind = beside ? 'call-or-answer' : 'call';
      this.#schema(callSchema(use, beside ? format : undefined));
      return writeTools(messages, use);
    }
    const held = demanded && this.#backend.wire.enforcesStrictOnly === true ? { strict: true } : {};
    this.#field(
      'tools',
      definitions.map((tool) => wireTool({ ...tool, ...held })),
    );
    if (choice.type === 'named') {
      this.#field('tool_choice', { type: 'function', function: { name: choice.name } });
    } else if (choice.type === 'required') {
      this.#field('tool_choice', 'required');
    }
    if (!parallel) this.#field('parallel_tool_calls', false);
    return messages;
  }

  #format(format: OutputFormat): void {
    const { wire, fields } = this.#backend;
    if (wire.formatSyntax === 'response_format') {
      this.#body.response_format = plainFormat(format);
      return;
    }
    if (format.type === 'json') this.#schema(undefined);
    else if (format.type === 'json-schema') this.#schema(format.schema, format.strict);
    else if (format.type === 'regex') this.#pattern(format.pattern);
    else if (format.type === 'grammar') this.#field('grammar', format.grammar);
    else if (fields.choice.by === 'backend') this.#field('choice', format.choices);
    else if (fields.regex.by === 'backend') this.#field('regex', choicePattern(format.choices));
    else if (fields.grammar.by === 'backend') {
      this.#field('grammar', choiceGrammar(format.choices));
    } else {
      this.#kind = 'choice';
      this.#schema(choiceSchema(format.choices));
    }
  }

  #pattern(pattern: string): void {
    if (this.#backend.fields.regex.by !== 'us') this.#field('regex', pattern);
    else this.#field('grammar', patternGrammar(pattern));
  }

  /** JSON of a schema; undefined: any object. */
  #schema(schema: JsonSchema | undefined, strict = true): void {
    const { wire } = this.#backend;
    const chat = this.#request.input.type === 'chat';
    const path = chat ? 'response_format' : wire.completionSchema;
    if (path === undefined) {
      throw this.#refusal(
        'json_schema',
        'its completions can not be held to a format',
        'response_format',
      );
    }
    if (path === 'json_schema') this.#body[path] = schema ?? { type: 'object' };
    else if (schema === undefined) this.#body[path] = { type: 'json_object' };
    else {
      const json_schema = { name: 'answer', schema, strict };
      this.#body[path] = { type: 'json_schema', json_schema };
    }
  }

  /** A setting that may be left out where its value changes nothing. */
  #unless(field: RequestField, value: unknown, neutral: unknown): void {
    if (value === undefined) return;
    if (value === neutral && this.#backend.fields[field].by === 'nobody') return;
    this.#field(field, value);
  }

  /** Writes a field where the backend has it. @throws {PacelineError} `usage` where nobody has */
  #field(field: RequestField, value: unknown): void {
    const support = this.#backend.fields[field];
    if (support.by === 'nobody') throw this.#refusal(field, support.why);
    if (support.by === 'backend') setAt(this.#body, support.as.split('.'), value);
  }

  #refusal(field: RequestField, why: string, param: string = paramOf[field] ?? field) {
    return refuseField(
      param,
      `${param} is not supported by ${this.#backend.title}: ${why}`,
      'Leave it out, or ask a model of another backend.',
    );
  }
}

/** What clients call a field, where it differs. */
const paramOf: Readonly<Partial<Record<RequestField, string>>> = {
  json: 'response_format',
  json_schema: 'response_format',
  regex: 'response_format',
  grammar: 'response_format',
  choice: 'response_format',
  template_variables: 'chat_template_kwargs',
  token_prompts: 'prompt',
};

function wireTool(tool: ToolDefinition): unknown {
  const { function: declared, ...rest } = functionTool(tool);
  const strict = tool.strict === undefined ? {} : { strict: tool.strict };
  return { ...rest, function: { ...declared, ...strict } };
}

/** A format as this server's own API has it. */
function plainFormat(format: OutputFormat): unknown {
  switch (format.type) {
    case 'json':
      return { type: 'json_object' };
    case 'json-schema': {
      const strict = format.strict === undefined ? {} : { strict: format.strict };
      return {
        type: 'json_schema',
        json_schema: { name: 'answer', schema: format.schema, ...strict },
      };
    }
    default:
      return format;
  }
}

/** Sets a value inside of objects, which are made where they are missing. */
function setAt(body: Body, path: readonly string[], value: unknown): void {
  const [key = '', ...rest] = path;
  if (rest.length === 0) {
    const old = body[key];
    const both = isRecord(old) && isRecord(value);
    body[key] = both ? { ...old, ...value } : value;
    return;
  }
  const inner: Body = isRecord(body[key]) ? { ...(body[key] as Body) } : {};
  setAt(inner, rest, value);
  body[key] = inner;
}
