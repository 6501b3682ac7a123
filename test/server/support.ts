/** Servers for tests: on a free port of loopback, with the embedded model or a small random one. */
import { join } from 'node:path';
import { type GgufMetadataEntry, GgufValueType } from '../../src/gguf/types.js';
import { writeGguf } from '../../src/gguf/writer.js';
import { listModels } from '../../src/hub/list.js';
import type { ModelSource } from '../../src/server/library.js';
import { type RunningServer, type ServeOptions, serve } from '../../src/server/serve.js';
import { randomModel } from '../../src/synthetic/random-model.js';
import { repository } from '../support/repository.js';
import { temporaryFile } from '../support/tiny-model.js';

/** The built program: starts faster than the sources. */
export const engineProgram = join(repository, 'dist/src/server/engine-process/main.js');

export interface TestServer extends RunningServer {
  readonly url: string;
}

/** A server that is ready. Close it in `after`. */
export async function startServer(options: Partial<ServeOptions> = {}): Promise<TestServer> {
  const server = await serve({
    models: ['default'],
    port: 0,
    log: 'none',
    engineProgram,
    ...options,
    load: { threads: 1, ...options.load },
  });
  await server.ready;
  return { ...server, url: server.address };
}

/** Writes thoughts between marks, knows tools, and refuses a second system message. */
export const thinkingTemplate = `{%- for message in messages -%}
{%- if message.role == 'system' and not loop.first -%}
{{- raise_exception('System message must be at the beginning.') -}}
{%- endif -%}
{{- '[' + message.role + ']' + message.content + '\\n' -}}
{%- endfor -%}
{%- if tools %}{{ tools | tojson }}{% endif -%}
{%- if add_generation_prompt -%}
{{- '[assistant]' -}}
{%- if enable_thinking is not defined or enable_thinking %}{{ '<think>\\n' }}{% else %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif -%}
{%- endif -%}`;

/** A disk that has these files, by their aliases, and nothing else. */
export function disk(aliases: Readonly<Record<string, string>>): ModelSource {
  const cache = temporaryFile('no-hub');
  return {
    list: () => listModels({ environment: { cache }, settings: { aliases, drafters: {} } }),
    use: async () => [],
  };
}

let thinking: Promise<string> | undefined;

/** Path of a model with random weights whose template opens a thought. */
export function thinkingModel(): Promise<string> {
  thinking ??= writeThinkingModel('thinking.gguf', [
    ['tokenizer.chat_template', { type: GgufValueType.STRING, value: thinkingTemplate }],
  ]);
  return thinking;
}

/**
 * The same for llama-server, which looks for thought where the template writes earlier thought, too, and
 * for its mark as the vocabulary cuts it alone.
 */
export function tellingThinkingModel(): Promise<string> {
  const earlier = "{{- '<think>\\n' + message.reasoning_content + '\\n</think>\\n\\n' -}}";
  const value = thinkingTemplate.replace(
    "{{- '[' + message.role + ']' + message.content + '\\n' -}}",
    `{{- '[' + message.role + ']' -}}
{%- if message.reasoning_content %}${earlier}{% endif -%}
{{- (message.content or '') + '\\n' -}}`,
  );
  return writeThinkingModel('telling-thinking.gguf', [
    ['tokenizer.chat_template', { type: GgufValueType.STRING, value }],
    ['tokenizer.ggml.add_space_prefix', { type: GgufValueType.BOOL, value: false }],
  ]);
}

async function writeThinkingModel(
  name: string,
  entries: readonly (readonly [string, GgufMetadataEntry])[],
): Promise<string> {
  const path = temporaryFile(name);
  const { metadata, tensors } = randomModel({
    architecture: 'llama',
    layers: 1,
    embedding: 64,
    heads: 2,
    kvHeads: 1,
    headDim: 32,
    inner: 64,
    context: 4096,
    tied: false,
  });
  await writeGguf(path, { metadata: new Map([...metadata, ...entries]), tensors });
  return path;
}

/** Posts JSON and gives status, headers and the body, parsed where it is JSON. */
export async function post(
  server: { readonly url: string },
  path: string,
  body: unknown,
  init: { readonly headers?: Record<string, string>; readonly signal?: AbortSignal } = {},
) {
  const response = await fetch(server.url + path, {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    headers: { 'content-type': 'application/json', ...init.headers },
    ...(init.signal === undefined ? {} : { signal: init.signal }),
  });
  const raw = await response.text();
  let json: unknown;
  try {
    json = JSON.parse(raw);
  } catch {
    json = undefined;
  }
  return { status: response.status, headers: response.headers, text: raw, json: json as Json };
}

/** JSON that a test looks into. */
export interface Json {
  readonly [key: string]: Json;
}

/** The data of a stream of server-sent events, `[DONE]` left out. */
export function sseData(body: string): Json[] {
  return body
    .split('\n')
    .filter((line) => line.startsWith('data: ') && line !== 'data: [DONE]')
    .map((line) => JSON.parse(line.slice(6)) as Json);
}

/** Waits until a condition holds. */
export async function eventually(condition: () => boolean, what: string): Promise<void> {
  for (let round = 0; round < 1000; round++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`It never came about: ${what}`);
}
