/** `POST /v1/completions`: a text continued as it is, without a chat template. */
import { z } from 'zod';
import type { PacelineError } from '../../../base/errors.js';
import {
  type ChoiceEnd,
  type StartEvent,
  type TextEvent,
  type TokenProbability,
  withStart,
} from '../../../chat/events.js';
import { refuseField } from '../../../chat/refusals.js';
import type { PromptInput, TextRequest } from '../../../chat/request.js';
import type { TextResult } from '../../../chat/result.js';
import {
  checkBody,
  type DialectContext,
  ignored,
  refused,
  type StreamEncoder,
  sse,
  type TextExchange,
} from '../dialect.js';
import { extensions, samplingOf, settingsOf, stopList, stopSchema } from '../schemas.js';
import {
  affinityOf,
  checkStreamOptions,
  detailsOf,
  detailsSchema,
  extensionsOf,
  logitBiasSchema,
  logprobSetting,
  openaiError,
  openaiUsage,
  responseFormat,
  responseFormatSchema,
} from './common.js';

const tokensSchema = z.array(z.int().min(0)).min(1);

/** Prompts of one request. */
const mostPrompts = 128;

type Prompt = string | readonly number[];

export const completionSchema = z.strictObject({
  model: z.string().min(1),
  prompt: z
    .union(
      [
        z.string(),
        tokensSchema,
        z.array(z.string()).min(1).max(mostPrompts),
        z.array(tokensSchema).min(1).max(mostPrompts),
      ],
      { error: `must be a text or a list of token ids, or up to ${mostPrompts} of one kind` },
    )
    .optional(),
  max_tokens: z.int().min(0).optional(),
  temperature: z.number().min(0).max(2).optional(),
  top_p: z.number().min(0).max(1).optional(),
  n: z.int().min(1).max(128).optional(),
  best_of: z.literal(1, { error: 'only 1 is supported' }).optional(),
  stop: stopSchema.optional(),
  seed: z.int().min(0).optional(),
  presence_penalty: z.number().min(-2).max(2).optional(),
  frequency_penalty: z.number().min(-2).max(2).optional(),
  logit_bias: logitBiasSchema.optional(),
  logprobs: z.int().min(0).max(5).optional(),
  echo: z.boolean().optional(),
  stream: z.boolean().optional(),
  stream_options: z.looseObject({ include_usage: z.boolean().optional() }).optional(),
  response_format: responseFormatSchema.optional().describe('Extension.'),
  prompt_cache_key: z.string().optional(),
  details: detailsSchema,
  ...extensions,
  user: ignored,
  suffix: refused('filling a gap in a text is not supported'),
});

type CompletionBody = z.infer<typeof completionSchema>;

/** The API's own default. */
const usualTokens = 16;

/** @throws {PacelineError} `usage` naming the field that is wrong or not supported. */
export function completionExchange(given: unknown, context: DialectContext): TextExchange {
  const body = checkBody(completionSchema, given);
  checkStreamOptions(body);
  const prompts = promptsOf(body);
  const echoes = prompts.every((prompt) => typeof prompt === 'string');
  if (body.echo === true && (body.logprobs !== undefined || !echoes)) {
    throw refuseField('echo', 'echo works with a text as the prompt and without logprobs only');
  }
  const [request, ...further] = prompts.map((prompt) => completionRequest(prompt, body, context));
  if (request === undefined) throw refuseField('prompt', 'prompt is empty');
  const head = {
    id: context.newId('cmpl-'),
    object: 'text_completion',
    created: Math.floor(context.now() / 1000),
    model: body.model,
  };
  return {
    request,
    ...(further.length === 0 ? {} : { further }),
    stream: body.stream === true,
    body: (result) => completion(result, body, head),
    encoder: () => new CompletionEncoder(body, head),
  };
}

function promptsOf({ prompt = '' }: CompletionBody): readonly Prompt[] {
  if (typeof prompt === 'string') return [prompt];
  return typeof prompt[0] === 'number' ? [prompt as number[]] : (prompt as Prompt[]);
}

function completionRequest(
  prompt: Prompt,
  body: CompletionBody,
  context: DialectContext,
): TextRequest {
  const input: PromptInput =
    typeof prompt === 'string'
      ? { type: 'text', text: prompt }
      : { type: 'tokens', tokens: prompt };
  const format = responseFormat(body.response_format);
  const affinity = affinityOf(body.prompt_cache_key, context.header);
  return {
    model: body.model,
    input,
    settings: settingsOf({
      maxTokens: body.max_tokens ?? usualTokens,
      ...samplingOf(body),
      stop: stopList(body.stop),
      logprobs: logprobSetting(body.logprobs !== undefined, body.logprobs ?? 0),
    }),
    ...(body.n === undefined ? {} : { choices: body.n }),
    ...(format === undefined ? {} : { format }),
    ...(body.details === true ? { details: true } : {}),
    ...(affinity === undefined ? {} : { affinity }),
  };
}

