/** What the OpenAI endpoints share: errors, usage, timings, tools, and the shape of log-probabilities. */
import { z } from 'zod';
import type { ErrorCode, PacelineError } from '../../../base/errors.js';
import {
  type ChoiceEnd,
  promptCounts,
  type StartEvent,
  type TextEvent,
  type TokenProbability,
} from '../../../chat/events.js';
import { refuseField } from '../../../chat/refusals.js';
import type { OutputFormat } from '../../../chat/request.js';
import type { DraftReport } from '../../../decode/draft-report.js';
import type { ErrorAnswer } from '../dialect.js';
import { objectSchema, toolName } from '../schemas.js';

/** Codes that clients of the API know, where they differ from ours. */
const knownCodes: Partial<Record<ErrorCode, string>> = {
  'model-not-found': 'model_not_found',
  'context-overflow': 'context_length_exceeded',
  unauthorized: 'invalid_api_key',
  busy: 'rate_limit_exceeded',
  'not-found': 'not_found',
};

function errorType(status: number): string {
  if (status === 401) return 'authentication_error';
  if (status === 403) return 'permission_error';
  if (status === 429) return 'rate_limit_error';
  return status < 500 ? 'invalid_request_error' : 'server_error';
}

/** The error object of the API. */
export function openaiError(error: PacelineError): Record<string, unknown> {
  const { code, hint, details } = error;
  // The wording by which clients know that they have to compact the conversation.
  const message =
    code === 'context-overflow'
      ? `This model's maximum context length is ${details.contextLength} tokens. However, your ` +
        `messages resulted in ${details.promptTokens} tokens`
      : error.message;
  const param = typeof details.param === 'string' && details.param !== '' ? details.param : null;
  const own = typeof details.apiCode === 'string' ? details.apiCode : knownCodes[code];
  return {
    message: hint === undefined ? message : `${message}. ${hint}`,
    type: errorType(error.httpStatus),
    param,
    code: own ?? (code === 'usage' ? 'invalid_value' : code.replaceAll('-', '_')),
    ...(code === 'context-overflow'
      ? { n_prompt_tokens: details.promptTokens, n_ctx: details.contextLength }
      : {}),
  };
}

export function openaiErrorAnswer(error: PacelineError): ErrorAnswer {
  return { status: error.httpStatus, body: { error: openaiError(error) } };
}

/** Usage of all choices of a request. */
export function openaiUsage(start: StartEvent, ends: readonly ChoiceEnd[]) {
  const sum = (of: (end: ChoiceEnd) => number): number =>
    ends.reduce((total, end) => total + of(end), 0);
  const completion = sum(({ tokens }) => tokens);
  const { promptTokens, cachedTokens } = promptCounts(start, ends);
  const accepted = sum(({ draft }) => draft.accepted);
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completion,
    total_tokens: promptTokens + completion,
    prompt_tokens_details: { cached_tokens: cachedTokens },
    completion_tokens_details: {
      reasoning_tokens: sum(({ reasoningTokens }) => reasoningTokens),
      accepted_prediction_tokens: accepted,
      rejected_prediction_tokens: sum(({ draft }) => draft.drafted) - accepted,
    },
  };
}

/** Extensions of every dialect: how long the first choice took, where, and what was unusual about it. */
export function extensionsOf(end: ChoiceEnd) {
  const { warnings, engine } = end;
  return {
    timings: timingsOf(end),
    ...(engine === undefined ? {} : { engine }),
    ...(warnings === undefined ? {} : { warnings }),
  };
}

function timingsOf({ timings, draft, seed }: ChoiceEnd) {
  return {
    queue_ms: timings.queueMs,
    prefill_ms: timings.prefillMs,
    prefill_tps: timings.prefillTokensPerSecond,
    decode_ms: timings.decodeMs,
    decode_tps: timings.decodeTokensPerSecond,
    seed,
    draft: {
      kind: draft.kind,
      steps: draft.steps,
      drafted: draft.drafted,
      accepted: draft.accepted,
      by_drafter: draft.byDrafter,
    },
  };
}

/** What a chunk tells of its text where `details` are asked for. */
export function detailsOf(event: TextEvent): { readonly details?: unknown } {
  switch (event.type) {
    case 'start':
      return {
        details: {
          prompt_tokens: event.promptTokens,
          cached_tokens: event.cachedTokens,
          cached_in_memory: event.inMemory ?? event.cachedTokens,
          prefix_end: event.prefixEnd ?? '',
        },
      };
    case 'progress':
      return { details: { prefill: { done: event.done, total: event.total } } };
    case 'text':
    case 'reasoning':
      return { details: { tokens: event.origins ?? [] } };
    case 'end': {
      const { controller, failed } = event.draft;
      return {
        details: {
          tokens: event.tokens,
          restore_ms: event.timings.restoreMs,
          ...(controller === undefined ? {} : { controller: controllerOf(controller) }),
          ...(failed === undefined ? {} : { failed }),
        },
      };
    }
    default:
      return {};
  }
}

