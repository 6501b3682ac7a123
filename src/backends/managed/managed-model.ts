/**
 * One model that an engine of ours serves in a process of its own: started when it is asked for, started
 * again when it dies, with growing pauses, and ended when nobody needs it.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { PacelineError, throwIfAborted } from '../../base/errors.js';
import { dataFolder } from '../../base/paths.js';
import type { BackendDescriptor, DeviceFamily, ReadinessState } from '../descriptor.js';
import { Upstream } from '../routing/upstream.js';
import { EngineLog } from './engine-log.js';
import { EngineProcess } from './engine-process.js';
import { freePort } from './free-port.js';
import { launchPlan } from './launch.js';

export interface ManagedSpec {
  /** What requests call it. */
  readonly id: string;
  /** A path or a name, as the backend understands it. */
  readonly model: string;
  /** Started with the server and never ended. */
  readonly pinned: boolean;
}

export interface ManagedOptions {
  readonly backend: BackendDescriptor;
  /** The program of an installation, and arguments that always come first. */
  readonly program: readonly [string, ...string[]];
  /** Variables that the program needs. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Texts at once of one engine. */
  readonly slots: number;
  readonly contextLength?: number;
  readonly threads?: number;
  readonly device?: DeviceFamily;
  /** Arguments of the user's. */
  readonly extra?: readonly string[];
  /** So often in a row it is started again after a death; then requests ask for it. Default 8. */
  readonly mostRestarts?: number;
  /** One that runs but does not answer for so many milliseconds is ended and started again. Default 60 s. */
  readonly longestUnwellMs?: number;
  /** Where logs are kept; default: `logs` in the data folder. */
  readonly logFolder?: string;
  readonly onNotice?: (level: 'info' | 'warn' | 'error', text: string) => void;
}

export type ManagedState = 'unloaded' | ReadinessState | 'restarting' | 'failed';

const firstPauseMs = 100;
const longestPauseMs = 15_000;
/** A process that answered for so long was not killed by its start. */
const steadyMs = 30_000;
const usualMostRestarts = 8;
const usualLongestUnwellMs = 60_000;

export class ManagedModel {
  readonly spec: ManagedSpec;
  readonly upstream: Upstream;
  readonly #options: ManagedOptions;
  readonly #key = randomBytes(24).toString('base64url');
  readonly #port: number;
  readonly #log: EngineLog;
  readonly #closed = new AbortController();
  #process: EngineProcess | undefined;
  #starting: Promise<void> | undefined;
  #state: ManagedState = 'unloaded';
  #deaths = 0;
  #readyAt = 0;
  #unwellSince: number | undefined;
  users = 0;
  lastUsed = Date.now();
  restarts = 0;

