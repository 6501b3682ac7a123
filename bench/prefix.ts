/**
 * What it is worth that prefixes are never computed twice. Weights are random, so texts make no sense;
 * times are those of real ones. One JSON object on stdout, what is measured on stderr as it comes; each
 * part, each length of prompts and each way of the session by itself takes minutes at most:
 *
 *     tsx bench/prefix.ts --part prompts [--prompt 512,2048,8192] [--vs node-llama-cpp]
 *     tsx bench/prefix.ts --part session [--system 6000] [--turns 30] [--ways disk,memory,none,peer]
 *     tsx bench/prefix.ts --part branches [--branches 100] [--prefix 4096]
 *     tsx bench/prefix.ts --part decode [--gen 600] [--runs 3]
 *     tsx bench/prefix.ts --part bytes [--prompt 8192] [--shape gemma3-1b]
 *     all of them: [--shape qwen3-0.6b] [--threads N] [--results FILE]
 *
 * `--results` names a file of such an object that is gone on with: what is measured is added to it at once,
 * the ways of the session each by themselves, and ratios are those of all that is there.
 *
 * - `prompts`: time to the first token of a prompt that is new (`cold`), that another session of the
 *   process has read (`memory`), and that another process has, with the store's files in the page cache
 *   (`disk`), and after GNU dd has taken them out of it (`dropped`; null where there is none); and how fast
 *   the store restores rows against plain reads of its files (`restore_speed_of_read`), into one buffer and
 *   into new memory.
 * - `session`: the waiting time of an agent, all times to first tokens together: a system prompt, two
 *   conversations that take turns, a restart in the middle. With the store (`disk`); with both
 *   conversations in memory until the restart (`memory`); with nothing kept (`none`), where every
 *   `--sample`-th turn is measured and counted for those between. node-llama-cpp (`peer`) keeps each
 *   conversation in a sequence, saves both before the restart and loads them after it.
 * - `branches`: bytes on the disk of many texts that have one beginning, against one of them.
 * - `decode`: generation while the store saves a prompt and what is said, against none, in turns.
 * - `bytes`: what the store writes of a new prompt, and what of it stays on the disk. Bytes are exact,
 *   whatever else the machine does.
 */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cacheFolder } from '../src/base/paths.js';
import { installPeer } from '../src/bench/peer.js';
import { median } from '../src/bench/statistics.js';
import { defaultThreads } from '../src/ggml/host.js';
import { loadModel, type Model, type Session } from '../src/index.js';
import { cachedShapeModel } from '../src/synthetic/shape-model.js';
import { StatePeer } from './prefix-peer.js';

const { values } = parseArgs({
  options: {
    part: { type: 'string', default: 'prompts,session,branches,decode' },
    shape: { type: 'string', default: 'qwen3-0.6b' },
    threads: { type: 'string', default: String(defaultThreads()) },
    vs: { type: 'string' },
    prompt: { type: 'string', default: '512,2048,8192' },
    system: { type: 'string', default: '6000' },
    turns: { type: 'string', default: '30' },
    ways: { type: 'string', default: 'disk,memory,none' },
    sample: { type: 'string', default: '5' },
    branches: { type: 'string', default: '100' },
    prefix: { type: 'string', default: '4096' },
    gen: { type: 'string', default: '600' },
    runs: { type: 'string', default: '3' },
    results: { type: 'string' },
  },
});

const parts = values.part.split(',');
const threads = Number(values.threads);
const lengths = values.prompt.split(',').map(Number);
const turns = Number(values.turns);
const systemTokens = Number(values.system);
/** Tokens that a turn adds: an answer and the next message. */
const turnTokens = 120;
const contextLength =
  Math.max(
    parts.includes('prompts') || parts.includes('bytes') ? Math.max(...lengths) : 0,
    parts.includes('session') ? systemTokens + turns * turnTokens : 0,
    parts.includes('branches') ? Number(values.prefix) : 0,
    parts.includes('decode') ? 1024 + Number(values.gen) : 0,
  ) + 256;

