/**
 * The tools that can be pointed at an endpoint, each with its settings files, its command and what a
 * person has to know. Facts only: nothing here touches a file or starts a program.
 */
import { join } from 'node:path';
import type { Change, SettingsFormat } from './change.js';

/** What tools are pointed at. */
export interface Endpoint {
  /** Without a path: `http://127.0.0.1:11711`. */
  readonly url: string;
  readonly model: string;
  /** In tokens. */
  readonly contextLength: number;
  readonly apiKey?: string;
}

/** Where settings are. */
export interface Surroundings {
  readonly home: string;
  readonly platform: NodeJS.Platform;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly exists: (path: string) => boolean;
}

export interface SettingsFile {
  readonly file: string;
  readonly format: SettingsFormat;
  readonly changes: readonly Change[];
}

/** How a tool is started so that it uses the endpoint. */
export interface Launch {
  readonly command: string;
  /** What installs the command. */
  readonly install: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** The tool reads its endpoint from its settings only: they have to be written first. */
  readonly needsSettings?: boolean;
}

export interface Tool {
  readonly title: string;
  /** Undefined: the tool keeps them where no other program should write. */
  readonly settings?: (endpoint: Endpoint, where: Surroundings) => SettingsFile;
  readonly launch?: (endpoint: Endpoint) => Launch;
  /** What to do by hand, one sentence each. */
  readonly notes?: (endpoint: Endpoint) => readonly string[];
}

/** The variable from which tools that can do so read the key, so that it is in no file. */
const keyVariable = 'PACELINE_API_KEY';
/** For tools that want some key where the server wants none. */
const noKey = 'paceline';

const exportKey = ({ apiKey }: Endpoint): readonly string[] =>
  apiKey === undefined ? [] : [`Set ${keyVariable} to the key where the tool is started.`];

const keyEnv = ({ apiKey = noKey }: Endpoint) => ({ [keyVariable]: apiKey });

/** Tokens of an answer: agents keep that much of the context free. */
const answerTokens = ({ contextLength }: Endpoint): number =>
  Math.min(8192, Math.floor(contextLength / 4));

const xdgConfig = ({ env, home }: Surroundings): string =>
  env.XDG_CONFIG_HOME || join(home, '.config');

function codexProvider({ url, apiKey }: Endpoint) {
  return {
    name: 'Paceline',
    base_url: `${url}/v1`,
    wire_api: 'responses',
    ...(apiKey === undefined ? {} : { env_key: keyVariable }),
  };
}

function opencodeProvider(endpoint: Endpoint) {
  const { url, apiKey, model, contextLength } = endpoint;
  const limit = { context: contextLength, output: answerTokens(endpoint) };
  return {
    npm: '@ai-sdk/openai-compatible',
    name: 'Paceline',
    options: {
      baseURL: `${url}/v1`,
      ...(apiKey === undefined ? {} : { apiKey: `{env:${keyVariable}}` }),
    },
    models: { [model]: { name: model, tool_call: true, limit } },
  };
}

function claudeEnvironment({ url, model, apiKey = noKey }: Endpoint) {
  return {
    ANTHROPIC_BASE_URL: url,
    ANTHROPIC_AUTH_TOKEN: apiKey,
    ANTHROPIC_MODEL: model,
    ANTHROPIC_DEFAULT_OPUS_MODEL: model,
    ANTHROPIC_DEFAULT_SONNET_MODEL: model,
    ANTHROPIC_DEFAULT_HAIKU_MODEL: model,
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
  };
}

