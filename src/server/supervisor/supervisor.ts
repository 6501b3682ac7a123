/**
 * Keeps an engine process alive and speaks with it. When the process dies, requests of which
 * nothing has been told yet run again on the next one, others fail with an error that says so; the
 * process is started again at once, then with growing pauses. Knows nothing of HTTP.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { PacelineError } from '../../base/errors.js';
import { Admission } from '../../chat/admission.js';
import { isContent, type TextEvent } from '../../chat/events.js';
import {
  type EmbedRequest,
  type EmbedResult,
  type RankRequest,
  type RankResult,
  type ReadingOptions,
  slotsOf,
  type TextRequest,
} from '../../chat/request.js';
import type { ProofEvent } from '../../engine/verify/prove.js';
import type {
  EngineConfig,
  EngineStatus,
  FromEngine,
  ToEngine,
} from '../engine-process/messages.js';
import type { ModelActivity } from '../engine-process/model-report.js';
import type { ModelSpec } from '../engine-process/models.js';
import { fromFailureData } from '../internal/failure.js';
import { Job } from './job.js';

/** `loading` before the first start has ended, `restarting` after the process died. */
export type EngineState = 'loading' | 'ready' | 'restarting' | 'failed' | 'stopped';

export interface EngineOptions {
  readonly config: EngineConfig;
  /** Requests that may wait for a slot. */
  readonly queueLimit: number;
  /** The program of the engine's process; default: `engine-process/main`. */
  readonly program?: string;
  /** Told of what an operator wants to know. */
  readonly onNotice?: (level: 'info' | 'warn' | 'error', text: string) => void;
}

/** What is asked of texts that are only read. */
type Reading =
  | { readonly type: 'embed'; readonly request: EmbedRequest }
  | { readonly type: 'rank'; readonly request: RankRequest };

const firstPauseMs = 100;
/** After a start that failed, and after one that did not: who served is to be back soon. */
const longestPauseMs = { failed: 10_000, served: 1000 };
/** A process that lived so long was not killed by its start. */
const steadyMs = 30_000;
/** So often one request is run; then it is the request that kills. */
const mostAttempts = 3;
const restartPatienceMs = 30_000;
const stopPatienceMs = 10_000;

const engineProgram = fileURLToPath(
  new URL(
    import.meta.url.endsWith('.ts') ? '../engine-process/main.ts' : '../engine-process/main.js',
    import.meta.url,
  ),
);

/** Marks the error of a request whose process died. */
const died = new PacelineError('internal', 'The engine stopped while it worked on the request', {
  hint: 'It is being restarted: send the request again.',
});

