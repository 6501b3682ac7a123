/**
 * Servers for the benchmarks of HTTP: ours and llama-server as processes of their own, a client that
 * notes when each piece of a stream came, and the memory of a tree of processes.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { freePort } from '../src/backends/managed/free-port.js';

export interface BenchServer {
  readonly name: 'paceline' | 'llama-server';
  readonly url: string;
  readonly model: string;
  readonly pid: number;
  stop(): Promise<void>;
}

export interface ServerOptions {
  readonly file: string;
  /** Texts at once, and the context of each. */
  readonly slots: number;
  readonly context: number;
  readonly threads: number;
}

/** Servers that run: none outlives the benchmark, however that ends. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.on(signal, () => process.exit(code));
}

function watched(child: ChildProcess): void {
  running.add(child);
  child.once('exit', () => running.delete(child));
}

const program = join(dirname(fileURLToPath(import.meta.url)), '../dist/src/cli/main.js');

/** `paceline serve` as built, without the cache on the disk: runs are to be alike. */
export async function startPaceline(options: ServerOptions): Promise<BenchServer> {
  const { file, slots, context, threads } = options;
  const child = spawn(
    process.execPath,
    [
      ...[program, 'serve', file, '--port', '0', '--json', '--no-cache', '--log-format', 'none'],
      ...['--slots', String(slots), '--ctx', String(context), '--threads', String(threads)],
      ...['--queue', '256'],
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  watched(child);
  const first = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line').then(([line]) => String(line)),
    once(child, 'exit').then(([code]) => {
      throw new Error(`paceline serve ended with ${code}`);
    }),
  ]);
  const { address, models } = JSON.parse(first) as { address?: string; models?: string[] };
  const model = models?.[0];
  if (address === undefined || model === undefined) throw new Error(first);
  return { name: 'paceline', url: address, model, pid: child.pid ?? 0, stop: () => end(child) };
}

