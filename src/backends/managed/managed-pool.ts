/**
 * The models that engines of ours serve: started on demand, so many at once; idle ones are ended, those
 * in use and pinned never.
 */
import { PacelineError } from '../../base/errors.js';
import type { ManagedModel } from './managed-model.js';

export interface ManagedPoolOptions {
  readonly models: readonly ManagedModel[];
  /** Engines at once. */
  readonly maxLoaded: number;
  /** Idle ones that are not pinned are ended after so long; 0: never. */
  readonly unloadAfterMs: number;
}

export class ManagedPool {
  readonly models: readonly ManagedModel[];
  readonly #maxLoaded: number;
  readonly #unloadAfterMs: number;
  /** Starts wait for each other, so that each finds the room that the last one left. */
  #last: Promise<unknown> = Promise.resolve();
  readonly #timer: NodeJS.Timeout | undefined;

  constructor({ models, maxLoaded, unloadAfterMs }: ManagedPoolOptions) {
    this.models = models;
    this.#maxLoaded = maxLoaded;
    this.#unloadAfterMs = unloadAfterMs;
    if (unloadAfterMs === 0) return;
    this.#timer = setInterval(() => this.#endIdle(), Math.min(unloadAfterMs, 5000));
    this.#timer.unref();
  }

  find(id: string): ManagedModel | undefined {
    return this.models.find(({ spec }) => spec.id === id);
  }

  /** Starts what is pinned. @throws as `ManagedModel.ensure` */
  async startPinned(signal: AbortSignal): Promise<void> {
    for (const model of this.models) if (model.spec.pinned) await this.#ensure(model, signal);
  }

  /** Takes a model into use until the result is called, and waits until it answers. @throws as `ensure` */
  async use(model: ManagedModel, signal: AbortSignal): Promise<() => void> {
    model.users += 1;
    let released = false;
    const release = (): void => {
      if (released) return;
      released = true;
      model.users -= 1;
      model.lastUsed = Date.now();
    };
    try {
      await this.#ensure(model, signal);
      return release;
    } catch (error) {
      release();
      throw error;
    }
  }

  /** @throws {PacelineError} `busy` while it is used */
  async unload(model: ManagedModel): Promise<void> {
    if (model.users > 0) {
      throw new PacelineError('busy', `The model ${model.spec.id} is in use`);
    }
    await model.stop();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.models.map((model) => model.close()));
  }

  async #ensure(model: ManagedModel, signal: AbortSignal): Promise<void> {
    if (model.isLoaded || model.state === 'restarting') return model.ensure(signal);
    const turn = this.#last.then(async () => {
      if (!model.isLoaded) await this.#makeRoom(model);
      return model.ensure(signal);
    });
    this.#last = turn.catch(() => {});
    await turn;
  }

  async #makeRoom(wanted: ManagedModel): Promise<void> {
    for (;;) {
      const loaded = this.models.filter(({ isLoaded }) => isLoaded);
      if (loaded.length < this.#maxLoaded) return;
      const [idle] = loaded
        .filter(({ users, spec }) => users === 0 && !spec.pinned)
        .sort((a, b) => a.lastUsed - b.lastUsed);
      if (idle === undefined) {
        throw new PacelineError(
          'busy',
          `The model ${wanted.spec.id} can't be started while ${loaded.length} others are in use`,
          { hint: 'Try again, or start the server with a larger --max-models.' },
        );
      }
      await idle.stop();
    }
  }

  #endIdle(): void {
    const before = Date.now() - this.#unloadAfterMs;
    for (const model of this.models) {
      const { spec, users, lastUsed, state } = model;
      if (state === 'ready' && !spec.pinned && users === 0 && lastUsed < before) void model.stop();
    }
  }
}
