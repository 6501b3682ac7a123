/**
 * One engine behind a URL: what it has, how busy it is, and whether it is well. Requests take a lease,
 * and what happens to them is what the breaker knows.
 */
import { PacelineError } from '../../base/errors.js';
import type { BackendDescriptor } from '../descriptor.js';
import { type UpstreamAddress, UpstreamClient } from '../wire/http.js';
import { Breaker, type BreakerOptions } from './breaker.js';
import { listModels, type UpstreamModel } from './models.js';

export interface UpstreamOptions {
  readonly backend: BackendDescriptor;
  readonly address: UpstreamAddress;
  /** Requests that it gets at once. */
  readonly slots: number;
  readonly breaker?: BreakerOptions;
  /** Milliseconds that a question after its health may take; default 3 s. */
  readonly probeMs?: number;
}

/** `unknown` before it was ever asked, `held` while its process is not ready. */
export type UpstreamState = 'unknown' | 'up' | 'down' | 'held';

export interface Lease {
  succeeded(): void;
  /** It was the upstream's fault. */
  failed(error: PacelineError): void;
  end(): void;
}

const usualProbeMs = 3000;

export class Upstream {
  readonly backend: BackendDescriptor;
  readonly client: UpstreamClient;
  readonly slots: number;
  readonly #breaker: Breaker;
  readonly #probeMs: number;
  #held = false;
  #known = false;
  #models: readonly UpstreamModel[] = [];
  #refreshing: Promise<void> | undefined;
  #onChange: () => void = () => {};
  outstanding = 0;
  requests = 0;
  failures = 0;

  /** @throws {PacelineError} `usage` for what is no URL */
  constructor({ backend, address, slots, breaker, probeMs = usualProbeMs }: UpstreamOptions) {
    this.backend = backend;
    this.client = new UpstreamClient({
      keepConnections: backend.wire.keepsConnections,
      ...address,
    });
    this.slots = slots;
    this.#breaker = new Breaker(breaker);
    this.#probeMs = probeMs;
  }

  /** Its URL, which has no secret. */
  get id(): string {
    return this.client.url;
  }

  get models(): readonly UpstreamModel[] {
    return this.#models;
  }

  get state(): UpstreamState {
    if (this.#held) return 'held';
    if (!this.#known) return 'unknown';
    return this.#breaker.isClosed ? 'up' : 'down';
  }

  /** Whether it gets requests. */
  get isAvailable(): boolean {
    return this.state === 'up';
  }

  /** Called when requests may find it otherwise than before. */
  set onChange(listener: () => void) {
    this.#onChange = listener;
  }

  /** Its process is not ready, or ready again. */
  hold(held: boolean): void {
    this.#held = held;
    if (!held) {
      this.#known = true;
      this.#breaker.probed(true);
    }
    this.#onChange();
  }

  begin(): Lease {
    this.outstanding += 1;
    this.requests += 1;
    let ended = false;
    return {
      succeeded: () => this.#breaker.succeeded(),
      failed: (error) => {
        this.failures += 1;
        // An upstream that is busy is well.
        if (error.code === 'busy') return;
        this.#breaker.failed({ hard: isUnreachable(error) });
        this.#onChange();
      },
      end: () => {
        if (ended) return;
        ended = true;
        this.outstanding -= 1;
        this.#onChange();
      },
    };
  }

  /** Asks whether it is well, whatever its state. */
  async isWell(signal = new AbortController().signal): Promise<boolean> {
    try {
      const options = { signal, headTimeoutMs: this.#probeMs };
      const answer = await this.client.call('GET', this.backend.health.path, undefined, options);
      answer.body.resume();
      return answer.status < 400;
    } catch {
      return false;
    }
  }

  /** Asks for its health where that decides something, and what it has where it is new. */
  async probe(signal: AbortSignal): Promise<void> {
    if (this.#held) return;
    if (this.#known && !this.#breaker.isClosed && !this.#breaker.mayProbe) return;
    // Who answers requests is well.
    if (this.isAvailable && this.outstanding > 0) return;
    const wasAvailable = this.isAvailable;
    const well = await this.isWell(signal);
    if (signal.aborted) return;
    if (well && (!this.#known || !wasAvailable || this.#models.length === 0)) {
      await this.refresh(signal);
    }
    this.#known = true;
    if (well || wasAvailable || !this.#breaker.isClosed) this.#breaker.probed(well);
    else this.#breaker.failed({ hard: true });
    if (this.isAvailable !== wasAvailable) this.#onChange();
  }

  /**
   * Asks what it has, and what of that is in memory; where it does not answer, that stays as it was. All
   * who ask meanwhile share the answer, so that servers that are each other's upstreams end, too.
   */
  refresh(signal: AbortSignal): Promise<void> {
    this.#refreshing ??= this.#list(signal).finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #list(signal: AbortSignal): Promise<void> {
    const together = AbortSignal.any([signal, AbortSignal.timeout(this.#probeMs)]);
    const options = { signal: together, headTimeoutMs: this.#probeMs };
    this.#models = await listModels(this.client, this.backend, options).catch(() => this.#models);
  }

  /**
   * Takes a model out of its memory, or has it read.
   * @throws {PacelineError} `platform` where it does not let others decide that; what it answers
   */
  async keep(model: string, kept: boolean, signal: AbortSignal): Promise<void> {
    if (!this.backend.ollamaRoutes) {
      if (kept) return;
      throw new PacelineError('platform', `${this.backend.title} decides itself what it keeps`, {
        hint: 'Ask the engine itself, or start it by --backend.',
        details: { param: 'model', upstream: this.id },
      });
    }
    const body = { model, prompt: '', stream: false, ...(kept ? {} : { keep_alive: 0 }) };
    await this.client.json('POST', '/api/generate', body, { signal });
    // One that was asked before does not know.
    await this.#refreshing;
    await this.refresh(signal);
  }
}

function isUnreachable(error: PacelineError): boolean {
  const { code } = (error.cause ?? {}) as { readonly code?: unknown };
  return code === 'ECONNREFUSED' || code === 'EHOSTUNREACH' || code === 'ENOTFOUND';
}

/** No upstream of a model is there. */
export function noUpstream(model: string, retryAfter = 5): PacelineError {
  return new PacelineError('unavailable', `No engine of the model ${model} answers`, {
    hint: 'Its engines are asked again and again: try later, or look at /health.',
    details: { retryAfter },
  });
}