const path = await cachedShapeModel(cacheFolder(), values.shape, 'q4_0');
const root = mkdtempSync(join(tmpdir(), 'paceline-prefix-'));
process.on('exit', () => rmSync(root, { recursive: true, force: true }));
let folders = 0;
const newFolder = (): string => join(root, `store-${folders++}`);
const ways = [
  ...values.ways.split(','),
  ...(values.vs === undefined || values.ways.includes('peer') ? [] : ['peer']),
];
const needsPeer = values.vs !== undefined || (parts.includes('session') && ways.includes('peer'));
const entry = !needsPeer
  ? undefined
  : await installPeer(cacheFolder(), { onNote: (text) => process.stderr.write(`${text}\n`) });
const peerSettings = { entry: entry ?? '', model: path, threads, context: contextLength };

function text(length: number, salt: number): number[] {
  return Array.from(
    { length },
    (_, at) => 1000 + ((at * 7919 + at * at * 31 + salt * 977) % 90_000),
  );
}

/** Milliseconds until the first token, and how much of the prompt was known. */
async function firstToken(session: Session, prompt: readonly number[], cache = true) {
  const settings = { maxTokens: 1, temperature: 0, draft: 'none', cache } as const;
  const { timings, cachedTokens } = await session.generate(prompt, settings);
  const { queueMs, restoreMs, prefillMs } = timings;
  return { ms: queueMs + restoreMs + prefillMs, restoreMs, cachedTokens };
}

/** Takes a folder's files out of the page cache; false without GNU dd. */
function dropPages(folder: string): boolean {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true });
  spawnSync('sync');
  return files
    .filter((file) => file.isFile())
    .every((file) => {
      const input = `if=${join(file.parentPath, file.name)}`;
      return spawnSync('dd', [input, 'iflag=nocache', 'count=0']).status === 0;
    });
}

function bytesOf(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((file) => file.isFile())
    .reduce((sum, file) => sum + statSync(join(file.parentPath, file.name)).size, 0);
}

/**
 * Milliseconds that plain reads of the store's rows take, out of the page cache: into one buffer again
 * and again, or as a restore has to, into memory that nothing was ever in.
 */
function readMs(folder: string, into: 'one' | 'new'): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true });
  let buffer = Buffer.alloc(4 << 20);
  const began = performance.now();
  for (const file of files.filter(({ name }) => name.endsWith('.rows'))) {
    const handle = openSync(join(file.parentPath, file.name), 'r');
    while (readSync(handle, buffer) > 0) {
      if (into === 'new') buffer = Buffer.allocUnsafeSlow(buffer.length);
    }
    closeSync(handle);
  }
  return performance.now() - began;
}

/** Work with a newly loaded model, as after a restart; without a folder nothing is kept on the disk. */
async function once<T>(
  folder: string | undefined,
  work: (session: Session, model: Model) => Promise<T>,
): Promise<T> {
  const cache = folder === undefined ? false : { folder, budget: 40e9 };
  await using model = await loadModel(path, { contextLength, threads, cache });
  // What a first pass allocates is not what is measured.
  using warm = model.createSession();
  await firstToken(warm, text(64, 999), false);
  using session = model.createSession();
  return await work(session, model);
}

const about = { shape: values.shape, threads };
const results: Record<string, unknown> =
  values.results !== undefined && existsSync(values.results)
    ? (JSON.parse(readFileSync(values.results, 'utf8')) as Record<string, unknown>)
    : {};
for (const [key, value] of Object.entries(about)) {
  if (results[key] === undefined || results[key] === value) continue;
  throw new Error(`${values.results} has results of ${key} ${String(results[key])}`);
}

/** Adds what was measured to the results, and to their file at once. */
function record(part: string, value: object): void {
  Object.assign(results, about, { load: loadavg()[0], [part]: value });
  process.stderr.write(`${part}: ${JSON.stringify(value)}\n`);
  if (values.results === undefined) return;
  writeFileSync(values.results, `${JSON.stringify(results, null, 2)}\n`);
}

interface PromptRow extends Record<string, unknown> {
  readonly length: number;
}

