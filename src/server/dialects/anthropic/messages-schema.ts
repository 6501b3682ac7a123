/** What `POST /v1/messages` takes; the one source for its checks, types and description. */
import { z } from 'zod';
import { ignored, refused } from '../dialect.js';
import { extensions, objectSchema, toolName } from '../schemas.js';

const block = z.looseObject({ type: z.string() });
const content = z.union([z.string(), z.array(block)]);

const messageSchema = z.looseObject({
  role: z.enum(['user', 'assistant', 'system']),
  content,
});

const toolSchema = z.looseObject({
  type: z.literal('custom', { error: 'only custom tools are supported' }).nullish(),
  name: toolName,
  description: z.string().optional(),
  input_schema: objectSchema,
  strict: z.boolean().optional(),
});

const parallel = { disable_parallel_tool_use: z.boolean().optional() };

const choiceSchema = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('auto'), ...parallel }),
  z.looseObject({ type: z.literal('any'), ...parallel }),
  z.looseObject({ type: z.literal('tool'), name: z.string(), ...parallel }),
  z.looseObject({ type: z.literal('none') }),
]);

const thinkingSchema = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('enabled'), budget_tokens: z.int().min(1).optional() }),
  z.looseObject({ type: z.literal('adaptive') }),
  z.looseObject({ type: z.literal('disabled') }),
]);

const formatSchema = z.looseObject({ type: z.literal('json_schema'), schema: objectSchema });

const fields = {
  model: z.string().min(1),
  messages: z.array(messageSchema).min(1).max(100_000),
  system: z
    .union([z.string(), z.array(z.looseObject({ type: z.literal('text'), text: z.string() }))])
    .optional(),
  tools: z.array(toolSchema).max(1000).optional(),
  tool_choice: choiceSchema.optional(),
  thinking: thinkingSchema.optional(),
  output_config: z
    .looseObject({ effort: z.string().nullish(), format: formatSchema.nullish() })
    .optional(),
  output_format: formatSchema.optional(),
  cache_control: ignored,
  context_management: ignored,
  speed: ignored,
  inference_geo: ignored,
  container: refused('containers are not supported'),
  mcp_servers: z.array(z.unknown()).max(0, 'MCP servers are not supported').optional(),
  thread: refused('threads are not supported: send the whole conversation'),
};

export const countSchema = z.strictObject(fields);

export const messagesSchema = z.strictObject({
  ...fields,
  max_tokens: z.int().min(1),
  stop_sequences: z
    .array(z.string().min(1, 'a stop sequence must have at least one character'))
    .max(64)
    .optional(),
  stream: z.boolean().optional(),
  temperature: z.number().min(0).max(2).optional(),
  top_p: z.number().min(0).max(1).optional(),
  ...extensions,
  seed: z.int().min(0).optional().describe('Extension.'),
  metadata: z.looseObject({ user_id: z.string().nullish() }).optional(),
  service_tier: ignored,
});

export type CountBody = z.infer<typeof countSchema>;
export type MessageBody = z.infer<typeof messageSchema>;
