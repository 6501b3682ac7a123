/**
 * Loads the embedded model, generates and disposes of it, in a process of its own whose memory is
 * measured or limited. Prints one line of JSON. Usage: `cycles WARM MORE`, `workers COUNT`, `once`,
 * `nothing`.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { loadModel, PacelineError } from '../../src/index.js';

async function cycle(): Promise<void> {
  const model = await loadModel('default', { threads: 2 });
  const session = model.createSession();
  await session.generate('export function '.repeat(20), { maxTokens: 4, temperature: 0 });
  await session.dispose();
  await model.dispose();
}

const mebibytes = (bytes: number) => bytes / 2 ** 20;

async function cycles(warm: number, more: number) {
  for (let count = 0; count < warm; count++) await cycle();
  globalThis.gc?.();
  const before = process.memoryUsage().rss;
  for (let count = 0; count < more; count++) await cycle();
  globalThis.gc?.();
  return { growth: mebibytes(process.memoryUsage().rss - before) };
}

/** The built library, as Node.js 20 does not load TypeScript in workers. */
const library = new URL('../../dist/src/index.js', import.meta.url).href;
/** Generates, says so, and waits until it is terminated. */
const workerProgram = `
  const { parentPort, workerData } = require('node:worker_threads');
  import(workerData).then(async ({ loadModel }) => {
    const model = await loadModel('default', { threads: 2 });
    const session = model.createSession();
    await session.generate('export function ', { maxTokens: 4, temperature: 0 });
    parentPort.postMessage('ready');
    setInterval(() => {}, 1000);
  });
`;

/** Threads of this process, which are those of Node.js where no other ones stay. */
const threads = () => readdirSync('/proc/self/task').length;

async function workers(count: number) {
  const before = threads();
  for (let index = 0; index < count; index++) {
    const worker = new Worker(workerProgram, { eval: true, workerData: library, execArgv: [] });
    await new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    await worker.terminate();
  }
  // Threads of the pool end when they have had nothing to do for two seconds.
  for (let wait = 0; wait < 100 && threads() > before; wait++) await sleep(200);
  return { before, after: threads() };
}

async function once() {
  try {
    await cycle();
    return { outcome: 'ok' };
  } catch (error) {
    return { outcome: PacelineError.is(error) ? error.code : String(error) };
  }
}

function nothing() {
  const peak = /^VmPeak:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return { kilobytes: Number(peak) };
}

const [what, ...numbers] = process.argv.slice(2);
const [first = 0, second = 0] = numbers.map(Number);
const work = { cycles: () => cycles(first, second), workers: () => workers(first), once, nothing };
const result = await work[what as keyof typeof work]();
process.stdout.write(`${JSON.stringify(result)}\n`);
