/** The command line as a child process: what a script that calls it sees. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { PacelineError } from '../../src/base/errors.js';
import { toPacelineError } from '../../src/cli/failure.js';
import { createProgram } from '../../src/cli/program.js';
import { repository } from './repository.js';

// What other runs have kept is none of a test's business, unless it says so.
process.env.PACELINE_CACHE ??= 'off';

export interface CliResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  readonly input?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Called with all of stdout so far; may send signals to the process. */
  readonly onStdout?: (text: string, kill: (signal: NodeJS.Signals) => void) => void;
  readonly timeoutMs?: number;
}

/** Where the native kernels are missing a warning says so; that is not what these tests are about. */
function withoutKernelWarning(stderr: string): string {
  return stderr.replace(/^warning: computing without the native kernels.*\n/m, '');
}

/** The program that the package's `bin` names; `npm test` has built it. */
export const cliProgram = join(repository, 'dist', 'src', 'cli', 'main.js');

/** Runs `paceline` with these arguments, without a terminal. */
export function paceline(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [cliProgram, ...args], {
      cwd: options.cwd ?? repository,
      env: { ...process.env, ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 60_000);
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      options.onStdout?.(stdout, (signal) => child.kill(signal));
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout, stderr: withoutKernelWarning(stderr) });
    });
    // A command that does not read its input may have ended already.
    child.stdin.on('error', () => {});
    child.stdin.end(options.input ?? '');
  });
}

/**
 * The error with which the command line ends for these arguments, in this process: what is printed of an
 * error and with which exit code is said by one place, which tests with processes look at.
 */
export async function refusal(args: readonly string[]): Promise<PacelineError> {
  try {
    await createProgram().parseAsync(args, { from: 'user' });
  } catch (error) {
    return toPacelineError(error);
  }
  throw new Error(`not refused: ${args.join(' ')}`);
}

/** The one JSON object that a command printed with `--json`. */
export function jsonOf(result: CliResult): Record<string, unknown> {
  return JSON.parse(result.stdout) as Record<string, unknown>;
}