type Head = Readonly<Record<'id' | 'object' | 'model', string> & { created: number }>;

function completion({ start, choices }: TextResult, body: CompletionBody, head: Head): unknown {
  const ends = choices.map(({ end }) => end);
  return {
    ...head,
    choices: choices.map(({ text, logprobs, end }, index) => ({
      index,
      text: echoed(body, index) + text,
      logprobs: body.logprobs === undefined ? null : logprobLists(logprobs, body.logprobs, 0),
      finish_reason: reasonOf(end),
    })),
    usage: openaiUsage(start, ends),
    system_fingerprint: null,
    ...(ends[0] === undefined ? {} : { ...extensionsOf(ends[0]) }),
  };
}

/** What comes before the text of a choice: the choices of each prompt follow each other. */
function echoed(body: CompletionBody, choice: number): string {
  if (body.echo !== true) return '';
  return String(promptsOf(body)[Math.floor(choice / (body.n ?? 1))]);
}

function reasonOf({ reason }: ChoiceEnd): 'stop' | 'length' {
  return reason === 'length' ? 'length' : 'stop';
}

function logprobLists(entries: readonly TokenProbability[], count: number, offset: number) {
  let at = offset;
  return {
    tokens: entries.map(({ text }) => text),
    token_logprobs: entries.map(({ logprob }) => logprob),
    top_logprobs: entries.map(({ top }) =>
      Object.fromEntries(top.slice(0, count).map(({ text, logprob }) => [text, logprob])),
    ),
    text_offset: entries.map(({ text }) => {
      const start = at;
      at += text.length;
      return start;
    }),
  };
}

class CompletionEncoder implements StreamEncoder {
  readonly contentType = 'text/event-stream';
  readonly #body: CompletionBody;
  readonly #head: Head;
  readonly #ends: ChoiceEnd[] = [];
  #start: StartEvent | undefined;

  constructor(body: CompletionBody, head: Head) {
    this.#body = body;
    this.#head = head;
  }

  events(batch: readonly TextEvent[]): string {
    return batch.map((event) => this.#event(event)).join('');
  }

  #event(event: TextEvent): string {
    if (event.type === 'start') {
      this.#start = withStart(this.#start, event);
      const { choice: first = 0 } = event;
      const text = echoed(this.#body, first);
      const details = this.#details(event);
      if (text === '' && details === undefined) return '';
      return Array.from({ length: this.#body.n ?? 1 }, (_, index) =>
        this.#chunk(first + index, text, {}, details),
      ).join('');
    }
    if (event.type === 'progress') {
      const details = this.#details(event);
      return details === undefined ? '' : this.#chunk(event.choice ?? 0, '', {}, details);
    }
    if (event.type === 'text') {
      const { logprobs: count } = this.#body;
      if (event.logprobs === undefined || count === undefined) {
        if (event.text === '') return '';
        return this.#chunk(event.choice, event.text, {}, this.#details(event));
      }
      const logprobs = logprobLists(event.logprobs, count, 0);
      return this.#chunk(event.choice, event.text, { logprobs }, this.#details(event));
    }
    if (event.type !== 'end') return '';
    this.#ends.push(event);
    const more = { finish_reason: reasonOf(event) };
    return this.#chunk(event.choice, '', more, { ...extensionsOf(event), ...this.#details(event) });
  }

  #details(event: TextEvent): object | undefined {
    return this.#body.details === true ? detailsOf(event) : undefined;
  }

  #chunk(index: number, text: string, more: object = {}, top: object = {}): string {
    return sse({
      ...this.#head,
      choices: [{ index, text, logprobs: null, finish_reason: null, ...more }],
      ...(this.#body.stream_options?.include_usage === true ? { usage: null } : {}),
      ...top,
    });
  }

  error(error: PacelineError): string {
    return sse({ error: openaiError(error) });
  }

  end(): string {
    const withUsage = this.#body.stream_options?.include_usage === true;
    const usage =
      withUsage && this.#start !== undefined
        ? sse({ ...this.#head, choices: [], usage: openaiUsage(this.#start, this.#ends) })
        : '';
    return `${usage}data: [DONE]\n\n`;
  }

  ping(): string {
    return ': keep-alive\n\n';
  }
}
