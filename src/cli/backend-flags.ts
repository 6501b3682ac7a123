/** What `serve` says of other engines: attached ones, started ones, and who answers first. */
import type { Command } from 'commander';
import { Option } from 'commander';
import type { UpstreamSpec } from '../backends/create.js';
import type { BackendDescriptor } from '../backends/descriptor.js';
import type { BackendEngine } from '../backends/engine.js';
import { backendNamed, backends } from '../backends/registry.js';
import { PacelineError } from '../base/errors.js';
import type { SharingPolicy } from '../server/engines.js';
import { readTextFile } from './input.js';
import { resolveModel } from './model-names.js';
import { collect, integer } from './numbers.js';

export interface BackendFlags {
  readonly upstream?: readonly string[];
  readonly upstreamKeyFile?: string;
  readonly upstreamSlots: number;
  readonly alias?: readonly string[];
  readonly backend?: string;
  readonly backendArg?: readonly string[];
  readonly model?: readonly string[];
  readonly prefer: 'own' | 'upstream';
  readonly spillAfter: number;
}

/** What of the server's other flags counts for engines that are started. */
export interface EngineFlags {
  readonly slots: number;
  readonly queue: number;
  readonly maxModels: number;
  readonly unloadAfter: number;
  readonly ctx?: number;
  readonly threads?: number;
}

type Notice = (level: 'info' | 'warn' | 'error', text: string) => void;

export function addBackendFlags(command: Command): void {
  const add = (flags: string, text: string, change: (option: Option) => Option = (same) => same) =>
    command.addOption(change(new Option(flags, text)).helpGroup('Other engines:'));
  const startable = backends.flatMap(({ name, launch }) => (launch === undefined ? [] : [name]));
  add(
    '--upstream <url>',
    'an engine that runs already, or BACKEND=URL; may be repeated; its key in PACELINE_UPSTREAM_KEY',
    (option) => option.argParser<string[]>(collect),
  );
  add('--upstream-key-file <file>', 'a file with one key, or with a URL and its key a line');
  add('--upstream-slots <count>', 'requests that an upstream gets at once', (option) =>
    option.argParser(integer(1, 4096)).default(64),
  );
  add('--alias <name=model>', 'a further name for an upstream’s model; may be repeated', (option) =>
    option.argParser<string[]>(collect),
  );
  add('--backend <name>', 'the engine that is started for the models', (option) =>
    option.choices(startable),
  );
  add('--backend-arg <argument>', 'a further argument of that engine; may be repeated', (option) =>
    option.argParser<string[]>(collect),
  );
  add('--model <name>', 'a model, as the argument; may be repeated', (option) =>
    option.argParser<string[]>(collect),
  );
  add('--prefer <side>', 'who answers for a model that both have', (option) =>
    option.choices(['own', 'upstream']).default('own'),
  );
  add('--spill-after <count>', 'the other side answers when so many wait', (option) =>
    option.argParser(integer(0, 100_000)).default(0),
  );
}

export function sharingOf({ prefer, spillAfter }: BackendFlags): SharingPolicy {
  return { prefer, spillAfter };
}

/** Whether the models are for an engine that is started. */
export function usesBackend({ backend }: BackendFlags): boolean {
  return backend !== undefined;
}

/**
 * The engine of all that the flags name; undefined: they name none.
 * @throws {PacelineError} `usage`; as `createBackendEngine`.
 */
export async function backendEngine(
  models: readonly string[],
  flags: BackendFlags & EngineFlags,
  onNotice: Notice,
): Promise<BackendEngine | undefined> {
  const { upstream = [], backend, alias = [], upstreamSlots, queue } = flags;
  if (upstream.length === 0 && backend === undefined) return undefined;
  const { createBackendEngine, parseUpstream } = await import('../backends/create.js');
  const keys = await upstreamKeys(flags);
  const upstreams = upstream.map((text): UpstreamSpec => {
    const spec = parseUpstream(text);
    const key = keys.get(spec.url) ?? keys.get('');
    return { ...spec, ...(key === undefined ? {} : { key }) };
  });
  const managed = backend === undefined ? undefined : await managedSpec(backend, models, flags);
  return createBackendEngine({
    upstreams,
    upstreamSlots,
    queueLimit: queue,
    aliases: new Map(alias.map(parsedAlias)),
    onNotice,
    ...(managed === undefined ? {} : { managed }),
  });
}

async function managedSpec(
  name: string,
  models: readonly string[],
  flags: BackendFlags & EngineFlags,
) {
  const { engineProgram } = await import('../backends/managed/program.js');
  if (models.length === 0) {
    throw new PacelineError('usage', `--backend ${name} needs a model`, {
      hint: `For example: paceline serve --backend ${name} MODEL.`,
    });
  }
  const backend = backendNamed(name);
  const engine = await engineProgram(backend);
  const { slots, maxModels, unloadAfter, ctx, threads, backendArg } = flags;
  return {
    backend: backend.name,
    ...engine,
    models: await Promise.all(
      models.map(async (model, index) => ({
        ...(await servedModel(backend, model)),
        pinned: index === 0,
      })),
    ),
    slots,
    maxLoaded: maxModels,
    unloadAfterMs: unloadAfter * 1000,
    ...(ctx === undefined ? {} : { contextLength: ctx }),
    ...(threads === undefined ? {} : { threads }),
    ...(backendArg === undefined ? {} : { extra: backendArg }),
  };
}

/** What an engine is given as its model, and what requests call that. */
async function servedModel({ launch }: BackendDescriptor, name: string) {
  const { modelId } = await import('../server/catalog.js');
  if (launch?.models !== 'gguf') {
    const model = name.replace(/^hf:/, '').replace(/(?<=.)\/+$/, '');
    return { id: model.split('/').at(-1) ?? model, model };
  }
  const { path } = await resolveModel(name);
  return { id: /\.gguf$/i.test(name) ? modelId(name) : name, model: path };
}

function parsedAlias(text: string): readonly [string, string] {
  const at = text.indexOf('=');
  if (at > 0 && at < text.length - 1) return [text.slice(0, at), text.slice(at + 1)];
  throw new PacelineError('usage', `--alias ${text} is no name=model`);
}

/** Keys by URL, the one for all under the empty name. Neither is ever printed. */
async function upstreamKeys({
  upstreamKeyFile: file,
}: BackendFlags): Promise<ReadonlyMap<string, string>> {
  const { upstreamId } = await import('../backends/wire/http.js');
  const keys = new Map<string, string>();
  const { PACELINE_UPSTREAM_KEY: fromEnvironment } = process.env;
  if (fromEnvironment) keys.set('', fromEnvironment);
  if (file === undefined) return keys;
  const text = readTextFile(file, 'a text file with a key, or a URL and its key a line');
  const idOf = (url: string): string => {
    try {
      return upstreamId(url);
    } catch (error) {
      throw new PacelineError('usage', `A key in ${file} is for no URL of an upstream`, {
        hint: 'Lines are a key, or a URL and its key, as in http://host:8000 KEY.',
        cause: error,
      });
    }
  };
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  for (const line of lines.filter((one) => one !== '' && !one.startsWith('#'))) {
    const [first = '', second] = line.split(/\s+/);
    if (second === undefined) keys.set('', first);
    else keys.set(idOf(first), second);
  }
  if (keys.size === 0) throw new PacelineError('usage', `There is no key in ${file}`);
  return keys;
}
