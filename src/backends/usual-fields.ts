/** Fields that several backends serve in the same way: descriptors name the others. */
import type { FieldSupport, RequestField } from './descriptor.js';

/** Of every server with OpenAI's API. */
export const usualFields = {
  seed: { by: 'backend', as: 'seed' },
  n: { by: 'us', how: 'A request for each text, with seeds that follow each other.' },
  presence_penalty: { by: 'backend', as: 'presence_penalty' },
  frequency_penalty: { by: 'backend', as: 'frequency_penalty' },
  logprobs: { by: 'backend', as: 'logprobs' },
  json: { by: 'backend', as: 'response_format' },
  json_schema: { by: 'backend', as: 'response_format' },
  tools: { by: 'backend', as: 'tools' },
} as const satisfies Partial<Record<RequestField, FieldSupport>>;

/** Of the engines that take more than that API has, as well. */
export const engineFields = {
  ...usualFields,
  top_k: { by: 'backend', as: 'top_k' },
  min_p: { by: 'backend', as: 'min_p' },
  logit_bias: { by: 'backend', as: 'logit_bias' },
  thinking: { by: 'backend', as: 'chat_template_kwargs.enable_thinking' },
  template_variables: { by: 'backend', as: 'chat_template_kwargs' },
  parallel_tool_calls: { by: 'backend', as: 'parallel_tool_calls' },
  token_prompts: { by: 'backend', as: 'prompt' },
} as const satisfies Partial<Record<RequestField, FieldSupport>>;
