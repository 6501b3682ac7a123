/**
 * From a call of the AI SDK to the request that the engine runs: settings, tools, formats, and our own
 * options. What the engine has no counterpart for becomes a warning; a wrong value is an error.
 */
import type {
  LanguageModelV3CallOptions,
  LanguageModelV4CallOptions,
  SharedV3Warning,
} from '@ai-sdk/provider';
import { z } from 'zod';
import { checkOptions, field, wholeNumber } from '../base/options.js';
import {
  type OutputFormat,
  type TextRequest,
  type TextSettings,
  type ToolChoice,
  type ToolDefinition,
  toolUse,
} from '../chat/request.js';
import { chatSchema } from '../engine/options.js';
import { toMessages } from './prompt.js';

const ownSchema = chatSchema
  .pick({
    minP: true,
    repetitionPenalty: true,
    penaltyWindow: true,
    logitBias: true,
    draft: true,
    draftMax: true,
    priority: true,
    thinking: true,
    templateVariables: true,
  })
  .extend({
    reasoningBudget: wholeNumber(0, 'a whole number, 0 or more'),
    parallelToolCalls: field(z.boolean(), 'true or false'),
    format: field(
      z.discriminatedUnion('type', [
        z.strictObject({ type: z.literal('regex'), pattern: z.string().min(1) }),
        z.strictObject({ type: z.literal('grammar'), grammar: z.string().min(1) }),
        z.strictObject({ type: z.literal('choice'), choices: z.array(z.string().min(1)).min(1) }),
      ]),
      'a regex with its pattern, a grammar, or a choice with its choices',
    ),
    conversation: field(z.string().max(200), 'a string of at most 200 characters'),
  });

/** A call of either interface. Only v4 says how much the model shall think. */
export type CallOptions =
  | (LanguageModelV3CallOptions & { readonly reasoning?: never })
  | LanguageModelV4CallOptions;

export interface Call {
  readonly request: TextRequest;
  readonly warnings: SharedV3Warning[];
}

/** @throws {PacelineError} `usage` for parts that are no text, wrong options, tools that contradict. */
export function toCall(model: string, options: CallOptions): Call {
  const warnings: SharedV3Warning[] = [];
  const own = checkOptions(
    ownSchema,
    options.providerOptions?.paceline,
    'providerOptions.paceline',
  );
  const tools = toolUse(
    definitionsOf(options.tools, warnings),
    choiceOf(options.toolChoice),
    own.parallelToolCalls ?? true,
  );
  const format = own.format ?? formatOf(options.responseFormat);
  const effort = options.reasoning === 'provider-default' ? undefined : options.reasoning;
  const thinking = own.thinking ?? (effort === undefined ? undefined : effort !== 'none');
  const variables = {
    ...(effort === undefined ? {} : { reasoning_effort: effort }),
    ...own.templateVariables,
  };
  const request: TextRequest = {
    model,
    input: {
      type: 'chat',
      messages: toMessages(options.prompt),
      ...(thinking === undefined ? {} : { thinking }),
      ...(Object.keys(variables).length > 0 ? { variables } : {}),
    },
    settings: settingsOf(options, own),
    ...(format === undefined ? {} : { format }),
    ...(tools === undefined ? {} : { tools }),
    ...(own.reasoningBudget === undefined ? {} : { reasoningBudget: own.reasoningBudget }),
    ...(own.conversation === undefined ? {} : { affinity: own.conversation }),
  };
  return { request, warnings };
}

function settingsOf(options: CallOptions, own: z.output<typeof ownSchema>): TextSettings {
  const { minP, repetitionPenalty, penaltyWindow, logitBias, draft, draftMax, priority } = own;
  return {
    maxTokens: options.maxOutputTokens,
    temperature: options.temperature,
    topP: options.topP,
    topK: options.topK,
    presencePenalty: options.presencePenalty,
    frequencyPenalty: options.frequencyPenalty,
    seed: options.seed,
    ...(options.stopSequences === undefined ? {} : { stop: options.stopSequences }),
    minP,
    repetitionPenalty,
    penaltyWindow,
    logitBias,
    draft,
    draftMax,
    priority,
  };
}

function definitionsOf(
  tools: CallOptions['tools'],
  warnings: SharedV3Warning[],
): readonly ToolDefinition[] {
  return (tools ?? []).flatMap((tool) => {
    if (tool.type === 'provider') {
      const details = 'The engine has no tools of its own; give a function tool instead.';
      warnings.push({ type: 'unsupported', feature: `tool ${tool.id}`, details });
      return [];
    }
    const { name, description, inputSchema, inputExamples, strict } = tool;
    if (inputExamples !== undefined && inputExamples.length > 0) {
      const details = 'Chat templates have no place for examples; write them into the description.';
      warnings.push({ type: 'unsupported', feature: `inputExamples of ${name}`, details });
    }
    return [
      {
        name,
        ...(description === undefined ? {} : { description }),
        parameters: { ...inputSchema },
        ...(strict === undefined ? {} : { strict }),
      },
    ];
  });
}

function choiceOf(choice: CallOptions['toolChoice']): ToolChoice | undefined {
  if (choice?.type === 'tool') return { type: 'named', name: choice.toolName };
  return choice && { type: choice.type };
}

function formatOf(format: CallOptions['responseFormat']): OutputFormat | undefined {
  if (format?.type !== 'json') return undefined;
  const { schema } = format;
  return schema === undefined ? { type: 'json' } : { type: 'json-schema', schema: { ...schema } };
}
