/**
 * Other engines as one: the models of all upstreams and of the engines that are started here, by name,
 * with a queue that has an end. Speaks the internal requests and events that every dialect is made of,
 * and knows none of them.
 */
import { PacelineError } from '../base/errors.js';
import { Admission } from '../chat/admission.js';
import type { TextEvent } from '../chat/events.js';
import {
  type EmbedRequest,
  type EmbedResult,
  type RankRequest,
  type RankResult,
  type ReadingOptions,
  slotsOf,
  type TextRequest,
} from '../chat/request.js';
import type { ManagedModel, ManagedState } from './managed/managed-model.js';
import type { ManagedPool } from './managed/managed-pool.js';
import { AffinityMemory } from './routing/choose.js';
import { conversationOf } from './routing/conversation.js';
import { UpstreamGroup, type UpstreamTarget } from './routing/group.js';
import { mergeTexts } from './routing/merge.js';
import type { UpstreamModelFacts } from './routing/models.js';
import { noUpstream, type Upstream, type UpstreamState } from './routing/upstream.js';
import { countOnWire, embedOnWire, type ReadOptions, rankOnWire } from './wire/reading.js';
import { runOnWire } from './wire/run.js';
import type { SilenceOptions } from './wire/silence.js';

export interface BackendEngineOptions extends Omit<SilenceOptions, 'isAlive'> {
  /** Attached engines. */
  readonly upstreams: readonly Upstream[];
  /** Engines that are started here. */
  readonly managed?: ManagedPool;
  /** Further names for models: the name that requests say, and what the upstreams call it. */
  readonly aliases?: ReadonlyMap<string, string>;
  /** Requests that may wait. */
  readonly queueLimit: number;
  /** Milliseconds between two looks at every upstream; default 2 s. */
  readonly healthMs?: number;
  /** A request waits so long for an upstream that is well; default 30 s. */
  readonly patienceMs?: number;
  readonly onNotice?: (level: 'info' | 'warn' | 'error', text: string) => void;
}

/** A model that other engines serve. */
export interface BackendModel {
  readonly id: string;
  readonly backend: string;
  /** Its file, where the engine was started here with one of GGUF. */
  readonly file?: string;
  /** What the engine says of it. */
  readonly facts?: UpstreamModelFacts;
  readonly capabilities?: readonly string[];
  readonly contextLength: number | undefined;
  readonly state: 'unloaded' | 'loading' | 'ready';
  readonly pinned: boolean;
  readonly users: number;
}

/** What an upstream is doing. */
export interface UpstreamReport {
  readonly backend: string;
  readonly url: string;
  readonly state: UpstreamState | ManagedState;
  readonly models: readonly string[];
  readonly outstanding: number;
  readonly requests: number;
  readonly failures: number;
  readonly restarts: number;
  /** Of an engine that was started here. */
  readonly pid?: number;
  readonly log?: string;
}

const usualHealthMs = 2000;

