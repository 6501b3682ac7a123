/** Programs that an installation runs: to end with it, and to know which processes use a folder. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { delimiter, join, sep } from 'node:path';
import { promisify } from 'node:util';
import { PacelineError, throwIfAborted } from '../../base/errors.js';

export interface RunOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly signal?: AbortSignal | undefined;
  /** What comes to its standard input; ended afterwards. */
  readonly input?: (child: ChildProcess) => Promise<void>;
}

/** Of what a program says, so much is kept for messages. */
const keptCharacters = 8000;

/**
 * Runs a program to its end, in a process group of its own that is killed when `signal` fires.
 * @returns its output.
 * @throws {PacelineError} `platform` when it can't be started, `io` when it fails, `aborted`.
 */
export async function runProgram(
  [command, ...args]: readonly [string, ...string[]],
  { env, signal, input }: RunOptions = {},
): Promise<string> {
  throwIfAborted(signal);
  // Where the kernel can be asked to, it ends the program with this process, however that ends.
  const guard = guardProgram();
  const [program, ...rest] =
    guard === undefined ? [command, ...args] : [...guard, command, ...args];
  const child = spawn(program as string, rest, {
    env: { ...process.env, ...env },
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    detached: process.platform !== 'win32',
  });
  const kill = (): void => killGroup(child);
  signal?.addEventListener('abort', kill, { once: true });
  try {
    let [out, said] = ['', ''];
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-keptCharacters);
    });
    const ended = new Promise<number | NodeJS.Signals>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code, by) => resolve(code ?? by ?? 'SIGKILL'));
    });
    const fed = input?.(child).catch((error: unknown) => {
      kill();
      throw error;
    });
    const [end, feeding] = await Promise.allSettled([ended, fed]);
    throwIfAborted(signal);
    if (end.status === 'rejected') throw startError(command, end.reason);
    const code = end.value;
    if (code === 0 && feeding.status === 'rejected') throw feeding.reason;
    if (code !== 0) throw failure(command, args, code, said === '' ? out : said, feeding);
    return out;
  } finally {
    signal?.removeEventListener('abort', kill);
  }
}

function failure(
  command: string,
  args: readonly string[],
  code: number | NodeJS.Signals,
  said: string,
  feeding: PromiseSettledResult<void>,
): Error {
  // A program whose input failed has ended because of that.
  if (feeding.status === 'rejected' && PacelineError.is(feeding.reason)) return feeding.reason;
  const lines = said.trim().split('\n').slice(-8).join('\n');
  return new PacelineError('io', `${command} ended with ${code}: ${lines}`, {
    hint: 'What it says above is the cause; the command can be run by hand to see more.',
    details: { command: [command, ...args], code },
  });
}

function startError(command: string, error: unknown): PacelineError {
  return new PacelineError('platform', `Cannot start ${command}: ${(error as Error).message}`, {
    hint: 'Install it, or name another one.',
    details: { command },
    cause: error,
  });
}

/** Ends a child and all that it has started. */
function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    if (process.platform === 'win32') child.kill('SIGKILL');
    else process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}

/** util-linux's `setpriv`, before a command: the kernel then kills it when this process is gone. */
function guardProgram(): readonly string[] | undefined {
  if (process.platform !== 'linux') return undefined;
  const found = findProgram('setpriv');
  return found === undefined ? undefined : [found, '--pdeathsig', 'KILL', '--'];
}

/** The path of a program in `PATH`. */
export function findProgram(
  name: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): string | undefined {
  const endings = process.platform === 'win32' ? ['.exe', '.cmd', '.bat'] : [''];
  for (const folder of (env.PATH ?? '').split(delimiter)) {
    for (const ending of endings) {
      const path = join(folder, `${name}${ending}`);
      if (folder !== '' && existsSync(path)) return path;
    }
  }
  return undefined;
}

/** Process numbers whose command line names something inside a folder, without this process. */
export async function processesIn(folder: string): Promise<number[]> {
  const inside = `${folder}${sep}`;
  const names = (text: string): boolean =>
    text.includes(inside) || text.split(' ').includes(folder);
  const found: number[] = [];
  for (const [pid, command] of await commandLines()) {
    if (pid !== process.pid && names(command)) found.push(pid);
  }
  return found;
}

/** Of all processes; empty where that can't be asked. */
async function commandLines(): Promise<[pid: number, command: string][]> {
  if (process.platform === 'linux') {
    const pids = (await readdir('/proc')).map(Number).filter((pid) => pid > 0);
    const lines = await Promise.all(
      pids.map(async (pid): Promise<[number, string]> => {
        const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
        return [pid, text.split('\0').join(' ')];
      }),
    );
    return lines;
  }
  // Windows itself refuses to remove what runs.
  if (process.platform === 'win32') return [];
  try {
    const { stdout } = await promisify(execFile)('ps', ['-axww', '-o', 'pid=,args='], {
      maxBuffer: 16 * 2 ** 20,
    });
    return stdout.split('\n').map((line) => {
      const [, pid = '0', command = ''] = /^\s*(\d+) (.*)$/.exec(line) ?? [];
      return [Number(pid), command];
    });
  } catch {
    return [];
  }
}
