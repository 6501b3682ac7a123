/** What Ollama's `chat`, `generate` and `embed` take; the one source for checks, types, description. */
import { z } from 'zod';
import { ignored, refused } from '../dialect.js';
import { objectSchema, stopSchema, toolName } from '../schemas.js';

const callSchema = z.looseObject({
  id: z.string().optional(),
  function: z.looseObject({
    name: z.string(),
    arguments: z.union([objectSchema, z.string()]).optional(),
  }),
});

const images = z
  .array(z.unknown())
  .max(0, 'images are not supported: this server reads text only')
  .nullish();

const messageSchema = z.looseObject({
  role: z.enum(['system', 'user', 'assistant', 'tool']),
  content: z.string().nullish(),
  thinking: z.string().nullish(),
  images,
  tool_calls: z.array(callSchema).nullish(),
  tool_name: z.string().nullish(),
  tool_call_id: z.string().nullish(),
});

const off = (value: number, name: string) =>
  z.literal(value, { error: `${name} is not supported` }).optional();

/** Options of a model's run; those about how it is computed have no influence on the text. */
const optionsSchema = z.strictObject({
  num_predict: z.int().min(-2).optional(),
  temperature: z.number().min(0).max(100).optional(),
  top_k: z.int().min(0).optional(),
  top_p: z.number().min(0).max(1).optional(),
  min_p: z.number().min(0).max(1).optional(),
  seed: z.int().min(-1).optional(),
  stop: stopSchema.optional(),
  repeat_penalty: z.number().positive().max(1000).optional(),
  repeat_last_n: z.int().min(-1).optional(),
  presence_penalty: z.number().min(-1000).max(1000).optional(),
  frequency_penalty: z.number().min(-1000).max(1000).optional(),
  typical_p: off(1, 'typical_p'),
  tfs_z: off(1, 'tfs_z'),
  mirostat: off(0, 'mirostat'),
  mirostat_tau: ignored,
  mirostat_eta: ignored,
  penalize_newline: z.literal(true, { error: 'only true is supported' }).optional(),
  num_ctx: ignored.describe('The context is as long as the server made it; it is never cut.'),
  num_keep: ignored,
  num_batch: ignored,
  num_gpu: ignored,
  main_gpu: ignored,
  num_thread: ignored,
  numa: ignored,
  low_vram: ignored,
  f16_kv: ignored,
  use_mmap: ignored,
  use_mlock: ignored,
  vocab_only: ignored,
  logits_all: ignored,
});

const shared = {
  model: z.string().min(1),
  format: z.union([z.literal(''), z.literal('json'), objectSchema]).optional(),
  options: optionsSchema.optional(),
  stream: z.boolean().optional(),
  think: z.union([z.boolean(), z.enum(['low', 'medium', 'high', 'max'])]).optional(),
  keep_alive: z.union([z.string(), z.number()]).optional(),
  truncate: ignored,
  shift: ignored,
  logprobs: z.literal(false, { error: 'logprobs are not supported here' }).optional(),
  top_logprobs: z.literal(0, { error: 'logprobs are not supported here' }).optional(),
};

export const ollamaChatSchema = z.strictObject({
  ...shared,
  messages: z.array(messageSchema).max(100_000).optional(),
  tools: z
    .array(
      z.looseObject({
        type: z.literal('function').optional(),
        function: z.looseObject({
          name: toolName,
          description: z.string().nullish(),
          parameters: objectSchema.nullish(),
        }),
      }),
    )
    .max(1000)
    .optional(),
});

export const ollamaGenerateSchema = z.strictObject({
  ...shared,
  prompt: z.string().optional(),
  system: z.string().optional(),
  raw: z.boolean().optional(),
  images,
  suffix: z.literal('', { error: 'filling a gap in a text is not supported' }).optional(),
  template: z.literal('', { error: 'the template is the one of the model' }).optional(),
  context: z.array(z.int()).max(0, 'send the whole text: context is not supported').optional(),
  width: refused('images are not supported'),
  height: refused('images are not supported'),
  steps: refused('images are not supported'),
});

export const ollamaEmbedSchema = z.strictObject({
  model: z.string().min(1),
  input: z.union([z.string(), z.array(z.string()).max(2048)]).optional(),
  prompt: z.string().optional(),
  truncate: z
    .boolean()
    .optional()
    .describe('Nothing is ever cut: a text longer than the context is an error.'),
  dimensions: z.int().min(1).optional(),
  keep_alive: ignored,
  options: ignored,
});

export const ollamaShowSchema = z
  .looseObject({ model: z.string().optional(), name: z.string().optional() })
  .describe('`name` is the older spelling of `model`.');

export type OllamaChatBody = z.infer<typeof ollamaChatSchema>;
export type OllamaGenerateBody = z.infer<typeof ollamaGenerateSchema>;