function controllerOf(report: DraftReport) {
  return {
    pass_ms: report.passMs,
    plain_steps: report.plainSteps,
    refused_steps: report.refusedSteps,
    balance: report.balance,
    drafters: report.drafters.map(({ draftMs, ...drafter }) => ({ ...drafter, draft_ms: draftMs })),
    changes: report.changes,
  };
}

export function finishReason({ reason }: ChoiceEnd): 'stop' | 'length' | 'tool_calls' {
  if (reason === 'tool-calls') return 'tool_calls';
  return reason === 'length' ? 'length' : 'stop';
}

/** Extension: the stop string that ended the text. */
export function stopReason({ stopText }: ChoiceEnd): { readonly stop_reason?: string } {
  return stopText === undefined ? {} : { stop_reason: stopText };
}

export function logprobContent(entries: readonly TokenProbability[], alternatives: number) {
  return entries.map(({ text, bytes, logprob, top }) => ({
    token: text,
    bytes,
    logprob,
    top_logprobs: top
      .slice(0, alternatives)
      .map((other) => ({ token: other.text, bytes: other.bytes, logprob: other.logprob })),
  }));
}

export const detailsSchema = z
  .boolean()
  .optional()
  .describe(
    'Extension: chunks of a stream tell their tokens, who guessed them, and what the cache had.',
  );

export const logitBiasSchema = z
  .record(z.string().regex(/^\d{1,9}$/, 'keys are token ids'), z.number().min(-100).max(100))
  .describe('Token ids to what is added to their logits.');

/** The chosen token's own logprob needs one alternative: the engine reports none for 0. */
export function logprobSetting(wanted: boolean, alternatives: number): number | undefined {
  return wanted ? Math.max(1, alternatives) : undefined;
}

export const functionSchema = z.looseObject({
  name: toolName,
  description: z.string().nullish(),
  parameters: objectSchema.nullish(),
  strict: z.boolean().nullish(),
});

/** A function of either API as the internal tool; no parameters are an empty object. */
export function toolDefinition(given: z.infer<typeof functionSchema>) {
  const { name, description, parameters, strict } = given;
  return {
    name,
    ...(description == null ? {} : { description }),
    parameters: parameters ?? { type: 'object', properties: {} },
    ...(strict == null ? {} : { strict }),
  };
}

/** Structured output as both OpenAI APIs have it, and two languages of our own. */
export const formatVariants = [
  z.looseObject({ type: z.literal('text') }),
  z.looseObject({ type: z.literal('json_object') }),
  z.strictObject({ type: z.literal('regex'), pattern: z.string().min(1) }),
  z.strictObject({ type: z.literal('grammar'), grammar: z.string().min(1) }),
  z.strictObject({ type: z.literal('choice'), choices: z.array(z.string().min(1)).min(1) }),
] as const;

export const jsonSchemaFields = {
  name: z.string().optional(),
  description: z.string().nullish(),
  schema: objectSchema,
  strict: z.boolean().nullish(),
};

/** `response_format` of the endpoints that have it. */
export const responseFormatSchema = z.discriminatedUnion('type', [
  ...formatVariants,
  z.looseObject({ type: z.literal('json_schema'), json_schema: z.looseObject(jsonSchemaFields) }),
]);

/** The internal form of a `response_format`. */
export function responseFormat(
  format: z.infer<typeof responseFormatSchema> | undefined,
): OutputFormat | undefined {
  return outputFormat(
    format?.type === 'json_schema' ? { type: 'json_schema', ...format.json_schema } : format,
  );
}

/** @throws {PacelineError} `usage` when there are options for a stream that is not asked for. */
export function checkStreamOptions(body: { stream?: unknown; stream_options?: unknown }): void {
  if (body.stream_options !== undefined && body.stream !== true) {
    throw refuseField('stream_options', 'stream_options needs stream: true');
  }
}

type PlainFormat = z.infer<(typeof formatVariants)[number]>;

/** The internal form of a response format. */
export function outputFormat(
  format:
    | PlainFormat
    | { type: 'json_schema'; schema: Record<string, unknown>; strict?: boolean | null | undefined }
    | undefined,
): OutputFormat | undefined {
  switch (format?.type) {
    case undefined:
    case 'text':
      return undefined;
    case 'json_object':
      return { type: 'json' };
    case 'json_schema':
      return {
        type: 'json-schema',
        schema: format.schema,
        ...(format.strict == null ? {} : { strict: format.strict }),
      };
    case 'regex':
      return { type: 'regex', pattern: format.pattern };
    case 'grammar':
      return { type: 'grammar', grammar: format.grammar };
    case 'choice':
      return { type: 'choice', choices: format.choices };
  }
}

/** Efforts that clients send; `none` turns thinking off where the template can. */
export const effortSchema = z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max']);

/** The ids by which agents mark requests of one conversation. */
export function affinityOf(
  key: string | undefined,
  header: (name: string) => string | undefined,
): string | undefined {
  return (
    key ??
    header('x-session-affinity') ??
    header('x-session-id') ??
    header('session-id') ??
    header('session_id')
  )?.slice(0, 200);
}