export const tools = {
  codex: {
    title: 'Codex',
    settings: (endpoint, { env, home }) => ({
      file: join(env.CODEX_HOME || join(home, '.codex'), 'config.toml'),
      format: 'toml',
      changes: [
        { path: ['model_provider'], value: 'paceline' },
        { path: ['model'], value: endpoint.model },
        { path: ['model_context_window'], value: endpoint.contextLength },
        { path: ['model_providers', 'paceline'], value: codexProvider(endpoint) },
      ],
    }),
    launch: (endpoint) => ({
      command: 'codex',
      install: 'npm install -g @openai/codex',
      args: [
        ['model_provider', 'paceline'] as const,
        ['model', endpoint.model] as const,
        ['model_context_window', endpoint.contextLength] as const,
        ...Object.entries(codexProvider(endpoint)).map(
          ([key, value]) => [`model_providers.paceline.${key}`, value] as const,
        ),
        // Numbers and strings of JSON are such of TOML.
      ].flatMap(([key, value]) => ['-c', `${key}=${JSON.stringify(value)}`]),
      env: keyEnv(endpoint),
    }),
    notes: exportKey,
  },
  opencode: {
    title: 'opencode',
    settings: (endpoint, where) => {
      const folder = join(xdgConfig(where), 'opencode');
      const commented = join(folder, 'opencode.jsonc');
      return {
        file: where.exists(commented) ? commented : join(folder, 'opencode.json'),
        format: 'json',
        changes: [
          { path: ['$schema'], initial: 'https://opencode.ai/config.json' },
          { path: ['provider', 'paceline'], value: opencodeProvider(endpoint) },
          { path: ['model'], value: `paceline/${endpoint.model}` },
        ],
      };
    },
    launch: (endpoint) => ({
      command: 'opencode',
      install: 'npm install -g opencode-ai',
      env: {
        ...keyEnv(endpoint),
        OPENCODE_CONFIG_CONTENT: JSON.stringify({
          provider: { paceline: opencodeProvider(endpoint) },
          model: `paceline/${endpoint.model}`,
        }),
      },
    }),
    notes: exportKey,
  },
  'claude-code': {
    title: 'Claude Code',
    settings: (endpoint, { env, home }) => ({
      file: join(env.CLAUDE_CONFIG_DIR || join(home, '.claude'), 'settings.json'),
      format: 'json',
      changes: Object.entries(claudeEnvironment(endpoint)).map(([name, value]) => ({
        path: ['env', name],
        value,
      })),
    }),
    launch: (endpoint) => ({
      command: 'claude',
      install: 'npm install -g @anthropic-ai/claude-code',
      env: claudeEnvironment(endpoint),
    }),
    notes: () => [
      'Unset ANTHROPIC_API_KEY where it is started: it would be sent as well.',
      'Its prompts have 12,000 tokens and more, by the model’s tokenizer: give the server 32,768 (--ctx).',
    ],
  },
  continue: {
    title: 'Continue',
    settings: ({ url, model, contextLength, apiKey = noKey }, { env, home }) => ({
      file: join(env.CONTINUE_GLOBAL_DIR || join(home, '.continue'), 'config.yaml'),
      format: 'yaml',
      changes: [
        { path: ['name'], initial: 'Local' },
        { path: ['version'], initial: '1.0.0' },
        { path: ['schema'], initial: 'v1' },
        {
          path: ['models'],
          entry: {
            name: 'Paceline',
            provider: 'openai',
            model,
            apiBase: `${url}/v1`,
            apiKey,
            roles: ['chat', 'edit', 'apply'],
            capabilities: ['tool_use'],
            defaultCompletionOptions: { contextLength },
          },
        },
      ],
    }),
    notes: () => ['A config.json beside config.yaml is read no more once config.yaml exists.'],
  },
  cline: {
    title: 'Cline',
    notes: ({ url, model, apiKey = noKey }) => [
      'Cline keeps its settings in the editor’s own storage; open its settings there and enter:',
      'API Provider: OpenAI Compatible',
      `Base URL: ${url}/v1`,
      `OpenAI Compatible API Key: ${apiKey}`,
      `Model ID: ${model}`,
      `Its command line: cline auth --provider openai-native --apikey ${apiKey} --modelid ${model} --baseurl ${url}/v1`,
    ],
  },
  zed: {
    title: 'Zed',
    settings: (endpoint, where) => ({
      file:
        where.platform === 'win32'
          ? join(
              where.env.APPDATA || join(where.home, 'AppData', 'Roaming'),
              'Zed',
              'settings.json',
            )
          : join(
              where.platform === 'darwin' ? join(where.home, '.config') : xdgConfig(where),
              'zed',
              'settings.json',
            ),
      format: 'json',
      changes: [
        {
          path: ['language_models', 'openai_compatible', 'Paceline'],
          value: {
            api_url: `${endpoint.url}/v1`,
            available_models: [
              {
                name: endpoint.model,
                display_name: endpoint.model,
                max_tokens: endpoint.contextLength,
                max_output_tokens: answerTokens(endpoint),
                capabilities: {
                  tools: true,
                  images: false,
                  parallel_tool_calls: true,
                  prompt_cache_key: true,
                },
              },
            ],
          },
        },
        {
          path: ['agent', 'default_model'],
          value: { provider: 'Paceline', model: endpoint.model },
        },
      ],
    }),
    launch: (endpoint) => ({
      command: 'zed',
      install: 'https://zed.dev/download',
      env: keyEnv(endpoint),
      needsSettings: true,
    }),
    notes: () => [
      `Zed reads the key from ${keyVariable}, or from its settings of providers; it wants one, and any will do where the server has none.`,
    ],
  },
  vscode: {
    title: 'Visual Studio Code',
    settings: (endpoint, where) => ({
      file: join(vscodeFolder(where), 'User', 'chatLanguageModels.json'),
      format: 'json',
      changes: [
        {
          path: [],
          entry: {
            name: 'Paceline',
            ...{
              vendor: 'customendpoint',
              apiType: 'chat-completions',
              models: [
                {
                  id: endpoint.model,
                  name: endpoint.model,
                  url: `${endpoint.url}/v1/chat/completions`,
                  toolCalling: true,
                  vision: false,
                  maxInputTokens: endpoint.contextLength - answerTokens(endpoint),
                  maxOutputTokens: answerTokens(endpoint),
                },
              ],
            },
          },
        },
      ],
    }),
    launch: () => ({
      command: 'code',
      install: 'https://code.visualstudio.com/download',
      needsSettings: true,
    }),
    notes: ({ apiKey }) => [
      'VS Code 1.122 or later, with Copilot Chat; run “Chat: Manage Language Models” to see the model.',
      ...(apiKey === undefined ? [] : ['Enter the key there: VS Code keeps it in its own store.']),
    ],
  },
} as const satisfies Readonly<Record<string, Tool>>;

export type ToolName = keyof typeof tools;

function vscodeFolder({ platform, env, home }: Surroundings): string {
  if (platform === 'win32') return join(env.APPDATA || join(home, 'AppData', 'Roaming'), 'Code');
  if (platform === 'darwin') return join(home, 'Library', 'Application Support', 'Code');
  return join(env.XDG_CONFIG_HOME || join(home, '.config'), 'Code');
}