/** A llama-server that somebody has built, on the same file. */
export async function startLlamaServer(
  binary: string,
  { file, slots, context, threads }: ServerOptions,
): Promise<BenchServer> {
  const port = await freePort();
  const child = spawn(
    binary,
    [
      ...['-m', file, '--host', '127.0.0.1', '--port', String(port), '-t', String(threads)],
      ...['-np', String(slots), '-c', String(slots * context), '--log-verbosity', '0'],
    ],
    { stdio: ['ignore', 'ignore', 'ignore'] },
  );
  watched(child);
  const url = `http://127.0.0.1:${port}`;
  for (let round = 0; round < 1200; round++) {
    if (child.exitCode !== null) throw new Error(`${binary} ended with ${child.exitCode}`);
    const up = await fetch(`${url}/health`).catch(() => undefined);
    if (up?.ok === true) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const stop = () => end(child);
  return { name: 'llama-server', url, model: 'model', pid: child.pid ?? 0, stop };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
  await gone;
  clearTimeout(timer);
}

/** What came of a request, with times in milliseconds from when it was sent. */
export interface Streamed {
  readonly status: number;
  /** When each piece of text came. */
  readonly times: readonly number[];
  /** Tokens by the server's own count; pieces where it was cut short. */
  readonly tokens: number;
  readonly promptTokens: number;
  readonly decodeMs: number | undefined;
  readonly end: 'whole' | 'aborted' | 'failed';
  /** What a failure said. */
  readonly message?: string;
}

interface StreamLine {
  readonly choices?: readonly {
    readonly text?: string;
    readonly finish_reason?: string | null;
    readonly delta?: { readonly content?: string | null; readonly tool_calls?: unknown };
  }[];
  readonly usage?: { readonly completion_tokens: number; readonly prompt_tokens: number };
  readonly timings?: { readonly decode_ms?: number };
  readonly error?: { readonly message?: string };
}

/**
 * Sends a request that is streamed and reads it to its end.
 * @param abortAfter gives the request up after so many pieces.
 */
export async function stream(
  server: BenchServer,
  path: string,
  body: object,
  { abortAfter = Number.POSITIVE_INFINITY, signal }: StreamOptions = {},
): Promise<Streamed> {
  const began = performance.now();
  const times: number[] = [];
  let [tokens, promptTokens, status] = [0, 0, 0];
  let decodeMs: number | undefined;
  let finished = false;
  let givenUp = signal?.aborted === true;
  const take = (line: string): void => {
    if (!line.startsWith('data: {')) return;
    const { choices = [], usage, timings, error } = JSON.parse(line.slice(6)) as StreamLine;
    if (error !== undefined) throw new Error(error.message ?? '');
    const [choice] = choices;
    finished ||= choice?.finish_reason != null;
    if (choice?.text || choice?.delta?.content || choice?.delta?.tool_calls) {
      times.push(performance.now() - began);
    }
    tokens = usage?.completion_tokens ?? tokens;
    promptTokens = usage?.prompt_tokens ?? promptTokens;
    decodeMs = timings?.decode_ms ?? decodeMs;
  };
  const request = httpRequest(server.url + path, {
    method: 'POST',
    agent: server.name === 'paceline' ? kept : fresh,
    headers: { 'content-type': 'application/json' },
  });
  const giveUp = (): void => {
    givenUp = true;
    request.destroy();
  };
  signal?.addEventListener('abort', giveUp, { once: true });
  try {
    const say = { stream: true, stream_options: { include_usage: true } };
    request.end(JSON.stringify({ model: server.model, ...body, ...say }));
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    status = response.statusCode ?? 0;
    let rest = '';
    for await (const chunk of response.setEncoding('utf8')) {
      rest += String(chunk);
      if (status !== 200) continue;
      const lines = rest.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) take(line);
      if (times.length >= abortAfter) giveUp();
    }
    if (status !== 200) throw new Error(rest);
    if (!finished) throw new Error('The stream ended without an end');
    return { status, times, tokens, promptTokens, decodeMs, end: 'whole' };
  } catch (error) {
    request.destroy();
    const given = { status, times, tokens: times.length, promptTokens, decodeMs };
    if (givenUp) return { ...given, end: 'aborted' };
    return { ...given, end: 'failed', message: String((error as Error).message) };
  } finally {
    signal?.removeEventListener('abort', giveUp);
  }
}

/** Connections are kept, as clients do; llama-server hangs up on the next request after a stream. */
const kept = new Agent({ keepAlive: true, maxSockets: 1024 });
const fresh = new Agent({ keepAlive: false, maxSockets: 1024 });

export interface StreamOptions {
  readonly abortAfter?: number;
  readonly signal?: AbortSignal;
}

/** Resident memory of a process and all below it, in bytes; undefined where the system has no /proc. */
export function treeMemory(pid: number): number | undefined {
  try {
    const children = new Map<number, number[]>();
    for (const entry of readdirSync('/proc')) {
      if (!/^\d+$/.test(entry)) continue;
      const parent = parentOf(entry);
      if (parent !== undefined) {
        children.set(parent, [...(children.get(parent) ?? []), Number(entry)]);
      }
    }
    const sum = (one: number): number =>
      residentOf(one) + (children.get(one) ?? []).reduce((total, each) => total + sum(each), 0);
    return sum(pid);
  } catch {
    return undefined;
  }
}

function parentOf(pid: string): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    // It has ended meanwhile.
    return undefined;
  }
}

function residentOf(pid: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'utf8');
    return 1024 * Number(/VmRSS:\s+(\d+)/.exec(text)?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** The value below which this share of a list lies; undefined for none. */
export function quantile(values: readonly number[], share: number): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

/** Token ids of a text that is like no other: random weights do not care what it says. */
export function randomPrompt(length: number, salt: number, vocabulary = 90_000): number[] {
  return Array.from(
    { length },
    (_, at) => 1000 + ((at * 7919 + at * at * 31 + salt * 977) % vocabulary),
  );
}
