/**
 * One run of an engine's process: started with its exact arguments in the log, watched on its way to
 * its first answer through states with limits of their own, and ended with all of its group.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { PacelineError } from '../../base/errors.js';
import type { Launch, ReadinessState } from '../descriptor.js';
import type { EngineLog } from './engine-log.js';
import type { LaunchPlan } from './launch.js';
import type { FromWatchdog, ToWatchdog } from './watchdog-messages.js';

export interface EngineProcessOptions {
  readonly name: string;
  readonly plan: LaunchPlan;
  readonly launch: Launch;
  readonly log: EngineLog;
  /** Whether it answers. */
  readonly isWell: () => Promise<boolean>;
  readonly onState?: (state: ReadinessState) => void;
  /** Called once when it has ended without being asked to. */
  readonly onExit?: (how: string) => void;
}

const watchdogProgram = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './watchdog.ts' : './watchdog.js', import.meta.url),
);
const firstAskMs = 50;
const longestAskMs = 1000;

export class EngineProcess {
  readonly #options: EngineProcessOptions;
  readonly #watchdog: ChildProcess;
  readonly #signs: readonly { readonly state: ReadinessState; readonly pattern: RegExp }[];
  readonly #ended: Promise<void>;
  #state: ReadinessState = 'loading';
  #stateSince = performance.now();
  #exit: string | undefined;
  #stopping = false;
  /** The process group of the engine. */
  pid: number | undefined;

  /** Starts it. */
  constructor(options: EngineProcessOptions) {
    this.#options = options;
    const { plan, launch, log } = options;
    this.#signs = launch.signs.map(({ state, pattern }) => ({
      state,
      pattern: new RegExp(pattern),
    }));
    log.line(`start: ${[plan.program, ...plan.arguments].map(quoted).join(' ')}`);
    const watchdog = fork(watchdogProgram, [], {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...process.env, NODE_NO_WARNINGS: '1' },
    });
    this.#watchdog = watchdog;
    for (const stream of [watchdog.stdout, watchdog.stderr]) {
      stream?.on('data', (piece: Buffer) => {
        for (const line of log.write(piece)) this.#sign(line);
      });
      stream?.on('error', () => {});
    }
    watchdog.on('message', (message) => this.#receive(message as FromWatchdog));
    watchdog.on('error', (error) => this.#exited(error.message));
    this.#ended = new Promise((resolve) => {
      watchdog.once('exit', () => {
        this.#exited('its watchdog ended');
        // Whoever killed the watchdog has not killed the engine.
        if (this.#exit === 'its watchdog ended') this.#killGroup();
        resolve();
      });
    });
    const { signal, patience } = launch.stop;
    this.#send({ type: 'start', ...plan, stop: { signal, patienceMs: patience * 1000 } });
  }

  get state(): ReadinessState {
    return this.#state;
  }

  /**
   * Resolves when it answers.
   * @throws {PacelineError} `unavailable` when it ends before, or stays too long in a state; `aborted`.
   */
  async ready(signal: AbortSignal): Promise<void> {
    const { isWell, launch, name, log } = this.#options;
    for (let wait = firstAskMs; ; wait = Math.min(longestAskMs, wait * 1.5)) {
      if (signal.aborted) throw new PacelineError('aborted', `${name} is not wanted any more`);
      if (this.#exit !== undefined)
        throw this.#failure(`ended before it was ready (${this.#exit})`);
      if (this.pid !== undefined && (await isWell())) break;
      const state = this.#state === 'ready' ? 'loading' : this.#state;
      if (performance.now() - this.#stateSince > launch.limits[state] * 1000) {
        throw this.#failure(`was ${state} for more than ${launch.limits[state]} s`);
      }
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
    log.line('ready');
    this.#enter('ready');
  }

  /** Ends it with all of its group, in an orderly way first. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#send({ type: 'stop' });
    await this.#ended;
  }

  #failure(what: string): PacelineError {
    const { name, log } = this.#options;
    const said = log.tail();
    return new PacelineError('unavailable', `${name} ${what}`, {
      hint: `${said === '' ? 'It said nothing' : `It said: ${said}`}. All of it is in ${log.path}.`,
      details: { retryAfter: 10 },
    });
  }

  #receive(message: FromWatchdog): void {
    if (message.type === 'started') this.pid = message.pid;
    else if (message.type === 'failed') this.#exited(message.message);
    else if (message.type === 'exited') this.#exited(message.how);
  }

  #exited(how: string): void {
    if (this.#exit !== undefined) return;
    this.#exit = how;
    this.#options.log.line(`ended: ${how}`);
    if (!this.#stopping) this.#options.onExit?.(how);
  }

  #killGroup(): void {
    if (this.pid === undefined || process.platform === 'win32') return;
    try {
      process.kill(-this.pid, 'SIGKILL');
    } catch {
      // It has ended.
    }
  }

  #send(message: ToWatchdog): void {
    if (this.#watchdog.connected) this.#watchdog.send(message, () => {});
  }

  #sign(line: string): void {
    if (this.#state === 'ready') return;
    const found = this.#signs.find(({ pattern }) => pattern.test(line));
    if (found !== undefined && found.state !== this.#state) this.#enter(found.state);
  }

  #enter(state: ReadinessState): void {
    this.#state = state;
    this.#stateSince = performance.now();
    this.#options.onState?.(state);
  }
}

/** An argument as a shell would take it. */
function quoted(argument: string): string {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
}
