/** This engine on another host. In this server's own process it needs no description. */
import type { BackendDescriptor } from './descriptor.js';
import { engineFields } from './usual-fields.js';

export const paceline: BackendDescriptor = {
  name: 'paceline',
  title: 'Paceline',
  summary: 'This engine: in the server’s own engine process, or attached on another host.',
  homepage: 'https://www.npmjs.com/package/paceline',
  services: ['chat', 'completions', 'embeddings', 'rerank', 'tools', 'schemas', 'reasoning'],
  targets: [
    { platforms: ['linux-x64', 'linux-arm64', 'win32-x64'], devices: ['cpu', 'cuda', 'vulkan'] },
    { platforms: ['darwin-x64', 'darwin-arm64'], devices: ['cpu', 'metal'] },
    { platforms: ['win32-arm64'], devices: ['cpu'] },
  ],
  installations: [],
  health: { path: '/health', answersWhileLoading: true },
  ollamaRoutes: true,
  metricsPath: '/metrics',
  metrics: {
    paceline_slots_busy: 'backend_running_requests',
    paceline_queue_requests: 'backend_waiting_requests',
    paceline_prompt_tokens_total: 'backend_prompt_tokens_total',
    paceline_generated_tokens_total: 'backend_generated_tokens_total',
  },
  fields: {
    ...engineFields,
    stop: { by: 'backend', as: 'stop' },
    repetition_penalty: { by: 'backend', as: 'repetition_penalty' },
    penalty_window: { by: 'backend', as: 'penalty_window' },
    reasoning_budget: { by: 'backend', as: 'reasoning_budget' },
    regex: { by: 'backend', as: 'response_format' },
    grammar: { by: 'backend', as: 'response_format' },
    choice: { by: 'backend', as: 'response_format' },
    tool_choice: { by: 'backend', as: 'tool_choice' },
    cached_tokens: { by: 'backend', as: 'usage.prompt_tokens_details.cached_tokens' },
    count_tokens: { by: 'us', how: 'A request for one token, whose usage says it.' },
  },
  wire: {
    maxTokens: 'max_tokens',
    streamFields: { stream_options: { include_usage: true }, details: true },
    completionSchema: 'response_format',
    formatSyntax: 'response_format',
    topKOff: 0,
    seedLimit: 2 ** 53,
    keepsConnections: true,
    limitsThought: false,
    takesThought: true,
    ownedBy: 'paceline',
  },
  notes: [],
};
