/**
 * The models of a server: known by name, loaded on demand, one copy each. Loading plans memory (the
 * engine refuses before it allocates); where it does not suffice, or more models are loaded than
 * may be, the one idle for longest goes first. A model in use or pinned is never unloaded.
 */
import { PacelineError, throwIfAborted } from '../../base/errors.js';
import { ReplayMemory } from '../../chat/replay.js';
import type { TextRunner } from '../../chat/run.js';
import { SlotPool } from '../../chat/slots.js';
import { loadModel } from '../../engine/load.js';
import { resolveModelPath } from '../../engine/model-path.js';
import type { ExpertStatistics, LoadOptions, ModelInfo } from '../../engine/types.js';
import { readGguf } from '../../gguf/reader.js';
import {
  type ModelActivity,
  type ModelMemory,
  modelActivity,
  modelMemory,
} from './model-report.js';

export interface ModelSpec {
  /** What requests call it. */
  readonly id: string;
  /** What `loadModel` is given: a path or `default`. */
  readonly source: string;
  /** Its drafters; default: those of the load options. */
  readonly draftModels?: readonly string[];
  /** Loaded at the start and never unloaded. */
  readonly pinned?: boolean;
}

export interface ModelState {
  readonly id: string;
  readonly pinned: boolean;
  readonly state: 'unloaded' | 'loading' | 'ready';
  /** Requests that use it now. */
  readonly users: number;
  readonly info?: ModelInfo;
  /** Source of its chat template. */
  readonly template?: string;
  readonly slots?: readonly {
    readonly id: number;
    readonly busy: boolean;
    readonly tokens: number;
  }[];
  /** What it holds in memory. */
  readonly memory?: ModelMemory;
  /** What its experts that stay in the file have been read for so far. */
  readonly experts?: ExpertStatistics;
  /** While it is loading: bytes that have been read, of so many. */
  readonly progress?: { readonly done: number; readonly total: number };
  /** When it will be unloaded if nobody uses it, in milliseconds since 1970. */
  readonly expiresAt?: number;
}

/** How all models of a server are loaded. */
export type ServedLoadOptions = Pick<
  LoadOptions,
  | 'threads'
  | 'contextLength'
  | 'kvType'
  | 'device'
  | 'gpuLayers'
  | 'cpuMoe'
  | 'expertMemory'
  | 'exact'
  | 'experts'
  | 'draftModels'
  | 'draftWindow'
  | 'cache'
>;

export interface ModelPoolOptions {
  readonly models: readonly ModelSpec[];
  readonly load: ServedLoadOptions;
  readonly slots: number;
  /** Most models in memory at once. */
  readonly maxLoaded: number;
  /** Idle models that are not pinned go after this long; 0: never. */
  readonly unloadAfterMs: number;
  /** Called when a model has changed its state. */
  readonly onChange?: () => void;
}

/** The longest context that is planned when nobody asked for one: agents need 32k. */
const usualContext = 32_768;
/** A context that no agent can work in is not worth having: below it, memory does not suffice. */
const leastContext = 4096;

export interface LoadedModel extends TextRunner {
  readonly spec: ModelSpec;
}

interface Entry {
  readonly spec: ModelSpec;
  loading: Promise<LoadedModel> | undefined;
  progress: ModelState['progress'];
  loaded: LoadedModel | undefined;
  users: number;
  lastUsed: number;
  timer: NodeJS.Timeout | undefined;
}

export class ModelPool {
  readonly #options: ModelPoolOptions;
  readonly #entries = new Map<string, Entry>();
  #closed = false;
  /** Loads wait for each other, so that each plans with the memory that the last one left. */
  #lastLoad: Promise<unknown> = Promise.resolve();

  constructor(options: ModelPoolOptions) {
    this.#options = options;
    for (const spec of options.models) this.add(spec);
  }

