/**
 * The server's own engine and other engines as one. A model that both have goes to the preferred side,
 * and to the other when that has a queue or is not there. Knows nothing of HTTP.
 */
import type { BackendEngine } from '../backends/engine.js';
import { PacelineError } from '../base/errors.js';
import type { TextEvent } from '../chat/events.js';
import type {
  EmbedRequest,
  EmbedResult,
  RankRequest,
  RankResult,
  ReadingOptions,
  TextRequest,
} from '../chat/request.js';
import type { ProofEvent } from '../engine/verify/prove.js';
import type { ModelActivity } from './engine-process/model-report.js';
import type { ServedEngine } from './http/app.js';
import type { EngineSupervisor } from './supervisor/supervisor.js';

export interface SharingPolicy {
  /** Which side gets the requests for a model that both have; default `own`. */
  readonly prefer?: 'own' | 'upstream';
  /** The other side gets a request where so many wait for the preferred one already; default 0. */
  readonly spillAfter?: number;
}

export interface ServedEnginesOptions extends SharingPolicy {
  readonly own: EngineSupervisor;
  /** Whether our engine has a model. */
  readonly isOwn: (model: string) => boolean;
  readonly others: BackendEngine | undefined;
}

type RunOptions = { readonly signal: AbortSignal; readonly client?: string };

export class ServedEngines implements ServedEngine {
  readonly #options: ServedEnginesOptions;

  constructor(options: ServedEnginesOptions) {
    this.#options = options;
  }

  get state(): string {
    return this.#options.own.state;
  }

  get restarts(): number {
    return this.#options.own.restarts;
  }

  get waiting(): number {
    const { own, others } = this.#options;
    return own.waiting + (others?.waiting ?? 0);
  }

  get status() {
    return this.#options.own.status;
  }

  refresh(): Promise<unknown> {
    const { own, others } = this.#options;
    return Promise.all([own.refresh(), others?.refresh()]);
  }

  /** @throws as `EngineSupervisor.run` and `BackendEngine.run` */
  run(request: TextRequest, options: RunOptions): AsyncGenerator<readonly TextEvent[], void> {
    return this.#sideFor(request).run(request, options);
  }

  count(request: TextRequest, signal: AbortSignal): Promise<number> {
    return this.#sideOf(request.model).count(request, signal);
  }

  embed(request: EmbedRequest, options: ReadingOptions): Promise<EmbedResult> {
    return this.#sideOf(request.model).embed(request, options);
  }

  rank(request: RankRequest, options: ReadingOptions): Promise<RankResult> {
    return this.#sideOf(request.model).rank(request, options);
  }

  load(model: string, signal: AbortSignal): Promise<void> {
    return this.#sideOf(model).load(model, signal);
  }

  unload(model: string): Promise<void> {
    return this.#sideOf(model).unload(model);
  }

  /** What another engine computes is not known. */
  async activity(model: string, since: number): Promise<ModelActivity | undefined> {
    const { own } = this.#options;
    return this.#options.isOwn(model) ? own.activity(model, since) : undefined;
  }

  /** @throws {PacelineError} `usage` for a model of another engine; as `EngineSupervisor.prove` */
  prove(request: TextRequest, options: RunOptions): AsyncGenerator<readonly ProofEvent[], void> {
    const { own } = this.#options;
    if (this.#options.isOwn(request.model)) return own.prove(request, options);
    throw new PacelineError('usage', `${request.model} is served by another engine`, {
      hint: 'Compare two engines with `paceline verify --backend URL MODEL --against URL`.',
      details: { param: 'model' },
    });
  }

  /** The side that has a model; ours where both have it. */
  #sideOf(model: string): EngineSupervisor | BackendEngine {
    const { own, others } = this.#options;
    return this.#options.isOwn(model) || others === undefined ? own : others;
  }

  #sideFor(request: TextRequest): EngineSupervisor | BackendEngine {
    const { own, others, prefer = 'own', spillAfter = 0 } = this.#options;
    const { model } = request;
    if (others === undefined || !this.#options.isOwn(model) || !others.has(model)) {
      return this.#sideOf(model);
    }
    const isOwnUp = own.state === 'ready';
    const [first, second] = prefer === 'own' ? [own, others] : [others, own];
    const isFirstUp = prefer === 'own' ? isOwnUp : others.isAvailable(model);
    const isSecondUp = prefer === 'own' ? others.isAvailable(model) : isOwnUp;
    if (!isSecondUp) return first;
    if (!isFirstUp) return second;
    const waiting = first.queueFor(request);
    return waiting !== undefined && waiting >= spillAfter ? second : first;
  }
}
