/** Ollama, by its compatible routes. */
import type { BackendDescriptor } from './descriptor.js';
import { usualFields } from './usual-fields.js';

export const ollama: BackendDescriptor = {
  name: 'ollama',
  title: 'Ollama',
  summary: 'A server that keeps models of its own library; Paceline attaches to a running one.',
  homepage: 'https://docs.ollama.com',
  services: ['chat', 'completions', 'embeddings', 'tools', 'schemas', 'reasoning'],
  targets: [
    { platforms: ['linux-x64', 'linux-arm64'], devices: ['cpu', 'cuda', 'rocm', 'vulkan'] },
    { platforms: ['darwin-x64', 'darwin-arm64'], devices: ['cpu', 'metal'] },
    { platforms: ['win32-x64', 'win32-arm64'], devices: ['cpu', 'cuda', 'rocm', 'vulkan'] },
  ],
  installations: [],
  health: { path: '/api/version', answersWhileLoading: true },
  ollamaRoutes: true,
  metrics: {},
  fields: {
    ...usualFields,
    stop: {
      by: 'us',
      how: 'It does not tell which one ended a text, so they are looked for here.',
    },
    top_k: { by: 'nobody', why: 'its compatible routes do not take it' },
    min_p: { by: 'nobody', why: 'its compatible routes do not take it' },
    repetition_penalty: { by: 'nobody', why: 'its compatible routes do not take it' },
    penalty_window: { by: 'nobody', why: 'its compatible routes do not take it' },
    logit_bias: { by: 'nobody', why: 'it does not take biases' },
    thinking: { by: 'us', how: 'The reasoning effort `none`, or `medium`.' },
    template_variables: { by: 'nobody', why: 'its templates take no variables' },
    reasoning_budget: { by: 'nobody', why: 'it has no limit of thought' },
    regex: { by: 'nobody', why: 'it has no regular expressions' },
    grammar: { by: 'nobody', why: 'it takes no grammars' },
    choice: {
      by: 'us',
      how: 'JSON of a schema with one string, which is taken out of its quotes.',
    },
    tool_choice: {
      by: 'us',
      how: 'Required and named calls are asked for as JSON of a schema, because it has no such choice.',
    },
    parallel_tool_calls: { by: 'nobody', why: 'it does not limit how many calls are made at once' },
    token_prompts: { by: 'nobody', why: 'it takes prompts as text only' },
    cached_tokens: { by: 'nobody', why: 'it does not tell' },
    count_tokens: { by: 'us', how: 'A request for one token, whose usage says it.' },
  },
  wire: {
    maxTokens: 'max_tokens',
    streamFields: { stream_options: { include_usage: true } },
    formatSyntax: 'plain',
    topKOff: 0,
    seedLimit: 2 ** 31,
    keepsConnections: true,
    limitsThought: false,
    takesThought: true,
    ownedBy: 'library',
  },
  notes: ['Models are named as `ollama list` names them.'],
};