async function prompts(): Promise<void> {
  let rows = (results.prompts ?? []) as PromptRow[];
  for (const [salt, length] of lengths.entries()) {
    const folder = newFolder();
    const prompt = text(length, salt);
    const cold = await once(folder, (session) => firstToken(session, prompt));
    const { disk, memory } = await once(folder, async (session, model) => {
      const found = await firstToken(session, prompt);
      using other = model.createSession();
      return { disk: found, memory: await firstToken(other, prompt) };
    });
    const dropped = dropPages(folder)
      ? await once(folder, (session) => firstToken(session, prompt))
      : null;
    const bytes = bytesOf(folder);
    readMs(folder, 'one'); // after it was dropped
    const plainReadMs = readMs(folder, 'one');
    const newMemoryReadMs = readMs(folder, 'new');
    rmSync(folder, { recursive: true });
    const peer = entry === undefined ? undefined : await peerPrompt(prompt);
    const ratios = {
      disk: cold.ms / disk.ms,
      memory: cold.ms / memory.ms,
      restore_speed_of_read: plainReadMs / disk.restoreMs,
      restore_speed_of_read_into_new_memory: newMemoryReadMs / disk.restoreMs,
      ...(dropped ? { dropped: cold.ms / dropped.ms } : {}),
      ...(peer ? { disk_peer: peer.disk.ms / disk.ms, cold_peer: peer.cold.ms / cold.ms } : {}),
    };
    const row = {
      length,
      cold,
      memory,
      disk,
      dropped,
      bytes,
      plainReadMs,
      newMemoryReadMs,
      peer,
      ratios,
    };
    rows = [...rows.filter((other) => other.length !== length), row];
    rows.sort((a, b) => a.length - b.length);
    record('prompts', rows);
  }
}

/** The same prompt by the peer: new, and from its file in another process. */
async function peerPrompt(prompt: readonly number[]) {
  const file = join(root, 'peer.state');
  const settings = { ...peerSettings, sequences: 1 };
  const run = async (request: { load?: string; save?: string }) => {
    await using peer = await StatePeer.start(settings);
    const { loadMs, firstMs, ...rest } = await peer.run({ at: 0, prompt, ...request });
    return { ms: loadMs + firstMs, loadMs, ...rest };
  };
  const cold = await run({ save: file });
  const disk = await run({ load: file });
  rmSync(file);
  return { cold, disk };
}

type Talk = number[];

/** The turns of the session, one behind the other; each talk has grown when its next turn comes. */
async function replay(
  work: (talk: Talk, which: 0 | 1, turn: number) => Promise<number>,
  range: readonly [from: number, end: number],
  talks: readonly [Talk, Talk],
): Promise<number> {
  let waited = 0;
  for (let turn = range[0]; turn < range[1]; turn++) {
    const which = turn % 2 === 0 ? 0 : 1;
    waited += await work(talks[which], which, turn);
    talks[which].push(...text(turnTokens, 100 + turn));
  }
  return waited;
}

function newTalks(): [Talk, Talk] {
  const system = text(systemTokens, 50);
  return [
    [...system, ...text(20, 51)],
    [...system, ...text(20, 52)],
  ];
}

const halves = [
  [0, Math.ceil(turns / 2)],
  [Math.ceil(turns / 2), turns],
] as const;

async function waitingTime(way: string): Promise<number> {
  const talks = newTalks();
  const folder = way === 'disk' ? newFolder() : undefined;
  let waited = 0;
  for (const half of halves) {
    waited += await once(folder, async (first, model) => {
      using second = model.createSession();
      const turn = async (talk: Talk, which: 0 | 1, at: number): Promise<number> => {
        if (way !== 'none') {
          return (await firstToken(which === 0 ? first : second, talk, way === 'disk')).ms;
        }
        const sample = Number(values.sample);
        if (at % sample !== Math.floor(sample / 2)) return 0;
        using alone = model.createSession();
        return (await firstToken(alone, talk, false)).ms * sample;
      };
      return await replay(turn, half, talks);
    });
  }
  return waited;
}

async function peerWaitingTime(): Promise<number> {
  const talks = newTalks();
  const files = [join(root, 'peer-0.state'), join(root, 'peer-1.state')];
  const settings = { ...peerSettings, sequences: 2 };
  let waited = 0;
  for (const [index, half] of halves.entries()) {
    await using peer = await StatePeer.start(settings);
    for (const [at, load] of index === 0 ? [] : files.entries()) {
      waited += (await peer.run({ at, load, prompt: [] })).loadMs;
    }
    waited += await replay(
      async (prompt, at) => (await peer.run({ at, prompt })).firstMs,
      half,
      talks,
    );
    if (index > 0) continue;
    for (const [at, save] of files.entries()) await peer.run({ at, prompt: [], save });
  }
  return waited;
}

