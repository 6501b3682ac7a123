/**
 * Starts a tool, and a server before it where none answers. The server that was started for the tool
 * ends with it; one that was there stays. Knows nothing of settings files.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { PacelineError } from '../base/errors.js';
import type { Launch } from './tools.js';

export interface StartedServer {
  readonly url: string;
  readonly models: readonly string[];
  /** Ends it, and waits for that. */
  stop(): Promise<void>;
}

/**
 * Starts `serve` with this program and waits until it is ready.
 * @param program the script of the command line.
 * @param args of `serve`, without `--json`.
 * @param env what its environment has beside ours: a key, which arguments would show to everybody.
 * @throws {PacelineError} `unavailable` when it ends before it is ready; it has said why on stderr.
 */
export async function startServer(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<StartedServer> {
  const child = spawn(
    process.execPath,
    [...process.execArgv, program, 'serve', ...args, '--json'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...env },
      // Ctrl-C is for the tool; the server ends when the tool has.
      detached: process.platform !== 'win32',
    },
  );
  const ended = exitOf(child);
  const lines = createInterface({ input: child.stdout });
  const ready = new Promise<string>((resolve) => {
    lines.once('line', resolve);
  });
  const first = await Promise.race([ready, ended]);
  if (typeof first !== 'string') {
    throw new PacelineError('unavailable', 'The server ended before it was ready', {
      hint: 'Start it by hand with `paceline serve` to see more.',
    });
  }
  const { address, models } = JSON.parse(first) as { address: string; models: string[] };
  return {
    url: address,
    models,
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

/**
 * Runs a tool in this terminal until it ends.
 * @returns its exit code; 130 or 143 when a signal ended it.
 * @throws {PacelineError} `not-found` when there is no such command.
 */
export async function runTool(
  { command, install, args = [], env = {} }: Launch,
  further: readonly string[],
): Promise<number> {
  const child = spawn(command, [...args, ...further], {
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  // The terminal sends Ctrl-C to the tool too, which decides what it means.
  const ignore = (): void => {};
  process.on('SIGINT', ignore);
  try {
    return await exitOf(child);
  } catch (cause) {
    throw new PacelineError('not-found', `The command ${command} can't be started`, {
      hint: `Is it installed? ${install}`,
      cause,
    });
  } finally {
    process.off('SIGINT', ignore);
  }
}

function exitOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 143)));
  });
}
