/** A vLLM that the tests start as its descriptor says, in a process group of its own, on loopback. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream, readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { ArgumentTemplate, LaunchValues } from '../../src/backends/descriptor.js';
import { freePort } from '../../src/backends/managed/free-port.js';
import { vllm } from '../../src/backends/vllm.js';
import { temporaryFile } from '../support/tiny-model.js';

/** What `scripts/vllm.mjs` hands on of an installation. */
export interface InstalledProgram {
  readonly program: readonly [string, ...string[]];
  readonly environment: Readonly<Record<string, string>>;
}

/** vLLM as `scripts/vllm.mjs` installed it. */
export function installedVllm(): InstalledProgram {
  const text = process.env.PACELINE_TEST_VLLM_PROGRAM;
  if (text === undefined) throw new Error('PACELINE_TEST_VLLM_PROGRAM is unset: npm run test:vllm');
  return JSON.parse(text) as InstalledProgram;
}

function argumentsOf(templates: readonly ArgumentTemplate[], values: LaunchValues): string[] {
  const known = values as unknown as Readonly<Record<string, unknown>>;
  const fill = (text: string): string =>
    text.replace(/\{(\w+)\}/g, (_, name: string) => String(known[name]));
  return templates.flatMap((template) => {
    if (typeof template === 'string') return [fill(template)];
    const value = known[template.when];
    const fits = template.is === undefined || template.is.some((device) => device === value);
    return value !== undefined && fits ? template.arguments.map(fill) : [];
  });
}

/** It would take all cores and half of the memory, and ask Hugging Face for what it has. */
export const smallVllm: Readonly<Record<string, string>> = {
  VLLM_CPU_KVCACHE_SPACE: '1',
  OMP_NUM_THREADS: '1',
  VLLM_CPU_OMP_THREADS_BIND: 'nobind',
  HF_HUB_OFFLINE: '1',
};

/** Processors that are shared start it slowly. */
const startLimitMs = 6 * 60_000;

export class VllmProcess implements AsyncDisposable {
  readonly url: string;
  readonly log: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  private constructor(url: string, log: string, child: ChildProcess) {
    this.url = url;
    this.log = log;
    this.#child = child;
    // Its pipes stay open as long as a worker has them.
    this.#ended = new Promise((resolve) => child.on('exit', resolve));
  }

  /**
   * Starts it on a model's folder and waits until it answers.
   * @param extra more of its arguments
   * @param servedName what it calls the model
   */
  static async start(
    model: string,
    extra: readonly string[] = [],
    servedName = 'tiny',
  ): Promise<VllmProcess> {
    const { program, environment } = installedVllm();
    const port = await freePort();
    const values: LaunchValues = {
      ...{ model, servedName, host: '127.0.0.1', port, device: 'cpu' },
      ...{ contextLength: 2048, slots: 8 },
    };
    const [path, ...first] = program;
    const args = [...first, ...argumentsOf(vllm.launch?.arguments ?? [], values), ...extra];
    const log = temporaryFile(`vllm-${port}.log`);
    const child = spawn(path, args, {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        ...vllm.launch?.environment,
        ...environment,
        ...smallVllm,
      },
    });
    // A file of tests that fails before it ends it leaves nothing behind either.
    process.once('exit', () => endAll(child.pid));
    const file = createWriteStream(log);
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        file.write(text);
        said = (said + text).slice(-4000);
      });
    }
    const engine = new VllmProcess(`http://127.0.0.1:${port}`, log, child);
    const until = Date.now() + startLimitMs;
    while (!(await engine.answers())) {
      if (child.exitCode !== null || Date.now() > until) {
        await engine[Symbol.asyncDispose]();
        throw new Error(`vLLM did not start: ${said}`);
      }
      await delay(500);
    }
    return engine;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async answers(): Promise<boolean> {
    try {
      return (await fetch(`${this.url}/health`, { signal: AbortSignal.timeout(2000) })).ok;
    } catch {
      return false;
    }
  }

  /** Resolves when its first process has ended. */
  get ended(): Promise<unknown> {
    return this.#ended;
  }

  /** Sends a signal to its first process. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async ask(path: string, body: object): Promise<Response> {
    return fetch(`${this.url}${path}`, {
      method: 'POST',
      // It closes kept connections after some seconds, whoever is about to ask.
      headers: { 'content-type': 'application/json', connection: 'close' },
      body: JSON.stringify({ model: 'tiny', ...body }),
    });
  }

  /** Ends the whole group: workers outlive the process that was started. */
  async [Symbol.asyncDispose](): Promise<void> {
    endAll(this.pid);
    await this.#ended;
  }
}

/** Kills a process group. */
function endAll(group: number | undefined): void {
  if (group === undefined || group === 0) return;
  try {
    process.kill(-group, 'SIGKILL');
  } catch {
    // Nothing of it is left.
  }
}

interface ProcessFacts {
  readonly pid: number;
  readonly group: number;
  /** Its command line, or what it calls itself. */
  readonly name: string;
}

/** All processes that have not ended, by the kernel's list. */
function processes(): ProcessFacts[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
        const [state, , group] = text.slice(text.lastIndexOf(')') + 2).split(' ');
        if (state === 'Z') return [];
        const name = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
        return [{ pid: Number(pid), group: Number(group), name }];
      } catch {
        return [];
      }
    });
}

/** Processes whose command line has these words in it. */
export function processNamed(...words: readonly string[]): ProcessFacts[] {
  return processes().filter(({ name }) => words.every((word) => name.includes(word)));
}

/** Processes of a group. */
export function groupOf(group: number): ProcessFacts[] {
  return processes().filter((one) => one.group === group);
}

/** Waits until something holds. */
export async function until(
  what: () => boolean | Promise<boolean>,
  limitMs = 60_000,
): Promise<void> {
  for (const end = Date.now() + limitMs; !(await what()); await delay(100)) {
    assert.ok(Date.now() < end, 'it takes too long');
  }
}
