/**
 * A whole server: an engine in its own process under a supervisor, the routes, and a socket. It
 * listens before the model is loaded, so that `/health` can say so; it ends without cutting a text
 * that can still finish.
 */
import type { BackendEngine, BackendModel } from '../backends/engine.js';
import { PacelineError } from '../base/errors.js';
import { packageVersion } from '../base/package-version.js';
import type { DraftKind } from '../engine/types.js';
import { backendEntry } from './backend-catalog.js';
import {
  type ModelFacts,
  modelSpecs,
  readCatalog,
  readFacts,
  type ServedModel,
} from './catalog.js';
import type { ServedLoadOptions } from './engine-process/models.js';
import { ServedEngines, type SharingPolicy } from './engines.js';
import { createApp, type Health } from './http/app.js';
import { Guard, isLoopback, loopbackNames } from './http/guard.js';
import { type Listening, listen } from './http/listen.js';
import { createLog, type Log, type LogOptions } from './http/log.js';
import { Metrics } from './http/metrics.js';
import { readPageFiles } from './http/page-files.js';
import { Library, type ModelSource } from './library.js';
import { EngineSupervisor } from './supervisor/supervisor.js';

export interface ServeOptions {
  /** Paths, `default`, or names for paths; the first is loaded at the start and stays, others when they are asked for. */
  readonly models: readonly ServedModel[];
  /** Default 127.0.0.1. Any other than loopback needs `apiKeys`. */
  readonly host?: string;
  /** Default 11711; 0 is any free one. */
  readonly port?: number;
  /** A UNIX socket in place of host and port. */
  readonly socket?: string;
  readonly apiKeys?: readonly string[];
  /** Origins of web pages that may use the server; default none. */
  readonly cors?: readonly string[];
  /** Further names by which the server may be addressed. */
  readonly allowedHosts?: readonly string[];
  /** Other engines behind the same endpoint. They are started and ended with the server. */
  readonly backends?: BackendEngine;
  /** Who answers for a model that both this engine and others have. */
  readonly sharing?: SharingPolicy;
  readonly load?: ServedLoadOptions;
  /** Which drafter may propose tokens where a request does not say. */
  readonly draft?: DraftKind;
  /** Texts of one model at once; default 4. */
  readonly slots?: number;
  /** Requests that may wait for a slot; default 64. */
  readonly queue?: number;
  /** Models in memory at once; default 2. */
  readonly maxModels?: number;
  /** Idle models but the first are unloaded after this long; default 10 minutes, 0 is never. */
  readonly unloadAfterMs?: number;
  /** Bytes of a request's body; default 32 MiB. */
  readonly bodyLimit?: number;
  readonly maxConnections?: number;
  /** After so long without a word a stream says that it lives; default 10 s. */
  readonly keepAliveMs?: number;
  readonly log?: LogOptions['format'] | Log;
  readonly logPrompts?: boolean;
  /** The models on this machine's disk, which can be listed and loaded; default: none. */
  readonly library?: ModelSource;
  /** The program of the engine's process, for tests. */
  readonly engineProgram?: string;
}

export interface RunningServer {
  readonly address: string;
  readonly port: number | undefined;
  /** Settles when the pinned models are loaded. @throws as `loadModel` */
  readonly ready: Promise<void>;
  readonly engine: EngineSupervisor;
  /** Names of the models that it has now. */
  readonly models: () => readonly string[];
  /** Drains: running texts finish, for at most so long; default 30 s. */
  close(patienceMs?: number): Promise<void>;
}

const usualPatienceMs = 30_000;

/**
 * Starts a server; resolves when it listens.
 * @throws {PacelineError} `usage` for options that contradict each other or an address that is
 *   taken; as `readGguf` for a model whose header can't be read.
 */