interface SessionResults {
  readonly turns: number;
  readonly systemTokens: number;
  readonly turnTokens: number;
  readonly sample: number;
  readonly waited: Readonly<Record<string, number>>;
}

async function session(): Promise<void> {
  const settings = { turns, systemTokens, turnTokens, sample: Number(values.sample) };
  const { waited: before = {}, ...then } = (results.session ?? settings) as SessionResults;
  for (const [key, value] of Object.entries(settings)) {
    if (then[key as keyof typeof settings] !== value) {
      throw new Error(`${values.results} has a session of other ${key}`);
    }
  }
  const waited = { ...before };
  for (const way of ways) {
    waited[way] = way === 'peer' ? await peerWaitingTime() : await waitingTime(way);
    const { disk, ...others } = waited;
    const ratios =
      disk === undefined
        ? {}
        : Object.fromEntries(Object.entries(others).map(([name, ms]) => [name, ms / disk]));
    record('session', { ...settings, waited, ratios });
  }
}

async function branches(): Promise<void> {
  const folder = newFolder();
  const prefix = text(Number(values.prefix), 70);
  const count = Number(values.branches);
  const tail = 20;
  const branch = (at: number) =>
    once(folder, async (_, model) => {
      for (let own = at === 0 ? 0 : 1; own < (at === 0 ? 1 : count); own++) {
        using alone = model.createSession();
        await firstToken(alone, [...prefix, ...text(tail, 200 + own)]);
      }
      return (model.info.kvBytesPerToken ?? 0) * tail;
    });
  await branch(0);
  const one = bytesOf(folder);
  const tailBytes = await branch(1);
  const all = bytesOf(folder);
  // In a cache of i16 up to 16 positions share bytes: a tail takes more than its tokens.
  const branchBytes = (all - one) / Math.max(1, count - 1);
  const bytes = { one, all, tailBytes, branchBytes };
  record('branches', { prefix: prefix.length, count, tail, ...bytes, ratio: all / one });
}

async function decode(): Promise<void> {
  const gen = Number(values.gen);
  const rates: Record<'saving' | 'plain', number[]> = { saving: [], plain: [] };
  for (let run = 0; run < Number(values.runs); run++) {
    for (const way of ['saving', 'plain'] as const) {
      const folder = way === 'saving' ? newFolder() : undefined;
      await once(folder, async (alone) => {
        const settings = { maxTokens: gen, temperature: 1, seed: run, draft: 'none' } as const;
        const { timings } = await alone.generate(text(1024, 300 + run), settings);
        rates[way].push(timings.decodeTokensPerSecond);
      });
      if (folder !== undefined) rmSync(folder, { recursive: true });
    }
  }
  const slowDown = 1 - median(rates.saving) / median(rates.plain);
  record('decode', { gen, tokensPerSecond: rates, slowDown });
}

/** Bytes that were written of each length of prompt, and those that are left, by what they are. */
async function bytes(): Promise<void> {
  const rows: object[] = [];
  for (const [salt, length] of lengths.entries()) {
    const folder = newFolder();
    const written = await once(folder, async (alone, model) => {
      await firstToken(alone, text(length, salt));
      const { cache } = model.runtime;
      alone.dispose();
      await cache?.close();
      return { ...cache?.store.statistics };
    });
    const left = { rows: 0, window: 0, state: 0 };
    for (const file of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      const kind = file.name.split('.')[1] as keyof typeof left;
      if (kind in left) left[kind] += statSync(join(file.parentPath, file.name)).size;
    }
    rmSync(folder, { recursive: true });
    const { blocksWritten, bytesWritten } = written;
    rows.push({ length, blocksWritten, bytesWritten, left });
    record('bytes', rows);
  }
}

const measures = { prompts, session, branches, decode, bytes };
for (const [part, measure] of Object.entries(measures)) {
  if (!parts.includes(part)) continue;
  process.stderr.write(`${part} ...\n`);
  await measure();
}
process.stdout.write(`${JSON.stringify(results, null, 2)}\n`);
