/** SGLang: an engine for cards whose scheduler is built around shared prefixes. */
import type { BackendDescriptor } from './descriptor.js';
import { sglangInstallations } from './installations/sglang.js';
import { engineFields } from './usual-fields.js';

export const sglang: BackendDescriptor = {
  name: 'sglang',
  title: 'SGLang',
  summary:
    'An engine for many requests at once whose scheduler is built around shared prefixes, on one card or many machines.',
  homepage: 'https://docs.sglang.io',
  services: ['chat', 'completions', 'embeddings', 'tools', 'schemas', 'reasoning'],
  targets: [{ platforms: ['linux-x64', 'linux-arm64'], devices: ['cuda', 'rocm', 'cpu'] }],
  installations: sglangInstallations,
  launch: {
    models: 'repository',
    arguments: [
      '--model-path',
      '{model}',
      '--served-model-name',
      '{servedName}',
      '--host',
      '{host}',
      '--port',
      '{port}',
      '--enable-metrics',
      '--enable-cache-report',
      { when: 'contextLength', arguments: ['--context-length', '{contextLength}'] },
      { when: 'slots', arguments: ['--max-running-requests', '{slots}'] },
      { when: 'device', is: ['cpu'], arguments: ['--device', 'cpu'] },
    ],
    environment: { PYTHONNOUSERSITE: '1' },
    reserved: ['--model-path', '--model', '--served-model-name', '--host', '--port', '--api-key'],
    signs: [
      { state: 'loading', pattern: 'Load weight begin|Loading safetensors' },
      { state: 'compiling', pattern: 'Capture cuda graph begin|torch\\.compile|Warmup' },
    ],
    limits: { installing: 3600, loading: 1800, compiling: 3600 },
    stop: { signal: 'SIGTERM', patience: 15 },
  },
  health: { path: '/health', answersWhileLoading: false },
  ollamaRoutes: false,
  metricsPath: '/metrics',
  metrics: {
    'sglang:num_running_reqs': 'backend_running_requests',
    'sglang:num_queue_reqs': 'backend_waiting_requests',
    'sglang:token_usage': 'backend_cache_used_ratio',
    'sglang:prompt_tokens_total': 'backend_prompt_tokens_total',
    'sglang:generation_tokens_total': 'backend_generated_tokens_total',
  },
  fields: {
    ...engineFields,
    stop: { by: 'backend', as: 'stop' },
    repetition_penalty: { by: 'backend', as: 'repetition_penalty' },
    penalty_window: { by: 'nobody', why: 'its penalties always look at the whole text' },
    reasoning_budget: { by: 'nobody', why: 'it has no limit of thought' },
    regex: { by: 'backend', as: 'regex' },
    grammar: { by: 'backend', as: 'ebnf' },
    choice: { by: 'us', how: 'A regular expression of the texts.' },
    tool_choice: { by: 'backend', as: 'tool_choice' },
    cached_tokens: { by: 'backend', as: 'usage.prompt_tokens_details.cached_tokens' },
    count_tokens: { by: 'us', how: 'A request for one token, whose usage says it.' },
  },
  wire: {
    maxTokens: 'max_tokens',
    streamFields: { stream_options: { include_usage: true, continuous_usage_stats: true } },
    completionSchema: 'response_format',
    formatSyntax: 'plain',
    topKOff: -1,
    seedLimit: 2 ** 53,
    keepsConnections: true,
    takesThought: true,
    ownedBy: 'sglang',
  },
  notes: [
    'Calls of tools need --tool-call-parser, thought --reasoning-parser, by the model.',
    'It is started without a key of its own, because it takes one on its command line only, where other users of the machine could read it; it listens on loopback.',
  ],
};