  /** Adds a model, unless one of this name is known. */
  add(spec: ModelSpec): void {
    if (this.#entries.has(spec.id)) return;
    this.#entries.set(spec.id, {
      spec,
      loading: undefined,
      progress: undefined,
      loaded: undefined,
      users: 0,
      lastUsed: 0,
      timer: undefined,
    });
    this.#options.onChange?.();
  }

  /** Loads what is pinned. @throws as `loadModel` */
  async loadPinned(): Promise<void> {
    for (const { spec } of this.#entries.values()) {
      if (spec.pinned) await this.use(spec.id, async () => {});
    }
  }

  /**
   * Runs `work` with a model, which stays in memory meanwhile.
   * @throws {PacelineError} `model-not-found` for a name that is not in the catalog; as `loadModel`.
   */
  async use<T>(
    id: string,
    work: (loaded: LoadedModel) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    const entry = this.#entries.get(id);
    if (entry === undefined) {
      throw new PacelineError('model-not-found', `There is no model ${JSON.stringify(id)}`);
    }
    clearTimeout(entry.timer);
    entry.users += 1;
    try {
      const loaded = entry.loaded ?? (await this.#load(entry));
      throwIfAborted(signal);
      return await work(loaded);
    } finally {
      entry.users -= 1;
      entry.lastUsed = Date.now();
      this.#unloadLater(entry);
    }
  }

  get states(): readonly ModelState[] {
    return [...this.#entries.values()].map((entry) => {
      const { spec, loaded, loading, progress, users, lastUsed } = entry;
      const state = loaded ? 'ready' : loading ? 'loading' : 'unloaded';
      const base = { id: spec.id, pinned: spec.pinned === true, state, users } as const;
      if (loaded === undefined) return progress === undefined ? base : { ...base, progress };
      const { unloadAfterMs } = this.#options;
      const expires = spec.pinned || unloadAfterMs === 0 ? undefined : lastUsed + unloadAfterMs;
      const { info } = loaded.model;
      return {
        ...base,
        info,
        template: loaded.model.runtime.chatTemplate.source(false),
        slots: loaded.slots.states,
        memory: modelMemory(loaded.model),
        ...(loaded.model.experts === undefined ? {} : { experts: loaded.model.experts }),
        ...(expires === undefined ? {} : { expiresAt: expires }),
      };
    });
  }

  /** What a loaded model has computed after the pass of this number. */
  activity(id: string, since: number): ModelActivity | undefined {
    const loaded = this.#entries.get(id)?.loaded;
    return loaded && modelActivity(loaded.model, since);
  }

  /** Unloads a model by request. @throws {PacelineError} `busy` while it is used */
  async unload(id: string): Promise<void> {
    const entry = this.#entries.get(id);
    if (entry?.loaded === undefined) return;
    if (entry.users > 0) throw new PacelineError('busy', `The model ${id} is in use`);
    await this.#dispose(entry);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const entry of this.#entries.values()) {
      clearTimeout(entry.timer);
      await entry.loading?.catch(() => {});
      if (entry.loaded !== undefined) await this.#dispose(entry);
    }
  }

  #load(entry: Entry): Promise<LoadedModel> {
    if (entry.loading !== undefined) return entry.loading;
    const loading = this.#lastLoad.then(async () => {
      if (this.#closed) throw new PacelineError('unavailable', 'The server is shutting down');
      await this.#makeRoom(entry);
      entry.loaded = await this.#loadNow(entry);
      return entry.loaded;
    });
    this.#lastLoad = loading.catch(() => {});
    entry.loading = loading;
    this.#options.onChange?.();
    const settled = (): void => {
      entry.loading = undefined;
      entry.progress = undefined;
      this.#options.onChange?.();
    };
    loading.then(settled, settled);
    return loading;
  }

  async #makeRoom(entry: Entry): Promise<void> {
    const loaded = (): number =>
      [...this.#entries.values()].filter((other) => other.loaded !== undefined).length;
    while (loaded() >= this.#options.maxLoaded) {
      if (await this.#evictIdle()) continue;
      throw new PacelineError(
        'busy',
        `The model ${entry.spec.id} can't be loaded while ${loaded()} others are in use`,
        { hint: 'Try again, or start the server with a larger --max-models.' },
      );
    }
  }

  /** Loads, unloading idle models and shortening a context that nobody asked for as memory demands. */
  async #loadNow(entry: Entry): Promise<LoadedModel> {
    const { load, slots } = this.#options;
    const { source, draftModels = load.draftModels } = entry.spec;
    let contextLength = load.contextLength ?? (await plannedContext(source));
    for (;;) {
      try {
        const model = await loadModel(source, {
          ...load,
          ...(draftModels === undefined ? {} : { draftModels }),
          contextLength,
          onProgress: ({ done, total = 0 }) => this.#progressed(entry, done, total),
        });
        const pool = new SlotPool({ limit: slots, create: () => model.createSession() });
        return { spec: entry.spec, model, slots: pool, replay: new ReplayMemory() };
      } catch (error) {
        if (!(PacelineError.is(error) && error.code === 'memory')) throw error;
        if (await this.#evictIdle()) continue;
        if (load.contextLength !== undefined || contextLength <= leastContext) throw error;
        contextLength = Math.max(leastContext, Math.floor(contextLength / 2));
      }
    }
  }

  /** Tells of every hundredth that is done. */
  #progressed(entry: Entry, done: number, total: number): void {
    const step = Math.max(1, total / 100);
    const told = entry.progress?.done ?? Number.NEGATIVE_INFINITY;
    if (done >= told && done < told + step && done !== total) return;
    entry.progress = { done, total };
    this.#options.onChange?.();
  }

  /** Unloads the model that has been idle for longest. False when none is idle. */
  async #evictIdle(): Promise<boolean> {
    const idle = [...this.#entries.values()]
      .filter(({ spec, loaded, users }) => loaded && users === 0 && !spec.pinned)
      .sort((a, b) => a.lastUsed - b.lastUsed)[0];
    if (idle === undefined) return false;
    await this.#dispose(idle);
    return true;
  }

  async #dispose(entry: Entry): Promise<void> {
    const { loaded } = entry;
    entry.loaded = undefined;
    clearTimeout(entry.timer);
    await loaded?.model.dispose();
    this.#options.onChange?.();
  }

  #unloadLater(entry: Entry): void {
    const { unloadAfterMs } = this.#options;
    if (unloadAfterMs === 0 || entry.spec.pinned || entry.users > 0 || this.#closed) return;
    clearTimeout(entry.timer);
    entry.timer = setTimeout(() => {
      if (entry.users === 0 && entry.loaded !== undefined) void this.#dispose(entry);
    }, unloadAfterMs);
    entry.timer.unref();
  }
}

/** The model's own context, up to what agents need. */
async function plannedContext(source: string): Promise<number> {
  await using file = await readGguf(resolveModelPath(source));
  const architecture = file.optionalString('general.architecture');
  const trained = file.optionalNumber(`${architecture}.context_length`);
  return Math.min(trained ?? usualContext, usualContext);
}
