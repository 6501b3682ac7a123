/** `paceline serve`: the endpoint that agents, SDKs and browsers are pointed at. */
import type { Command } from 'commander';
import { Option } from 'commander';
import { PacelineError } from '../../base/errors.js';
import { draftKinds } from '../../engine/draft-kinds.js';
import type { DraftKind } from '../../engine/types.js';
import type { ServedModel } from '../../server/catalog.js';
import type { ModelSource } from '../../server/library.js';
import type { RunningServer, ServeOptions } from '../../server/serve.js';
import {
  addBackendFlags,
  type BackendFlags,
  backendEngine,
  sharingOf,
  usesBackend,
} from '../backend-flags.js';
import { addCacheFlags, type CacheFlags, cacheOptions } from '../cache-flags.js';
import { addLoadFlags, type LoadFlags, loadOptions } from '../generation-flags.js';
import { addExamples } from '../help.js';
import { readTextFile } from '../input.js';
import { modelArgument, resolveModel } from '../model-names.js';
import { collect, integer } from '../numbers.js';
import { note, printJson } from '../output.js';

interface ServeFlags extends LoadFlags, CacheFlags, BackendFlags {
  readonly host: string;
  readonly port: number;
  readonly socket?: string;
  readonly apiKey?: readonly string[];
  readonly apiKeyFile?: string;
  readonly cors?: readonly string[];
  readonly allowHost?: readonly string[];
  readonly slots: number;
  readonly queue: number;
  readonly maxModels: number;
  readonly unloadAfter: number;
  readonly draft?: DraftKind;
  readonly draftModel?: readonly string[];
  readonly draftWindow?: number;
  readonly bodyLimit: number;
  readonly keepAlive: number;
  readonly logFormat: 'text' | 'json' | 'none';
  readonly logPrompts?: boolean;
  readonly json?: boolean;
  readonly demo?: boolean;
}

/** Declares the command. */
export function defineServe(program: Command): void {
  const group = (option: Option, name: string): Option => option.helpGroup(`${name}:`);
  const access = (option: Option): Option => group(option, 'Who may use it');
  const limits = (option: Option): Option => group(option, 'Limits');
  const command = program
    .command('serve')
    .summary('answer the APIs of OpenAI, Anthropic and Ollama')
    .description(
      'Serves models over HTTP in three dialects: OpenAI (/v1/chat/completions, /v1/completions, ' +
        '/v1/responses, /v1/models), Anthropic (/v1/messages) and Ollama (/api/chat, ' +
        '/api/generate, ...), and shows a page to browsers. The first model is loaded at the start, others when they are asked ' +
        'for. /health answers 200 when ready and 503 while loading; SIGTERM and Ctrl-C let running ' +
        'answers finish.',
    )
    .argument('[models...]', `each ${modelArgument} (default: \`default\`)`)
    .option('--demo', 'open the page in a browser when ready')
    .option('--host <address>', 'where to listen; other than loopback needs a key', '127.0.0.1')
    .option('--port <number>', '0: any free one', integer(0, 65_535), 11_711)
    .option('--socket <path>', 'a UNIX socket instead of host and port')
    .option('--json', 'one JSON object on stdout when ready: {"address", "port", "models"}')
    .addOption(
      access(
        new Option(
          '--api-key <key>',
          'a key that clients must send; may be repeated; also PACELINE_API_KEY',
        ).argParser<string[]>(collect),
      ),
    )
    .addOption(access(new Option('--api-key-file <file>', 'a file with one key a line')))
    .addOption(
      access(
        new Option(
          '--cors <origin>',
          'web pages of this origin may use it; may be repeated',
        ).argParser<string[]>(collect),
      ),
    )
    .addOption(
      access(
        new Option('--allow-host <name>', 'a further name by which it may be addressed').argParser<
          string[]
        >(collect),
      ),
    );
  const numbers = [
    ['--slots <count>', 'texts of one model at once', integer(1, 256), 4],
    ['--queue <count>', 'requests that may wait for a slot', integer(0, 100_000), 64],
    ['--max-models <count>', 'models in memory at once', integer(1, 64), 2],
    ['--unload-after <seconds>', 'unload idle models but the first; 0: never', integer(0), 600],
    ['--body-limit <bytes>', 'largest body of a request', integer(1024), 33_554_432],
    ['--keep-alive <seconds>', 'a stream says at least so often that it lives', integer(1), 10],
  ] as const;
  for (const [flags, text, parse, standard] of numbers) {
    command.addOption(limits(new Option(flags, text).argParser(parse).default(standard)));
  }
  command
    .addOption(
      group(
        new Option('--log-format <format>', 'lines on stderr')
          .choices(['text', 'json', 'none'])
          .default('text'),
        'Log',
      ),
    )
    .addOption(group(new Option('--log-prompts', 'prompts and texts too'), 'Log'))
    .addOption(
      group(
        new Option(
          '--draft <kind>',
          'which drafter may propose tokens where a request does not say (default: auto)',
        ).choices(draftKinds),
        'Loading',
      ),
    )
    .addOption(
      group(
        new Option(
          '--draft-model <file>',
          'a GGUF with a drafter; may be repeated (default: those of the embedded model)',
        ).argParser(collect),
        'Loading',
      ),
    )
    .addOption(
      group(
        new Option('--draft-window <tokens>', 'how far draft models look back').argParser(
          integer(1),
        ),
        'Loading',
      ),
    );
  addBackendFlags(command);
  addCacheFlags(command);
  addLoadFlags(command);
  const context = command.options.find(({ long }) => long === '--ctx');
  if (context !== undefined) {
    context.description =
      'longest context (default: the model’s own, at most 32768, less where memory is short)';
  }
  command.action((models: readonly string[], flags: ServeFlags) => serveCommand(models, flags));
  addExamples(
    command,
    ['serve default', 'the embedded model, and its page, on http://127.0.0.1:11711'],
    ['serve --demo', 'the same, with the page opened in a browser'],
    ['serve model.gguf other.gguf --slots 8', 'two models, the second when it is asked for'],
    ['serve --upstream http://gpu-host:8000', 'the models of a vLLM on another machine'],
    ['serve model.gguf --upstream http://gpu-host:8000 --spill-after 4', 'the other when 4 wait'],
    ['serve --backend llama-server model.gguf', 'llama.cpp’s server, started and watched'],
    ['serve default --host 0.0.0.0 --api-key-file keys.txt', 'for other machines, with a key'],
  );
}

