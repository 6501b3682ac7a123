/**
 * The program between this server and an engine that it started: it starts the engine in a process
 * group of its own and ends that group, and every process that the engine left behind, when it is told
 * to, when the engine ends, or when the server is gone, however that died. It imports nothing of the
 * house but types, so that it starts fast and stays small.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import type { FromWatchdog, ToWatchdog } from './watchdog-messages.js';

let engine: ChildProcess | undefined;
let ending = false;
let stop = { signal: 'SIGTERM' as NodeJS.Signals, patienceMs: 10_000 };

function tell(message: FromWatchdog): void {
  if (process.connected) process.send?.(message, () => {});
}

/**
 * Orphans of the engine become our children on Linux, so that we find them: engines with worker
 * processes in groups of their own would else leave them behind.
 */
async function adoptOrphans(): Promise<void> {
  if (process.platform !== 'linux') return;
  try {
    const { default: koffi } = await import('koffi');
    const prctl = koffi.load(null).func('int prctl(int, ulong, ulong, ulong, ulong)');
    const setChildSubreaper = 36;
    prctl(setChildSubreaper, 1, 0, 0, 0);
  } catch {
    // The group is ended all the same.
  }
}

/** All living processes below this one, by the parents that /proc tells. */
function descendants(): readonly number[] {
  if (process.platform !== 'linux') return [];
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const status = readFileSync(`/proc/${name}/stat`, 'latin1');
      // The name of a program may hold spaces and brackets.
      const [state, parent] = status.slice(status.lastIndexOf(')') + 2).split(' ');
      // What has ended stays in the list until somebody asks how: nobody does for orphans.
      if (state === 'Z') continue;
      const siblings = children.get(Number(parent)) ?? [];
      children.set(Number(parent), [...siblings, Number(name)]);
    } catch {
      // It has ended meanwhile.
    }
  }
  const found: number[] = [];
  const open = [process.pid];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    for (const child of children.get(next) ?? []) {
      found.push(child);
      open.push(child);
    }
  }
  return found;
}

function signalAll(signal: NodeJS.Signals): void {
  const pid = engine?.pid;
  if (process.platform === 'win32') {
    if (pid !== undefined)
      spawn('taskkill', ['/pid', String(pid), '/T', '/F'], { stdio: 'ignore' });
    return;
  }
  for (const target of [...(pid === undefined ? [] : [-pid]), ...descendants()]) {
    try {
      process.kill(target, signal);
    } catch {
      // It has ended.
    }
  }
}

function isGroupAlive(): boolean {
  const pid = engine?.pid;
  if (pid === undefined || process.platform === 'win32') return false;
  if (process.platform === 'linux') return descendants().length > 0;
  try {
    process.kill(-pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function end(): Promise<void> {
  if (ending) return;
  ending = true;
  signalAll(stop.signal);
  const until = Date.now() + stop.patienceMs;
  while (isGroupAlive() && Date.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  for (let round = 0; isGroupAlive() && round < 100; round++) {
    signalAll('SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  tell({ type: 'ended' });
  // The message leaves before the process does.
  setTimeout(() => process.exit(0), process.connected ? 50 : 0);
}

async function start(message: Extract<ToWatchdog, { type: 'start' }>): Promise<void> {
  stop = message.stop;
  await adoptOrphans();
  if (ending) return;
  const child = spawn(message.program, [...message.arguments], {
    detached: process.platform !== 'win32',
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...message.environment },
  });
  engine = child;
  child.once('spawn', () => tell({ type: 'started', pid: child.pid ?? 0 }));
  child.once('error', (error) => {
    tell({ type: 'failed', message: error.message });
    void end();
  });
  child.once('exit', (code, signal) => {
    tell({ type: 'exited', how: signal ?? `exit code ${code}` });
    void end();
  });
}

process.on('message', (message: ToWatchdog) => {
  if (message.type === 'start') void start(message);
  else void end();
});
process.on('disconnect', () => void end());
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void end());
// The server's end of the pipe may be gone: what the engine says then is not worth dying for.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});
