/** What `POST /v1/responses` takes; the one source for its checks, types and description. */
import { z } from 'zod';
import { ignored, refused } from '../dialect.js';
import { extensions, objectSchema, toolName } from '../schemas.js';
import { effortSchema, formatVariants, functionSchema, jsonSchemaFields } from './common.js';

const content = z.union([z.string(), z.array(z.looseObject({ type: z.string() }))]);

const messageItem = z.looseObject({
  type: z.literal('message').optional(),
  role: z.enum(['system', 'developer', 'user', 'assistant']),
  content,
});

const callItem = z.looseObject({
  type: z.literal('function_call'),
  call_id: z.string(),
  name: z.string(),
  namespace: z.string().nullish(),
  arguments: z.string(),
});

const outputItem = z.looseObject({
  type: z.literal('function_call_output'),
  call_id: z.string().nullish(),
  output: content,
});

const reasoningItem = z.looseObject({
  type: z.literal('reasoning'),
  summary: z.array(z.looseObject({ text: z.string().optional() })).nullish(),
  content: z.array(z.looseObject({ text: z.string().optional() })).nullish(),
});

const itemSchema = z.union([messageItem, callItem, outputItem, reasoningItem], {
  error: 'must be a message, function_call, function_call_output or reasoning item',
});

export type InputItem = z.infer<typeof itemSchema>;

const functionTool = functionSchema.extend({ type: z.literal('function') });

/** Tools that a provider runs itself. The model is not told of them, so it can't ask for them. */
const hosted = z.enum([
  'web_search',
  'web_search_preview',
  'web_search_2025_08_26',
  'web_search_preview_2025_03_11',
  'file_search',
  'code_interpreter',
  'image_generation',
  'tool_search',
]);

const toolSchema = z.union(
  [
    functionTool,
    z.looseObject({
      type: z.literal('namespace'),
      name: toolName,
      tools: z.array(functionTool),
    }),
    z.looseObject({ type: hosted }),
  ],
  { error: 'tools of this type are not supported: give functions' },
);

const choiceSchema = z.union(
  [
    z.enum(['none', 'auto', 'required']),
    z.looseObject({ type: z.literal('function'), name: z.string() }),
  ],
  { error: 'must be "none", "auto", "required" or {"type": "function", "name"}' },
);

const formatSchema = z.discriminatedUnion('type', [
  ...formatVariants,
  z.looseObject({ type: z.literal('json_schema'), ...jsonSchemaFields }),
]);

export const responseSchema = z.strictObject({
  model: z.string().min(1),
  input: z.union([z.string(), z.array(itemSchema).max(100_000)]),
  instructions: z.string().optional(),
  previous_response_id: z.string().optional(),
  store: z.boolean().optional(),
  stream: z.boolean().optional(),
  max_output_tokens: z.int().min(1).optional(),
  temperature: z.number().min(0).max(2).optional(),
  top_p: z.number().min(0).max(1).optional(),
  top_logprobs: z.int().min(0).max(20).optional(),
  text: z.looseObject({ format: formatSchema.nullish(), verbosity: ignored }).optional(),
  reasoning: z.looseObject({ effort: effortSchema.nullish(), summary: ignored }).optional(),
  tools: z.array(toolSchema).max(1000).optional(),
  tool_choice: choiceSchema.optional(),
  parallel_tool_calls: z.boolean().optional(),
  include: z.array(z.string()).optional(),
  truncation: z
    .literal('disabled', { error: 'only "disabled": this server never drops a part of a prompt' })
    .optional(),
  background: z.literal(false, { error: 'background responses are not supported' }).optional(),
  metadata: z.record(z.string(), z.string()).optional(),
  prompt_cache_key: z.string().optional(),
  reasoning_budget: z.int().min(0).optional().describe('Extension: most tokens of thought.'),
  chat_template_kwargs: objectSchema.optional().describe('Extension: variables of the template.'),
  seed: z.int().min(0).optional().describe('Extension.'),
  ...extensions,
  stream_options: ignored,
  service_tier: ignored,
  user: ignored,
  safety_identifier: ignored,
  prompt_cache_retention: ignored,
  prompt_cache_options: ignored,
  client_metadata: ignored,
  max_tool_calls: ignored,
  context_management: ignored,
  conversation: refused('conversations are not supported: use previous_response_id'),
  prompt: refused('stored prompts are not supported'),
  moderation: refused('moderation is not supported'),
});

export type ResponseBody = z.infer<typeof responseSchema>;