async function serveCommand(given: readonly string[], flags: ServeFlags): Promise<void> {
  const models = [...given, ...(flags.model ?? [])];
  const { createLog } = await import('../../server/http/log.js');
  const log = createLog({ format: flags.logFormat });
  const backends = await backendEngine(models, flags, (level, text) => log(level, text));
  const isAlone = models.length === 0 && backends === undefined;
  const own = usesBackend(flags) ? [] : isAlone ? ['default'] : models;
  const options: ServeOptions = {
    models: await servedModels(own, flags),
    ...(backends === undefined ? {} : { backends, sharing: sharingOf(flags) }),
    host: flags.host,
    port: flags.port,
    ...(flags.socket === undefined ? {} : { socket: flags.socket }),
    apiKeys: apiKeys(flags),
    cors: flags.cors ?? [],
    allowedHosts: flags.allowHost ?? [],
    load: { ...loadOptions(flags), cache: cacheOptions(flags) },
    ...(flags.draft === undefined ? {} : { draft: flags.draft }),
    slots: flags.slots,
    queue: flags.queue,
    maxModels: flags.maxModels,
    unloadAfterMs: flags.unloadAfter * 1000,
    bodyLimit: flags.bodyLimit,
    keepAliveMs: flags.keepAlive * 1000,
    log,
    logPrompts: flags.logPrompts === true,
    library: modelsOnDisk(flags),
  };
  const { serve } = await import('../../server/serve.js');
  const server = await serve(options);
  const stopped = untilStopped(server);
  try {
    await server.ready;
  } catch (error) {
    await server.close(0);
    throw error;
  }
  await announce(server, flags);
  await stopped;
}

/** The files behind names. Requests call a path by its file's name, others as they are given here. */
async function servedModels(
  names: readonly string[],
  flags: ServeFlags,
): Promise<readonly ServedModel[]> {
  const { servedName } = await import('../../server/catalog.js');
  return Promise.all(
    names.map(async (name) => {
      const { path, drafters } = await resolveModel(name);
      const remembered = flags.draftModel === undefined && drafters.length > 0;
      return {
        id: servedName(name),
        path,
        ...(remembered ? { draftModels: drafters } : {}),
      };
    }),
  );
}

/** The models that `ls` lists, which the page can load. */
function modelsOnDisk({ draftModel }: ServeFlags): ModelSource {
  const places = async () => {
    const { hubEnvironment } = await import('../../hub/environment.js');
    const { readSettings } = await import('../../hub/settings.js');
    return { environment: hubEnvironment(), settings: await readSettings() };
  };
  return {
    async list() {
      const { listModels } = await import('../../hub/list.js');
      return listModels(await places());
    },
    async use({ name, path }) {
      const { locateModel, touchModel } = await import('../../hub/locate.js');
      await touchModel(path);
      if (draftModel !== undefined) return [];
      const found = await locateModel(name, await places());
      return 'drafters' in found ? found.drafters : [];
    },
  };
}

/** Where to find it and what to type first; the page comes last. */
async function announce(server: RunningServer, { json, demo }: ServeFlags): Promise<void> {
  const { address, port } = server;
  const models = server.models();
  if (json === true) {
    await printJson({ address, port, models, pid: process.pid });
  } else {
    note(`Serving ${models.join(', ')} on ${address}`);
    if (port === undefined) return;
    const body = `{"model": "${models[0]}", "messages": [{"role": "user", "content": "Hello"}]}`;
    note(`Try: curl ${address}/v1/chat/completions -d '${body}'`);
    note(`Page: ${address}/`);
  }
  if (demo !== true || port === undefined) return;
  const { openBrowser } = await import('../open-browser.js');
  await openBrowser(`${address}/`);
}

/** Resolves when a signal has ended the server; a second signal ends it at once. */
function untilStopped(server: RunningServer): Promise<void> {
  return new Promise((resolve, reject) => {
    let stopping = false;
    const stop = (signal: NodeJS.Signals): void => {
      if (stopping) process.exit(130);
      stopping = true;
      note(`${signal}: letting running answers finish; again to stop at once`);
      server.close().then(resolve, reject);
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
  });
}

/** Keys of flags, file and environment together. @throws {PacelineError} `usage` */
function apiKeys(flags: ServeFlags): readonly string[] {
  const keys = [...(flags.apiKey ?? [])];
  const { PACELINE_API_KEY: fromEnvironment } = process.env;
  if (fromEnvironment) keys.push(fromEnvironment);
  const { apiKeyFile: file } = flags;
  if (file !== undefined) {
    const text = readTextFile(file, 'a text file with one key a line');
    const found = text.split(/\r?\n/).map((line) => line.trim());
    keys.push(...found.filter((line) => line !== '' && !line.startsWith('#')));
    if (keys.length === 0) throw new PacelineError('usage', `There is no key in ${file}`);
  }
  return keys;
}