export class EngineSupervisor {
  readonly #options: EngineOptions;
  readonly #admission: Admission;
  readonly #jobs = new Map<number, Job>();
  /** Models that the configuration does not have. */
  readonly #added: ModelSpec[] = [];
  #child: ChildProcess | undefined;
  #state: EngineState = 'loading';
  #status: EngineStatus;
  #ids = 0;
  #deaths = 0;
  #restarts = 0;
  #readyAt = 0;
  #waiters = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;
  #failure: PacelineError | undefined;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#admission = new Admission({
      slots: options.config.slots,
      queueLimit: options.queueLimit,
    });
    this.#status = {
      models: options.config.models.map(({ id, pinned }) => ({
        id,
        pinned: pinned === true,
        state: 'unloaded',
        users: 0,
      })),
      memoryBytes: 0,
    };
  }

  get state(): EngineState {
    return this.#state;
  }

  /** As the process last told it. */
  get status(): EngineStatus {
    return this.#status;
  }

  get waiting(): number {
    return this.#admission.waiting;
  }

  /** Requests for a model that wait before another would; undefined: none would have to wait. */
  queueFor(request: TextRequest): number | undefined {
    return this.#admission.queueFor(request.model, slotsOf(request));
  }

  get slotsTaken(): number {
    return this.#admission.taken;
  }

  /** How often the process was started again. */
  get restarts(): number {
    return this.#restarts;
  }

  get processId(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts the process, if there are models for it; resolves when its pinned models are loaded. @throws as `loadModel` */
  async start(): Promise<void> {
    if (this.#options.config.models.length === 0) {
      // All models are served by other engines.
      this.#state = 'ready';
      return;
    }
    this.#spawn();
    await this.#until(() => this.#state !== 'loading');
    if (this.#state !== 'ready') throw this.#failure ?? stopped();
  }

  /**
   * Runs a request and yields its events, as many at once as there are. An abort frees its slots
   * within a step of the engine.
   * @throws {PacelineError} `busy`, `unavailable`, `aborted`, and what `EngineHost.run` throws.
   */
  async *run(
    request: TextRequest,
    options: { readonly signal: AbortSignal; readonly client?: string },
  ): AsyncGenerator<readonly TextEvent[], void> {
    const { signal, client = '' } = options;
    this.#refuseUnlessUp();
    const ticket = { model: request.model, slots: slotsOf(request), client };
    const release = await this.#admission.enter(ticket, signal);
    let job: Job | undefined;
    try {
      let started = false;
      let told = false;
      for (let attempt = 1; ; attempt++) {
        await this.#ready(signal);
        job = this.#ask({ type: 'run', request });
        try {
          for await (const events of job.batches(signal)) {
            const batch = events as readonly TextEvent[];
            const fresh = started ? batch.filter(({ type }) => type !== 'start') : batch;
            started ||= batch.some(({ type }) => type === 'start');
            told ||= batch.some(isContent);
            if (fresh.length > 0) yield fresh;
          }
          return;
        } catch (error) {
          if (error !== died || told || attempt === mostAttempts) throw error;
        }
      }
    } finally {
      this.#letGo(job, release);
    }
  }

  /** Tokens of a request's prompt. @throws as `run` */
  async count(request: TextRequest, signal: AbortSignal): Promise<number> {
    this.#refuseUnlessUp();
    await this.#ready(signal);
    return (await this.#ask({ type: 'count', request }).value(signal)) as number;
  }

  /** Vectors of texts; a process that dies is asked again. @throws as `EngineHost.embed`, `run` */
  embed(request: EmbedRequest, options: ReadingOptions): Promise<EmbedResult> {
    return this.#read<EmbedResult>({ type: 'embed', request }, options);
  }

  /** Documents, the best first, in the same way. @throws as `EngineHost.rank`, `run` */
  rank(request: RankRequest, options: ReadingOptions): Promise<RankResult> {
    return this.#read<RankResult>({ type: 'rank', request }, options);
  }

  async #read<T>(message: Reading, { signal, client = '' }: ReadingOptions): Promise<T> {
    this.#refuseUnlessUp();
    const { model } = message.request;
    const release = await this.#admission.enter({ model, slots: 1, client }, signal);
    let job: Job | undefined;
    try {
      for (let attempt = 1; ; attempt++) {
        await this.#ready(signal);
        job = this.#ask(message);
        try {
          return (await job.value(signal)) as T;
        } catch (error) {
          if (error !== died || attempt === mostAttempts) throw error;
        }
      }
    } finally {
      this.#letGo(job, release);
    }
  }

  /**
   * Generates a text plainly and with drafts and yields what happens.
   * @throws as `EngineHost.prove`, `run`
   */
  async *prove(
    request: TextRequest,
    { signal, client = '' }: { readonly signal: AbortSignal; readonly client?: string },
  ): AsyncGenerator<readonly ProofEvent[], void> {
    this.#refuseUnlessUp();
    const release = await this.#admission.enter({ model: request.model, slots: 1, client }, signal);
    let job: Job | undefined;
    try {
      await this.#ready(signal);
      job = this.#ask({ type: 'prove', request });
      yield* job.batches(signal) as AsyncGenerator<readonly ProofEvent[], void>;
    } finally {
      this.#letGo(job, release);
    }
  }

  /** What a model has computed after the pass of this number; undefined while it is not loaded. */
  async activity(model: string, since: number): Promise<ModelActivity | undefined> {
    if (this.#state !== 'ready') return undefined;
    return (await this.#ask({ type: 'activity', model, since }).value()) as
      | ModelActivity
      | undefined;
  }

  /** Adds a model, which is loaded when it is asked for; so does each process that is started later. */
  add(spec: ModelSpec): void {
    this.#added.push(spec);
    const { id } = spec;
    const unloaded = { id, pinned: false, state: 'unloaded', users: 0 } as const;
    this.#status = { ...this.#status, models: [...this.#status.models, unloaded] };
    if (this.#state !== 'ready') return;
    if (this.#child === undefined) {
      // There was nothing for a process of ours to do.
      this.#state = 'restarting';
      this.#spawn();
    } else {
      this.#send({ type: 'add', spec });
    }
  }

  /** Loads a model into memory. @throws as `EngineHost.load` */
  async load(model: string, signal: AbortSignal): Promise<void> {
    this.#refuseUnlessUp();
    await this.#ready(signal);
    await this.#ask({ type: 'load', model }).value(signal);
  }

  /** Gives slots back when the engine has let go of a request, which it is told where it works. */
  #letGo(job: Job | undefined, release: () => void): void {
    if (job === undefined || job.isSettled) {
      release();
    } else {
      this.#send({ type: 'cancel', id: job.id });
      void job.settled.then(release);
    }
  }

  /** What the process says of itself now, or what it said last while there is none. */
  async refresh(): Promise<EngineStatus> {
    if (this.#state === 'ready') {
      try {
        this.#status = (await this.#ask({ type: 'status' }).value()) as EngineStatus;
      } catch {
        // It died meanwhile; what it said last stands.
      }
    }
    return this.#status;
  }

  /** Unloads a model that nobody uses. @throws {PacelineError} `busy` */
  async unload(model: string): Promise<void> {
    if (this.#state === 'ready') await this.#ask({ type: 'unload', model }).value();
  }

  /** Ends the process in an orderly way, or by force after a while. */
  async stop(): Promise<void> {
    this.#state = 'stopped';
    clearTimeout(this.#timer);
    this.#wake();
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    this.#send({ type: 'stop' });
    const timer = setTimeout(() => child.kill('SIGKILL'), stopPatienceMs);
    await exited;
    clearTimeout(timer);
  }

  #refuseUnlessUp(): void {
    if (this.#state === 'loading') {
      throw new PacelineError('unavailable', 'The model is being loaded', {
        hint: 'Try again in a moment.',
        details: { retryAfter: 1 },
      });
    }
    if (this.#state === 'stopped') throw stopped();
  }

  /** Waits for a process that was started again. */
  async #ready(signal: AbortSignal): Promise<void> {
    if (this.#state === 'ready') return;
    const patience = AbortSignal.any([signal, AbortSignal.timeout(restartPatienceMs)]);
    await this.#until(() => this.#state === 'ready' || this.#state === 'stopped', patience);
    if (signal.aborted) throw new PacelineError('aborted', 'The request was given up');
    if ((this.#state as EngineState) === 'stopped') throw stopped();
    if ((this.#state as EngineState) !== 'ready') {
      throw new PacelineError('unavailable', 'The engine does not start', {
        hint: this.#failure?.message ?? 'The log of the server says why.',
        details: { retryAfter: 10 },
      });
    }
  }

  async #until(condition: () => boolean, signal?: AbortSignal): Promise<void> {
    while (!condition() && !signal?.aborted) {
      await new Promise<void>((resolve) => {
        const done = (): void => {
          signal?.removeEventListener('abort', done);
          this.#waiters.delete(done);
          resolve();
        };
        signal?.addEventListener('abort', done);
        this.#waiters.add(done);
      });
    }
  }

  #wake(): void {
    for (const done of [...this.#waiters]) done();
  }

  #ask(message: DistributiveOmit<Extract<ToEngine, { id: number }>, 'id'>): Job {
    const job = new Job(this.#ids++);
    this.#jobs.set(job.id, job);
    void job.settled.then(() => this.#jobs.delete(job.id));
    // Without models there is no process, and nobody to ask.
    if (this.#child === undefined) job.fail(died);
    else this.#send({ ...message, id: job.id });
    return job;
  }

  #send(message: ToEngine): void {
    // A channel that is closing fails here; the process's end then settles what was asked.
    if (this.#child?.connected) this.#child.send(message, () => {});
  }

  #spawn(): void {
    const child = fork(this.#options.program ?? engineProgram, [], {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#child = child;
    child.on('message', (message) => {
      if (child === this.#child) this.#receive(message as FromEngine);
    });
    child.once('exit', (code, signal) => {
      if (child === this.#child) this.#exited(signal ?? `exit code ${code}`);
    });
    child.on('error', (error) => this.#options.onNotice?.('error', String(error)));
    this.#send({ type: 'start', config: this.#options.config });
  }

  #receive(message: FromEngine): void {
    switch (message.type) {
      case 'reports':
        for (const report of message.reports) this.#jobs.get(report.id)?.receive(report);
        break;
      case 'status':
        this.#status = message.status;
        break;
      case 'ready':
        this.#state = 'ready';
        this.#readyAt = performance.now();
        this.#failure = undefined;
        for (const spec of this.#added) this.#send({ type: 'add', spec });
        this.#wake();
        break;
      case 'failed':
        this.#failure = fromFailureData(message.failure);
        this.#child?.kill('SIGKILL');
    }
  }

  #exited(how: string): void {
    this.#child = undefined;
    for (const job of [...this.#jobs.values()]) job.fail(died);
    if (this.#state === 'stopped') return;
    if (this.#state === 'loading') {
      this.#state = 'failed';
      this.#failure ??= new PacelineError('internal', `The engine ended at its start (${how})`);
      this.#wake();
      return;
    }
    if (performance.now() - this.#readyAt > steadyMs) this.#deaths = 0;
    const longest = longestPauseMs[this.#state === 'ready' ? 'served' : 'failed'];
    const pause =
      this.#deaths === 0 ? 0 : Math.min(longest, firstPauseMs * 2 ** (this.#deaths - 1));
    this.#deaths += 1;
    this.#restarts += 1;
    this.#state = 'restarting';
    this.#status = {
      ...this.#status,
      models: this.#status.models.map(({ id, pinned }) => ({
        id,
        pinned,
        state: 'unloaded',
        users: 0,
      })),
    };
    this.#options.onNotice?.('error', `the engine died (${how}); starting it again`);
    this.#timer = setTimeout(() => this.#spawn(), pause);
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

function stopped(): PacelineError {
  return new PacelineError('unavailable', 'The server is shutting down', {
    details: { retryAfter: 5 },
  });
}