export class BackendEngine {
  readonly #options: BackendEngineOptions;
  readonly #affinity = new AffinityMemory();
  readonly #groups = new Map<string, UpstreamGroup>();
  readonly #admission: Admission;
  readonly #closed = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: BackendEngineOptions) {
    this.#options = options;
    this.#admission = new Admission({
      slots: (model) => Math.max(1, this.#group(model).slots),
      queueLimit: options.queueLimit,
    });
    for (const upstream of this.#upstreams) {
      upstream.onChange = () => {
        for (const group of this.#groups.values()) group.wake();
      };
    }
  }

  /** Looks at every upstream, and starts what is pinned. @throws as `ManagedModel.ensure` */
  async start(): Promise<void> {
    const { upstreams, managed, healthMs = usualHealthMs } = this.#options;
    await this.#look();
    for (const { id, state } of upstreams) {
      if (state !== 'up') this.#options.onNotice?.('warn', `The upstream ${id} does not answer`);
    }
    this.#timer = setInterval(() => void this.#look(), healthMs);
    this.#timer.unref();
    await managed?.startPinned(this.#closed.signal);
  }

  /** Ends the engines that were started here. */
  async stop(): Promise<void> {
    this.#closed.abort();
    clearInterval(this.#timer);
    await this.#options.managed?.close();
    for (const { client } of this.#options.upstreams) client.close();
  }

  /** Requests that wait for a slot. */
  get waiting(): number {
    return this.#admission.waiting;
  }

  /** Requests that upstreams work on. */
  get busy(): number {
    return this.#admission.taken;
  }

  /** Whether any model would be answered, or be started for it. */
  get isUp(): boolean {
    const { upstreams, managed } = this.#options;
    const started = managed?.models ?? [];
    const pinned = started.filter(({ spec }) => spec.pinned);
    return (
      upstreams.some(({ isAvailable }) => isAvailable) ||
      (pinned.length > 0 && pinned.every(({ state }) => state === 'ready')) ||
      (started.length > 0 && pinned.length === 0)
    );
  }

  has(model: string): boolean {
    return this.models.some(({ id }) => id === model);
  }

  /** Whether requests for a model would be answered now. */
  isAvailable(model: string): boolean {
    return this.#group(model).isAvailable;
  }

  /** Requests for a model that wait before another would; undefined: none would have to wait. */
  queueFor(request: TextRequest): number | undefined {
    return this.#admission.queueFor(request.model, slotsOf(request));
  }

  get models(): readonly BackendModel[] {
    const found = new Map<string, BackendModel>();
    for (const { spec, state, users, upstream } of this.#options.managed?.models ?? []) {
      const loaded = state === 'ready' ? 'ready' : state === 'unloaded' ? 'unloaded' : 'loading';
      const { backend, models } = upstream;
      found.set(spec.id, {
        id: spec.id,
        backend: backend.name,
        ...(backend.launch?.models === 'gguf' ? { file: spec.model } : {}),
        contextLength: models[0]?.contextLength,
        state: loaded,
        pinned: spec.pinned,
        users,
      });
    }
    for (const { backend, models, isAvailable, outstanding } of this.#options.upstreams) {
      for (const { id: own, contextLength, facts, capabilities, isLoaded = true } of models) {
        for (const id of this.#namesOf(own)) {
          const known = found.get(id);
          if (known?.state === 'ready') continue;
          found.set(id, {
            id,
            backend: backend.name,
            contextLength,
            state: isAvailable && isLoaded ? 'ready' : 'unloaded',
            pinned: true,
            users: outstanding,
            ...(facts === undefined ? {} : { facts }),
            ...(capabilities === undefined ? {} : { capabilities }),
          });
        }
      }
    }
    return [...found.values()];
  }

  get reports(): readonly UpstreamReport[] {
    const attached = this.#options.upstreams.map((upstream) => reportOf(upstream));
    const started = (this.#options.managed?.models ?? []).map((model) => ({
      ...reportOf(model.upstream),
      state: model.state,
      models: [model.spec.id],
      restarts: model.restarts,
      log: model.logPath,
      ...(model.pid === undefined ? {} : { pid: model.pid }),
    }));
    return [...attached, ...started];
  }

  /** All upstreams that answer, for their metrics. */
  get available(): readonly Upstream[] {
    return this.#upstreams.filter(({ isAvailable }) => isAvailable);
  }

  /**
   * Runs a request and yields its events.
   * @throws {PacelineError} `model-not-found`, `busy`, `unavailable`, and as `runOnWire`
   */
  async *run(
    request: TextRequest,
    { signal, client = '' }: { readonly signal: AbortSignal; readonly client?: string },
  ): AsyncGenerator<readonly TextEvent[], void> {
    const ticket = { model: request.model, slots: slotsOf(request), client };
    const release = await this.#admission.enter(ticket, signal);
    // One text that fails takes the others with it.
    const group = new AbortController();
    const together = AbortSignal.any([signal, group.signal]);
    let leave: (() => void) | undefined;
    try {
      leave = await this.#use(request.model, signal);
      const texts = Array.from({ length: slotsOf(request) }, (_, choice) =>
        this.#text(request, choice, together),
      );
      yield* mergeTexts(texts);
    } finally {
      group.abort();
      leave?.();
      release();
    }
  }

  #text(
    request: TextRequest,
    choice: number,
    signal: AbortSignal,
  ): AsyncGenerator<readonly TextEvent[], void> {
    const options = { signal, conversation: conversationOf(request) };
    return this.#group(request.model).stream(options, ({ upstream, model }, onAccepted) =>
      runOnWire(request, {
        client: upstream.client,
        backend: upstream.backend,
        model,
        choice,
        signal,
        onAccepted,
        ...this.#patience(upstream),
      }),
    );
  }

  /** How long an upstream may be silent. */
  #patience(upstream: Upstream): SilenceOptions {
    const { silenceMs, longestSilenceMs } = this.#options;
    return {
      isAlive: () => upstream.isWell(),
      ...(silenceMs === undefined ? {} : { silenceMs }),
      ...(longestSilenceMs === undefined ? {} : { longestSilenceMs }),
    };
  }

  /** Tokens of a request's prompt. @throws as `run` */
  count(request: TextRequest, signal: AbortSignal): Promise<number> {
    const conversation = conversationOf(request);
    return this.#read(request.model, { signal }, conversation, (options) =>
      countOnWire(request, options),
    );
  }

  /** @throws as `run` */
  embed(request: EmbedRequest, options: ReadingOptions): Promise<EmbedResult> {
    return this.#read(request.model, options, '', (read) => embedOnWire(request, read));
  }

  /** @throws as `run` */
  rank(request: RankRequest, options: ReadingOptions): Promise<RankResult> {
    return this.#read(request.model, options, '', (read) => rankOnWire(request, read));
  }

  /** Asks upstreams that tell of it what they have in memory. */
  async refresh(): Promise<void> {
    const telling = this.#options.upstreams.filter(
      ({ backend, isAvailable }) => backend.ollamaRoutes && isAvailable,
    );
    await Promise.all(telling.map((one) => one.refresh(this.#closed.signal)));
  }

  /** Starts the engine of a model. @throws as `ManagedModel.ensure` and `Upstream.keep` */
  async load(model: string, signal: AbortSignal): Promise<void> {
    if (this.#options.managed?.find(model) === undefined) await this.#keep(model, true, signal);
    else (await this.#use(model, signal))();
  }

  /** Ends the engine of a model, or has upstreams take it out of memory. @throws `busy`; as `Upstream.keep` */
  async unload(model: string): Promise<void> {
    const found = this.#options.managed?.find(model);
    if (found === undefined) await this.#keep(model, false, this.#closed.signal);
    else await this.#options.managed?.unload(found);
  }

  async #keep(model: string, kept: boolean, signal: AbortSignal): Promise<void> {
    const targets = this.#targets(model).filter(({ upstream }) => upstream.isAvailable);
    if (targets.length === 0) throw noUpstream(model);
    await Promise.all(
      targets.map(({ upstream, model: theirs }) => upstream.keep(theirs, kept, signal)),
    );
  }

  async #read<T>(
    model: string,
    { signal, client = '' }: ReadingOptions,
    conversation: string,
    work: (options: ReadOptions) => Promise<T>,
  ): Promise<T> {
    const release = await this.#admission.enter({ model, slots: 1, client }, signal);
    let leave: (() => void) | undefined;
    try {
      leave = await this.#use(model, signal);
      return await this.#group(model).ask({ signal, conversation }, (target) =>
        work({
          client: target.upstream.client,
          backend: target.upstream.backend,
          model: target.model,
          signal,
          ...this.#patience(target.upstream),
        }),
      );
    } finally {
      leave?.();
      release();
    }
  }

  /** Takes the engine of a model into use. */
  async #use(model: string, signal: AbortSignal): Promise<() => void> {
    const { managed } = this.#options;
    const found = managed?.find(model);
    if (managed !== undefined && found !== undefined) return managed.use(found, signal);
    if (this.#targets(model).length === 0) {
      throw new PacelineError(
        'model-not-found',
        `No upstream has the model ${JSON.stringify(model)}`,
      );
    }
    return () => {};
  }

  #group(model: string): UpstreamGroup {
    const known = this.#groups.get(model);
    if (known !== undefined) return known;
    const { patienceMs } = this.#options;
    const group = new UpstreamGroup({
      model,
      targets: () => this.#targets(model),
      affinity: this.#affinity,
      ...(patienceMs === undefined ? {} : { patienceMs }),
    });
    // Names are checked by the catalog, so that strangers can't fill this.
    this.#groups.set(model, group);
    return group;
  }

  #targets(model: string): readonly UpstreamTarget[] {
    const started: ManagedModel | undefined = this.#options.managed?.find(model);
    const theirs = this.#options.aliases?.get(model) ?? model;
    const attached = this.#options.upstreams.filter(({ models }) =>
      models.some(({ id }) => id === theirs),
    );
    return [
      ...(started === undefined
        ? []
        : [
            {
              upstream: started.upstream,
              model,
              revive: (signal: AbortSignal) => started.ensure(signal),
            },
          ]),
      ...attached.map((upstream) => ({ upstream, model: theirs })),
    ];
  }

  /** What requests call a model of an upstream: its own name, or those that it was given here. */
  #namesOf(own: string): readonly string[] {
    const given = [...(this.#options.aliases ?? [])].flatMap(([name, theirs]) =>
      theirs === own ? [name] : [],
    );
    return given.length > 0 ? given : [own];
  }

  get #upstreams(): readonly Upstream[] {
    const started = (this.#options.managed?.models ?? []).map(({ upstream }) => upstream);
    return [...this.#options.upstreams, ...started];
  }

  async #look(): Promise<void> {
    const before = new Map(this.#options.upstreams.map(({ id, state }) => [id, state]));
    await Promise.all(this.#upstreams.map((one) => one.probe(this.#closed.signal)));
    for (const model of this.#options.managed?.models ?? []) model.watch();
    for (const { id, state } of this.#options.upstreams) {
      const was = before.get(id);
      if (was === state || was === 'unknown') continue;
      this.#options.onNotice?.(state === 'up' ? 'info' : 'warn', `The upstream ${id} is ${state}`);
    }
  }
}

function reportOf(upstream: Upstream): UpstreamReport {
  const { backend, id, state, models, outstanding, requests, failures } = upstream;
  return {
    backend: backend.name,
    url: id,
    state,
    models: models.map((model) => model.id),
    outstanding,
    requests,
    failures,
    restarts: 0,
  };
}
