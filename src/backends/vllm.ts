/** vLLM: the engine of clusters of graphics cards. */
import type { BackendDescriptor } from './descriptor.js';
import { vllmInstallations } from './installations/vllm.js';
import { engineFields } from './usual-fields.js';

export const vllm: BackendDescriptor = {
  name: 'vllm',
  title: 'vLLM',
  summary:
    'An engine for many requests at once, on one card or, with tensor and pipeline parallelism, on many machines.',
  homepage: 'https://docs.vllm.ai',
  services: ['chat', 'completions', 'embeddings', 'rerank', 'tools', 'schemas', 'reasoning'],
  targets: [
    { platforms: ['linux-x64', 'linux-arm64'], devices: ['cpu', 'cuda'] },
    { platforms: ['linux-x64'], devices: ['rocm'] },
  ],
  installations: vllmInstallations,
  launch: {
    models: 'repository',
    arguments: [
      '--model',
      '{model}',
      '--served-model-name',
      '{servedName}',
      '--host',
      '{host}',
      '--port',
      '{port}',
      '--enable-prefix-caching',
      '--enable-prompt-tokens-details',
      '--no-enable-log-requests',
      { when: 'contextLength', arguments: ['--max-model-len', '{contextLength}'] },
      { when: 'slots', arguments: ['--max-num-seqs', '{slots}'] },
      // Compiling for a processor takes minutes and gains little there.
      { when: 'device', is: ['cpu'], arguments: ['--enforce-eager'] },
    ],
    environment: { PYTHONNOUSERSITE: '1', VLLM_NO_USAGE_STATS: '1', DO_NOT_TRACK: '1' },
    threads: {
      devices: ['cpu'],
      environment: { OMP_NUM_THREADS: '{threads}', VLLM_CPU_OMP_THREADS_BIND: 'nobind' },
    },
    keyVariable: 'VLLM_API_KEY',
    reserved: ['--model', '--served-model-name', '--host', '--port', '--uds', '--api-key'],
    signs: [
      { state: 'loading', pattern: 'Starting to load model|Loading (?:safetensors|weights)' },
      {
        state: 'compiling',
        pattern:
          'torch\\.compile|Dynamo bytecode|Compiling a graph|Capturing CUDA graph|[Ww]arming up',
      },
    ],
    limits: { installing: 3600, loading: 1800, compiling: 3600 },
    stop: { signal: 'SIGTERM', patience: 15 },
  },
  health: { path: '/health', answersWhileLoading: false },
  ollamaRoutes: false,
  metricsPath: '/metrics',
  metrics: {
    'vllm:num_requests_running': 'backend_running_requests',
    'vllm:num_requests_waiting': 'backend_waiting_requests',
    'vllm:kv_cache_usage_perc': 'backend_cache_used_ratio',
    'vllm:gpu_cache_usage_perc': 'backend_cache_used_ratio',
    'vllm:prompt_tokens_total': 'backend_prompt_tokens_total',
    'vllm:generation_tokens_total': 'backend_generated_tokens_total',
    'vllm:spec_decode_num_draft_tokens_total': 'backend_drafted_tokens_total',
    'vllm:spec_decode_num_accepted_tokens_total': 'backend_accepted_tokens_total',
  },
  fields: {
    ...engineFields,
    stop: { by: 'backend', as: 'stop' },
    repetition_penalty: { by: 'backend', as: 'repetition_penalty' },
    penalty_window: { by: 'nobody', why: 'its penalties always look at the whole text' },
    reasoning_budget: { by: 'backend', as: 'thinking_token_budget' },
    regex: { by: 'backend', as: 'structured_outputs.regex' },
    grammar: { by: 'backend', as: 'structured_outputs.grammar' },
    choice: { by: 'backend', as: 'structured_outputs.choice' },
    tool_choice: { by: 'backend', as: 'tool_choice' },
    cached_tokens: { by: 'backend', as: 'usage.prompt_tokens_details.cached_tokens' },
    count_tokens: { by: 'backend', as: '/tokenize' },
  },
  wire: {
    maxTokens: 'max_tokens',
    streamFields: { stream_options: { include_usage: true, continuous_usage_stats: true } },
    completionSchema: 'response_format',
    formatSyntax: 'plain',
    enforcesStrictOnly: true,
    topKOff: 0,
    seedLimit: 2 ** 53,
    keepsConnections: true,
    limitsThought: false,
    takesThought: true,
    ownedBy: 'vllm',
  },
  notes: [
    'Calls that the model may make or not (`tool_choice: "auto"`) need the options --enable-auto-tool-choice and --tool-call-parser of its own, by the model; required and named ones do not.',
    'Thought is told from the answer with --reasoning-parser; without it, this server looks for the usual marks. A budget of thought needs that option.',
    'Schemas of tools are enforced where a call has to be made; then every tool is sent as strict, because it enforces no others.',
  ],
};
