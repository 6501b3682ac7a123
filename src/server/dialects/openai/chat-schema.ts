/** What `POST /v1/chat/completions` takes; the one source for its checks, types and description. */
import { z } from 'zod';
import { ignored, refused } from '../dialect.js';
import { extensions, objectSchema, stopSchema } from '../schemas.js';
import {
  detailsSchema,
  effortSchema,
  functionSchema,
  logitBiasSchema,
  responseFormatSchema,
} from './common.js';

/** Parts that are no text are refused by name in the mapping. */
const content = z.union([z.string(), z.array(z.looseObject({ type: z.string() }))]);

const callSchema = z.looseObject({
  id: z.string().optional(),
  type: z.literal('function').optional(),
  function: z.looseObject({ name: z.string(), arguments: z.string().optional() }),
});

const messageSchema = z.discriminatedUnion('role', [
  z.looseObject({ role: z.literal('system'), content, name: z.string().optional() }),
  z.looseObject({ role: z.literal('developer'), content, name: z.string().optional() }),
  z.looseObject({ role: z.literal('user'), content, name: z.string().optional() }),
  z.looseObject({
    role: z.literal('assistant'),
    content: content.nullish(),
    refusal: z.string().nullish(),
    reasoning_content: z.string().nullish(),
    reasoning: z.string().nullish(),
    tool_calls: z.array(callSchema).nullish(),
  }),
  z.looseObject({ role: z.literal('tool'), content, tool_call_id: z.string().optional() }),
]);

export type ChatMessageBody = z.infer<typeof messageSchema>;

const toolSchema = z.discriminatedUnion(
  'type',
  [z.looseObject({ type: z.literal('function'), function: functionSchema })],
  { error: 'only tools of type "function" are supported' },
);

const choiceSchema = z.union(
  [
    z.enum(['none', 'auto', 'required']),
    z.looseObject({
      type: z.literal('function'),
      function: z.looseObject({ name: z.string() }),
    }),
  ],
  { error: 'must be "none", "auto", "required" or {"type": "function", "function": {"name"}}' },
);

export const chatSchema = z.strictObject({
  model: z.string().min(1),
  messages: z.array(messageSchema).min(1).max(100_000),
  max_tokens: z.int().min(1).optional(),
  max_completion_tokens: z.int().min(1).optional(),
  temperature: z.number().min(0).max(2).optional(),
  top_p: z.number().min(0).max(1).optional(),
  n: z.int().min(1).max(128).optional(),
  stop: stopSchema.optional(),
  seed: z.int().min(0).optional(),
  presence_penalty: z.number().min(-2).max(2).optional(),
  frequency_penalty: z.number().min(-2).max(2).optional(),
  logit_bias: logitBiasSchema.optional(),
  logprobs: z.boolean().optional(),
  top_logprobs: z.int().min(0).max(20).optional(),
  stream: z.boolean().optional(),
  stream_options: z
    .looseObject({ include_usage: z.boolean().optional() })
    .optional()
    .describe('Only with stream.'),
  tools: z.array(toolSchema).max(1000).optional(),
  tool_choice: choiceSchema.optional(),
  parallel_tool_calls: z.boolean().optional(),
  response_format: responseFormatSchema.optional(),
  reasoning_effort: effortSchema.optional(),
  reasoning_budget: z
    .int()
    .min(0)
    .optional()
    .describe('Extension: most tokens of thought before the answer begins.'),
  chat_template_kwargs: objectSchema
    .optional()
    .describe('Extension: further variables of the chat template.'),
  prompt_cache_key: z.string().optional().describe('Prefers the slot that served this key last.'),
  details: detailsSchema,
  ...extensions,
  user: ignored,
  metadata: ignored,
  store: ignored,
  service_tier: ignored,
  safety_identifier: ignored,
  prompt_cache_retention: ignored,
  prompt_cache_options: ignored,
  verbosity: ignored,
  prediction: ignored,
  modalities: z.array(z.literal('text', { error: 'only text can be generated' })).optional(),
  moderation: refused('moderation is not supported'),
  audio: refused('audio is not supported'),
  web_search_options: refused('web search is not supported'),
  functions: refused('functions are superseded by tools'),
  function_call: refused('function_call is superseded by tool_choice'),
});

export type ChatBody = z.infer<typeof chatSchema>;
