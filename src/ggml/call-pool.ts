/**
 * Calls C functions on as many threads as asked for: where a job has more work than one call of
 * koffi on Node's own four threads can share out. Memory is passed by address, so nothing is copied;
 * who calls keeps it alive until the promise settles. Knows nothing of what the functions do.
 */
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import { PacelineError } from '../base/errors.js';
import { declarationsOf, type Signatures } from './bindings.js';

/** A call by name; addresses are plain numbers. */
export type NativeCall = readonly [
  name: string,
  ...parameters: readonly (number | boolean | string | null)[],
];

export type NativeResult = number | boolean | string | null | undefined;

/**
 * What a thread runs. It is text, and not a module of its own, because a thread does not get the
 * loader that runs TypeScript sources in tests, and the text needs nothing but koffi.
 */
const program = `
const { parentPort, workerData } = require('node:worker_threads');
const koffi = require(workerData.koffi);
const library = koffi.load(workerData.library);
const functions = new Map();
for (const [name, result, parameters] of workerData.declarations)
  functions.set(name, library.func(name, result, parameters));
parentPort.on('message', (calls) => {
  if (calls === null) return parentPort.close();
  const results = [];
  try {
    for (const [name, ...parameters] of calls) {
      results.push(functions.get(name)(...parameters));
      if (results.at(-1) === false) break;
    }
    parentPort.postMessage({ results });
  } catch (error) {
    parentPort.postMessage({ problem: String(error) });
  }
});
`;

interface Job {
  readonly signal: AbortSignal | undefined;
  readonly calls: readonly NativeCall[];
  readonly resolve: (results: readonly NativeResult[]) => void;
  readonly reject: (error: Error) => void;
}

/** Asks a thread to end, and waits until it has. */
async function ended(worker: Worker): Promise<void> {
  // A thread that is gone has no number any more.
  if (worker.threadId < 0) return;
  const exit = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  worker.ref();
  worker.postMessage(null);
  await exit;
}

function abortedBy(signal: AbortSignal): PacelineError {
  return new PacelineError('aborted', 'The operation was aborted', { cause: signal.reason });
}

export class CallPool implements AsyncDisposable {
  readonly threads: number;
  readonly #workers: readonly Worker[];
  readonly #idle: Worker[] = [];
  readonly #waiting: Job[] = [];
  readonly #running = new Map<Worker, Job>();
  #failure: PacelineError | undefined;

  /** Starts the threads; each declares the functions of `signatures` in the library at that path. */
  constructor(options: { library: string; signatures: Signatures; threads: number }) {
    this.threads = options.threads;
    const workerData = {
      koffi: createRequire(import.meta.url).resolve('koffi'),
      library: options.library,
      declarations: declarationsOf(options.signatures),
    };
    this.#workers = Array.from({ length: options.threads }, () => {
      const worker = new Worker(program, { eval: true, workerData, execArgv: [] });
      worker.on('message', (answer) => this.#settle(worker, answer));
      worker.on('error', (error) => this.#fail(error));
      // Only pending calls keep the process alive.
      worker.unref();
      this.#idle.push(worker);
      return worker;
    });
  }

  /**
   * Makes the calls one after another on one thread, up to the first that returns false.
   * @returns what each returned, as far as they were made.
   * @throws {PacelineError} `internal` when a function is missing or its parameters are refused;
   *   `aborted` if it had to wait and the signal fired; `disposed`.
   */
  run(calls: readonly NativeCall[], signal?: AbortSignal): Promise<readonly NativeResult[]> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure);
        return;
      }
      this.#waiting.push({ signal, calls, resolve, reject });
      this.#next();
    });
  }

  #next(): void {
    while (this.#waiting.length > 0) {
      const worker = this.#idle.pop();
      if (worker === undefined) return;
      const job = this.#waiting.shift() as Job;
      if (job.signal?.aborted) {
        this.#idle.push(worker);
        job.reject(abortedBy(job.signal));
        continue;
      }
      this.#running.set(worker, job);
      worker.ref();
      worker.postMessage(job.calls);
    }
  }

  #settle(
    worker: Worker,
    answer: { readonly results?: readonly NativeResult[]; readonly problem?: string },
  ): void {
    const job = this.#running.get(worker);
    // Nobody waits for it any more, but for the thread's end.
    if (job === undefined) return;
    this.#running.delete(worker);
    worker.unref();
    this.#idle.push(worker);
    if (answer.results !== undefined) job.resolve(answer.results);
    else job.reject(new PacelineError('internal', `A native call failed: ${answer.problem}`));
    this.#next();
  }

  #fail(cause: Error): void {
    this.#failure ??= PacelineError.is(cause)
      ? cause
      : new PacelineError('internal', `A compute thread ended: ${cause.message}`, { cause });
    const jobs = [...this.#running.values(), ...this.#waiting.splice(0)];
    this.#running.clear();
    for (const job of jobs) job.reject(this.#failure);
  }

  /** Ends the threads; what they have in hand is finished first, what waits is refused. */
  async dispose(): Promise<void> {
    this.#fail(new PacelineError('disposed', 'The pool of threads has been disposed of'));
    // They end by themselves: koffi takes the process down when a thread is stopped while it loads.
    await Promise.all(this.#workers.map(ended));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
