/** Any server with OpenAI's routes: a cluster behind a router of its own, or a provider. */
import type { BackendDescriptor } from './descriptor.js';
import { usualFields } from './usual-fields.js';

const notOfTheApi = { by: 'nobody', why: 'the API has no such field' } as const;

export const openai: BackendDescriptor = {
  name: 'openai',
  title: 'OpenAI-compatible',
  summary:
    'Any URL with OpenAI’s routes: a cluster behind a router of its own, or a provider. Only what the API itself has is sent.',
  homepage: 'https://platform.openai.com/docs/api-reference',
  services: ['chat', 'completions', 'embeddings', 'tools', 'schemas', 'reasoning'],
  targets: [],
  installations: [],
  health: { path: '/v1/models', answersWhileLoading: false },
  ollamaRoutes: false,
  metrics: {},
  fields: {
    ...usualFields,
    stop: {
      by: 'us',
      how: 'The API takes four and does not tell which one ended a text, so they are looked for here.',
    },
    top_k: notOfTheApi,
    min_p: notOfTheApi,
    repetition_penalty: notOfTheApi,
    penalty_window: notOfTheApi,
    logit_bias: { by: 'backend', as: 'logit_bias' },
    thinking: { by: 'us', how: 'The reasoning effort `none`, or `medium`.' },
    template_variables: notOfTheApi,
    reasoning_budget: notOfTheApi,
    regex: notOfTheApi,
    grammar: notOfTheApi,
    choice: {
      by: 'us',
      how: 'JSON of a schema with one string, which is taken out of its quotes.',
    },
    tool_choice: { by: 'backend', as: 'tool_choice' },
    parallel_tool_calls: { by: 'backend', as: 'parallel_tool_calls' },
    token_prompts: { by: 'nobody', why: 'providers take prompts as text only' },
    cached_tokens: { by: 'backend', as: 'usage.prompt_tokens_details.cached_tokens' },
    count_tokens: { by: 'us', how: 'A request for one token, whose usage says it.' },
  },
  wire: {
    maxTokens: 'max_completion_tokens',
    streamFields: { stream_options: { include_usage: true } },
    formatSyntax: 'plain',
    topKOff: 0,
    seedLimit: 2 ** 53,
    keepsConnections: true,
    limitsThought: false,
    takesThought: false,
  },
  notes: [],
};
