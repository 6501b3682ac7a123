/** From what a user says of other engines to one that runs requests: the entrance of this folder. */
import { PacelineError } from '../base/errors.js';
import { type BackendName, backendNames } from './descriptor.js';
import { BackendEngine, type BackendEngineOptions } from './engine.js';
import { ManagedModel, type ManagedOptions, type ManagedSpec } from './managed/managed-model.js';
import { ManagedPool } from './managed/managed-pool.js';
import { backendNamed, backends } from './registry.js';
import type { BreakerOptions } from './routing/breaker.js';
import { ownerOfModels } from './routing/models.js';
import { Upstream } from './routing/upstream.js';
import { UpstreamClient, upstreamId } from './wire/http.js';

export interface UpstreamSpec {
  readonly url: string;
  /** Undefined: it is asked. */
  readonly backend?: BackendName;
  readonly key?: string;
}

export interface ManagedEngineSpec extends Omit<ManagedOptions, 'backend' | 'onNotice'> {
  readonly backend: BackendName;
  readonly models: readonly ManagedSpec[];
  readonly maxLoaded: number;
  readonly unloadAfterMs: number;
}

export interface CreateBackendOptions extends Omit<BackendEngineOptions, 'upstreams' | 'managed'> {
  readonly upstreams?: readonly UpstreamSpec[];
  /** Requests that each upstream gets at once; default 64. */
  readonly upstreamSlots?: number;
  readonly managed?: ManagedEngineSpec;
  readonly breaker?: BreakerOptions;
}

const usualUpstreamSlots = 64;
/** An upstream may take so long to say what it is. */
const patienceMs = 3000;

/**
 * An engine of all that was named; nothing is started yet.
 * @throws {PacelineError} `usage` for a URL that is none; `network` for an upstream that does not
 *   answer, and of which nobody said what it is.
 */
export async function createBackendEngine(options: CreateBackendOptions): Promise<BackendEngine> {
  const { upstreams = [], upstreamSlots = usualUpstreamSlots, managed, breaker, ...rest } = options;
  const attached = await Promise.all(
    upstreams.map(async ({ url, key, backend }) => {
      const address = { url, ...(key === undefined ? {} : { key }) };
      const descriptor = backendNamed(backend ?? (await backendAt(address)));
      return new Upstream({
        backend: descriptor,
        address,
        slots: upstreamSlots,
        ...(breaker === undefined ? {} : { breaker }),
      });
    }),
  );
  const twice = attached.find(
    ({ id }, index) => attached.findIndex((one) => one.id === id) < index,
  );
  if (twice !== undefined) {
    throw new PacelineError('usage', `The upstream ${twice.id} is named twice`);
  }
  const pool = managed && (await managedPool(managed, options.onNotice));
  return new BackendEngine({
    ...rest,
    upstreams: attached,
    ...(pool === undefined ? {} : { managed: pool }),
  });
}

async function managedPool(
  { backend, models, maxLoaded, unloadAfterMs, ...engine }: ManagedEngineSpec,
  onNotice: BackendEngineOptions['onNotice'],
): Promise<ManagedPool> {
  const options = {
    ...engine,
    backend: backendNamed(backend),
    ...(onNotice === undefined ? {} : { onNotice }),
  };
  const made = await Promise.all(models.map((spec) => ManagedModel.create(spec, options)));
  return new ManagedPool({ models: made, maxLoaded, unloadAfterMs });
}

/** Which backend answers at an address; one that nobody knows is `openai`. @throws `network` */
async function backendAt(address: {
  readonly url: string;
  readonly key?: string;
}): Promise<BackendName> {
  const client = new UpstreamClient({ ...address, keepConnections: false });
  try {
    const owner = await ownerOfModels(client, {
      signal: AbortSignal.timeout(patienceMs),
      headTimeoutMs: patienceMs,
    });
    return (
      backends.find(({ wire }) => owner !== undefined && wire.ownedBy === owner)?.name ?? 'openai'
    );
  } catch (error) {
    if (!PacelineError.is(error) || error.code !== 'network') throw error;
    throw new PacelineError('network', error.message, {
      hint: `To attach to an engine before it runs, say which it is: vllm=${client.url}.`,
      cause: error,
    });
  } finally {
    client.close();
  }
}

/** `URL`, or `backend=URL`; the URL becomes that of `upstreamId`. @throws {PacelineError} `usage` */
export function parseUpstream(text: string): UpstreamSpec {
  const named = /^([a-z-]+)=(.*)$/s.exec(text);
  const url = upstreamId(named?.[2] ?? text);
  if (named === null) return { url };
  const backend = backendNames.find((name) => name === named[1]);
  return { url, backend: backend ?? backendNamed(named[1] ?? '').name };
}
