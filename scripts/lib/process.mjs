/** Child processes of the scripts: run one, hand on its output, know how it ended. */
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Absolute path of the repository (or of the installed package). */
export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/**
 * Runs a program in the repository and resolves to `{ code, output }`.
 * With `capture`, its output is collected and printed only by the caller; otherwise it goes to
 * stderr (`stdout: 'inherit'` keeps stdout). A signal counts as 128 plus its number.
 */
export function run(command, args, { capture = false, stdout = 'stderr', env, shell } = {}) {
  return new Promise((resolve, reject) => {
    const out = capture ? 'pipe' : stdout === 'inherit' ? 'inherit' : 2;
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      shell: shell ?? false,
      stdio: ['inherit', out, capture ? 'pipe' : 'inherit'],
    });
    let output = '';
    child.stdout?.on('data', (chunk) => {
      output += chunk;
    });
    child.stderr?.on('data', (chunk) => {
      output += chunk;
    });
    child.on('error', reject);
    child.on('close', (code, signal) => {
      resolve({ code: code ?? (signal === 'SIGINT' ? 130 : 143), output });
    });
  });
}

/** How to start npm: the one that runs us, else the one on the path. */
export function npmCommand() {
  const script = process.env.npm_execpath;
  if (script !== undefined && /npm-cli\.c?js$/.test(script)) {
    return { command: process.execPath, args: [script], shell: false };
  }
  const windows = process.platform === 'win32';
  return { command: windows ? 'npm.cmd' : 'npm', args: [], shell: windows };
}