export async function serve(options: ServeOptions): Promise<RunningServer> {
  const host = options.host ?? '127.0.0.1';
  const apiKeys = options.apiKeys ?? [];
  const local = options.socket !== undefined || isLoopback(host);
  if (!local && apiKeys.length === 0) {
    throw new PacelineError('usage', `Listening on ${host} needs an API key`, {
      hint: 'Others can reach that address: give --api-key-file, or listen on 127.0.0.1.',
    });
  }
  const log =
    typeof options.log === 'function' ? options.log : createLog({ format: options.log ?? 'text' });
  const specs = modelSpecs(options.models);
  const slots = options.slots ?? 4;
  const engine = new EngineSupervisor({
    config: {
      models: specs,
      load: options.load ?? {},
      ...(options.draft === undefined ? {} : { draft: options.draft }),
      slots,
      maxLoaded: options.maxModels ?? 2,
      unloadAfterMs: options.unloadAfterMs ?? 600_000,
    },
    queueLimit: options.queue ?? 64,
    ...(options.engineProgram === undefined ? {} : { program: options.engineProgram }),
    onNotice: (level, text) => log(level, text),
  });
  const others = options.backends;
  const headers = await headersOf(others?.models ?? []);
  const catalog = await readCatalog(
    specs,
    () => engine.status,
    () =>
      (others?.models ?? []).map((model) => ({
        id: model.id,
        entry: () => backendEntry(model, headers.get(model.id)),
      })),
  );
  let stopping = false;
  const health = (): Health => healthOf(engine, others, stopping);
  const metrics = new Metrics(
    () => ({
      ready: engine.state === 'ready',
      waiting: engine.waiting + (others?.waiting ?? 0),
      slotsTaken: engine.slotsTaken + (others?.busy ?? 0),
      slots,
      restarts: engine.restarts,
      memoryBytes: engine.status.memoryBytes,
      modelsLoaded: engine.status.models.filter(({ state }) => state === 'ready').length,
    }),
    () =>
      engine.status.models.flatMap(({ id, experts }) =>
        experts === undefined ? [] : [[id, experts] as const],
      ),
  );
  const page = await readPageFiles();
  const app = createApp({
    engine: new ServedEngines({
      own: engine,
      isOwn: (model) => catalog.isOwn(model),
      others,
      ...options.sharing,
    }),
    backends: others,
    catalog: () => catalog,
    guard: new Guard({
      apiKeys,
      // With a key no page can do harm, and behind a proxy the name is the proxy's.
      hosts:
        options.socket !== undefined || !isLoopback(host)
          ? undefined
          : [...loopbackNames, ...(options.allowedHosts ?? []).map((name) => name.toLowerCase())],
      origins: options.cors ?? [],
    }),
    log,
    logPrompts: options.logPrompts ?? false,
    metrics,
    health,
    version: packageVersion(),
    page,
    library: new Library({
      source: options.library,
      catalog,
      onAdded: (spec) => engine.add(spec),
    }),
    bodyLimit: options.bodyLimit ?? 32 * 2 ** 20,
    keepAliveMs: options.keepAliveMs ?? 10_000,
  });
  const listening: Listening = await listen({
    fetch: (request) => app.fetch(request),
    host,
    port: options.port ?? 11_711,
    socket: options.socket,
    maxConnections: options.maxConnections ?? 512,
  });
  const ready = Promise.all([engine.start(), others?.start()]).then(() => {});
  // Whoever waits for it hears of a failure; nobody has to.
  ready.catch(() => {});
  let closing: Promise<void> | undefined;
  return {
    address: listening.address,
    port: listening.port,
    ready,
    engine,
    models: () => catalog.list().map(({ id }) => id),
    close(patienceMs = usualPatienceMs) {
      stopping = true;
      closing ??= listening
        .close(patienceMs)
        .then(() => Promise.all([engine.stop(), others?.stop()]))
        .then(() => {});
      return closing;
    },
  };
}

/** What the files of models say that engines of ours are started with, by name. */
async function headersOf(
  models: readonly BackendModel[],
): Promise<ReadonlyMap<string, ModelFacts>> {
  const read = models.flatMap(({ id, file }) =>
    file === undefined ? [] : [readFacts({ id, source: file })],
  );
  return new Map((await Promise.all(read)).map((facts) => [facts.id, facts]));
}

function healthOf(
  engine: EngineSupervisor,
  others: BackendEngine | undefined,
  stopping: boolean,
): Health {
  const details = {
    restarts: engine.restarts,
    queue: engine.waiting,
    slots_busy: engine.slotsTaken,
    models: [...engine.status.models, ...(others?.models ?? [])].map(({ id, state }) => ({
      id,
      state,
    })),
    ...(others === undefined
      ? {}
      : { upstreams: others.reports.map(({ backend, url, state }) => ({ backend, url, state })) }),
  };
  if (stopping || engine.state === 'stopped') return { status: 'stopping', details };
  if (engine.status.models.length === 0 && others !== undefined) {
    return { status: others.isUp ? 'ready' : 'loading', details };
  }
  if (engine.state === 'ready') return { status: 'ready', details };
  return { status: engine.state === 'restarting' ? 'degraded' : 'loading', details };
}