  private constructor(spec: ManagedSpec, options: ManagedOptions, port: number) {
    this.spec = spec;
    this.#options = options;
    this.#port = port;
    const { backend, slots, logFolder = join(dataFolder(), 'logs') } = options;
    const takesKey = backend.launch?.keyVariable !== undefined;
    const address = { url: `http://127.0.0.1:${port}`, ...(takesKey ? { key: this.#key } : {}) };
    this.upstream = new Upstream({ backend, slots, address });
    this.upstream.hold(true);
    const name = spec.id.replace(/[^\w.-]+/g, '_').slice(0, 80);
    this.#log = new EngineLog(join(logFolder, `${backend.name}-${name}.log`));
  }

  static async create(spec: ManagedSpec, options: ManagedOptions): Promise<ManagedModel> {
    return new ManagedModel(spec, options, await freePort());
  }

  get state(): ManagedState {
    return this.#state;
  }

  get isLoaded(): boolean {
    return this.#process !== undefined;
  }

  /** The process group of its engine. */
  get pid(): number | undefined {
    return this.#process?.pid;
  }

  get logPath(): string {
    return this.#log.path;
  }

  /** Waits until it answers; starts it where it does not run. @throws as `EngineProcess.ready` */
  async ensure(signal: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    if (this.#state === 'ready') return;
    await orAborted(
      this.#begin(() => this.#start()),
      signal,
    );
  }

  /** Has it started again where it runs but has not been well for too long: to be called now and then. */
  watch(): void {
    const engine = this.#process;
    if (engine === undefined || this.#state !== 'ready' || this.upstream.isAvailable) {
      this.#unwellSince = undefined;
      return;
    }
    const { longestUnwellMs = usualLongestUnwellMs } = this.#options;
    this.#unwellSince ??= performance.now();
    if (performance.now() - this.#unwellSince < longestUnwellMs) return;
    this.#unwellSince = undefined;
    this.#died(engine, `no answer for ${longestUnwellMs / 1000} s`, engine.stop());
  }

  /** Ends it, and everything that it started. */
  async stop(): Promise<void> {
    const engine = this.#process;
    this.#process = undefined;
    this.#state = 'unloaded';
    this.upstream.hold(true);
    await engine?.stop();
  }

  /** Ends it for ever. */
  async close(): Promise<void> {
    this.#closed.abort();
    await this.stop();
    this.upstream.client.close();
  }

  /** The one start that everybody waits for. */
  #begin(start: () => Promise<void>): Promise<void> {
    if (this.#starting !== undefined) return this.#starting;
    const starting = start();
    this.#starting = starting;
    const settled = (): void => {
      this.#starting = undefined;
    };
    // Requests hear of a failure when they ask for the model.
    starting.then(settled, settled);
    return starting;
  }

  async #start(): Promise<void> {
    const { backend, program, extra, slots, contextLength, threads, device } = this.#options;
    const { launch } = backend;
    if (launch === undefined) throw new PacelineError('usage', `${backend.title} is not started`);
    const plan = launchPlan(
      backend,
      program,
      {
        model: this.spec.model,
        servedName: this.spec.id,
        host: '127.0.0.1',
        port: this.#port,
        slots,
        key: this.#key,
        ...(contextLength === undefined ? {} : { contextLength }),
        ...(threads === undefined ? {} : { threads }),
        ...(device === undefined ? {} : { device }),
      },
      extra,
    );
    const name = `${backend.title} with ${this.spec.id}`;
    const environment = { ...this.#options.environment, ...plan.environment };
    const engine = new EngineProcess({
      name,
      plan: { ...plan, environment },
      launch,
      log: this.#log,
      isWell: () => this.upstream.isWell(this.#closed.signal),
      onState: (state) => {
        if (this.#process === engine) this.#enter(state);
      },
      onExit: (how) => this.#died(engine, how),
    });
    this.#process = engine;
    this.#enter('loading');
    try {
      await engine.ready(this.#closed.signal);
      if (this.#process !== engine) throw new PacelineError('unavailable', `${name} was ended`);
    } catch (error) {
      if (this.#process === engine) this.#process = undefined;
      this.#state = 'failed';
      await engine.stop();
      throw error;
    }
    this.#readyAt = performance.now();
    this.upstream.hold(false);
  }

  #enter(state: ReadinessState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#options.onNotice?.('info', `${this.#options.backend.name} ${this.spec.id}: ${state}`);
  }

  /**
   * The process has ended by itself, or is of no use. While it starts, `ready` tells of it.
   * @param gone resolves when nothing of it is left
   */
  #died(engine: EngineProcess, how: string, gone: Promise<void> = Promise.resolve()): void {
    if (this.#process !== engine || this.#state !== 'ready') return;
    this.#process = undefined;
    this.#state = 'restarting';
    this.upstream.hold(true);
    if (performance.now() - this.#readyAt > steadyMs) this.#deaths = 0;
    const pause = Math.min(longestPauseMs, firstPauseMs * 2 ** this.#deaths);
    this.#deaths += 1;
    this.restarts += 1;
    const { onNotice, backend } = this.#options;
    onNotice?.('error', `${backend.name} ${this.spec.id} died (${how}); starting it again`);
    void this.#begin(async () => {
      await gone;
      await this.#restart(pause);
    });
  }

  async #restart(firstPause: number): Promise<void> {
    const { mostRestarts = usualMostRestarts } = this.#options;
    let pause = firstPause;
    for (let attempt = 1; ; attempt++) {
      await new Promise((resolve) => setTimeout(resolve, pause));
      throwIfAborted(this.#closed.signal);
      try {
        return await this.#start();
      } catch (error) {
        if (attempt >= mostRestarts || this.#closed.signal.aborted) throw error;
        this.#state = 'restarting';
        pause = Math.min(longestPauseMs, pause * 2);
      }
    }
  }
}

async function orAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  let stop: () => void = () => {};
  const aborted = new Promise<void>((_, reject) => {
    stop = () => reject(new PacelineError('aborted', 'The request was given up'));
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
