/**
 * Experts that stay in the file: decode and prefill with all of them in memory, and with caches of 100, 50, 25 and
 * 10% of them, over a file in the page cache and one that was dropped from it; bytes a second while computing
 * waits against `dd`; resident memory over the bound; node-llama-cpp on the same file. Each row is a process of its own. Prints JSON.
 *
 *     npx tsx bench/experts-ssd.ts [--shape olmoe|v4-flash] [--layers N] [--type q4_0] [--prompt N] [--gen N]
 *       [--rounds N] [--shares 1,0.5,0.25,0.1] [--cold] [--vs node-llama-cpp] [--threads N]
 *
 * `v4-flash` has the experts of DeepSeek V4 Flash (256 of 4096 x 2048, 6 used), Q2_K, around qwen3's attention.
 */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { cacheFolder } from '../src/base/paths.js';
import { installPeer, PeerProcess } from '../src/bench/peer.js';
import { readGguf } from '../src/gguf/reader.js';
import { loadModel } from '../src/index.js';
import { planModel } from '../src/models/load.js';
import type { Shape } from '../src/synthetic/known-shapes.js';
import { writeShapeModel } from '../src/synthetic/shape-model.js';
import { shapeOf } from '../src/synthetic/shapes.js';

const run = promisify(execFile);

const { values } = parseArgs({
  options: {
    shape: { type: 'string', default: 'olmoe' },
    layers: { type: 'string' },
    type: { type: 'string' },
    prompt: { type: 'string', default: '128' },
    gen: { type: 'string', default: '48' },
    rounds: { type: 'string', default: '3' },
    shares: { type: 'string', default: '1,0.5,0.25,0.1' },
    threads: { type: 'string' },
    cold: { type: 'boolean', default: false },
    vs: { type: 'string' },
    // Of one row's process.
    one: { type: 'string' },
    share: { type: 'string' },
  },
});
const [promptLength, generate, rounds] = [values.prompt, values.gen, values.rounds].map(Number) as [
  number,
  number,
  number,
];
const threads = values.threads === undefined ? {} : { threads: Number(values.threads) };
const context = promptLength + generate + 8;

const shapes: Readonly<Record<string, { shape: Shape; type: string }>> = {
  olmoe: { shape: shapeOf('olmoe-1b-7b'), type: 'q4_0' },
  'v4-flash': {
    shape: {
      ...{ ...shapeOf('qwen3-30b-a3b'), name: 'v4-flash-experts', layers: 2, wholeLayers: 43 },
      ...{ embedding: 4096, inner: 2048, heads: 32, kvHeads: 1, experts: [256, 6] },
    },
    type: 'q2_k',
  },
};

const median = (numbers: readonly number[]) =>
  [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? 0;

function drop(path: string): void {
  execFileSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0'], { stdio: 'ignore' });
}

/** Tokens that are the same in every run, so that experts are, too. */
const tokens = (vocabulary: number) =>
  Array.from(
    { length: promptLength },
    (_, at) => 300 + ((at * at * 31 + at * 7) % (vocabulary - 400)),
  );

/** One row: a model with a share of its experts in memory; no share: all of them, as panels without a cache. */
async function measure(path: string, share: number | undefined) {
  const file = await readGguf(path);
  const plan = planModel(file, { contextLength: context, expertMemory: Number.MAX_SAFE_INTEGER });
  await file.close();
  const { whole = 0 } = plan.experts ?? {};
  const bound = share === undefined ? undefined : Math.floor(whole * share);
  if (values.cold) drop(path);
  const model = await loadModel(path, {
    ...{ contextLength: context, device: 'cpu' },
    ...threads,
    ...(bound === undefined ? {} : { expertMemory: bound }),
  });
  const times = { prefill: [] as number[], decode: [] as number[] };
  const options = { maxTokens: generate, temperature: 0, draft: 'none' } as const;
  let before = model.experts;
  for (let round = 0; round <= rounds; round++) {
    if (values.cold) drop(path);
    if (round === 1) before = model.experts;
    const session = model.createSession();
    const { timings } = await session.generate(tokens(model.info.vocabularySize), options);
    session.dispose();
    if (round === 0) continue;
    times.prefill.push(timings.prefillTokensPerSecond);
    times.decode.push(timings.decodeTokensPerSecond);
  }
  const after = model.experts;
  const rss = process.memoryUsage.rss();
  await model.dispose();
  const row = {
    ...{ share: share ?? null, bound: bound ?? null, whole, rss },
    ...{ prefill_tps: median(times.prefill), decode_tps: median(times.decode), runs: times },
  };
  if (before === undefined || after === undefined) return row;
  type Count = Exclude<keyof typeof after, 'earlyTime'>;
  const grown = (key: Count) => after[key] - before[key];
  return {
    ...row,
    hit_rate: grown('found') / Math.max(1, grown('asked')),
    bytes_per_token: grown('bytesRead') / Math.max(1, grown('rows')),
    waited_ms: grown('waitedMs'),
    read_gbs_while_waiting: grown('bytesRead') / 1e6 / Math.max(1e-9, grown('waitedMs')),
    direct_share: grown('bytesDirect') / Math.max(1, grown('bytesRead')),
    reading_gbs_a_thread: grown('bytesRead') / 1e6 / Math.max(1e-9, grown('readingMs')),
    oversized: grown('oversized'),
    early: grown('early'),
    early_used: grown('earlyUsed'),
    early_time: after.earlyTime ?? null,
  };
}

/** GB/s of so many `dd` at once, each over its own part of a file that is not in the page cache. */
async function dd(path: string, count: number, direct: boolean): Promise<number> {
  const { size } = await stat(path);
  const mebibytes = Math.min(1024, Math.floor(size / 2 ** 20 / count));
  drop(path);
  const began = performance.now();
  await Promise.all(
    Array.from({ length: count }, (_, at) =>
      run('dd', [
        ...[`if=${path}`, 'of=/dev/null', 'bs=1M', `skip=${at * mebibytes}`, `count=${mebibytes}`],
        ...(direct ? ['iflag=direct'] : []),
      ]),
    ),
  );
  return (count * mebibytes * 2 ** 20) / 1e6 / (performance.now() - began);
}

async function peer(path: string) {
  const entry = await installPeer(cacheFolder(), { onNote: (text) => console.error(text) });
  const cores = threads.threads ?? Number(execFileSync('nproc', { encoding: 'utf8' }));
  await using process_ = await PeerProcess.start({ entry, model: path, threads: cores, context });
  const answers = [];
  for (let round = 0; round <= rounds; round++) {
    const answer = await process_.run(tokens(shape.vocab), generate);
    if (round > 0) answers.push(answer);
  }
  return answers;
}

const found = shapes[values.shape];
if (found === undefined) throw new Error(`The shapes are: ${Object.keys(shapes).join(', ')}`);
const shape = { ...found.shape, layers: Number(values.layers ?? found.shape.layers) };
const type = values.type ?? found.type;

if (values.one !== undefined) {
  const share = values.share === undefined ? undefined : Number(values.share);
  console.log(JSON.stringify(await measure(values.one, share)));
} else {
  const folder = join(cacheFolder(), 'shapes');
  await mkdir(folder, { recursive: true });
  const path = join(folder, `${shape.name}-${shape.layers}-${type}-ssd.gguf`);
  if (!existsSync(path)) await writeShapeModel(path, shape, type);
  const own = fileURLToPath(import.meta.url);
  const rows = [];
  for (const share of [undefined, ...values.shares.split(',').map(Number)]) {
    const words = [...process.execArgv, own, ...process.argv.slice(2), '--one', path];
    if (share !== undefined) words.push('--share', String(share));
    const { stdout } = await run(process.execPath, words);
    rows.push(JSON.parse(stdout) as Awaited<ReturnType<typeof measure>>);
    console.error(stdout.trim());
  }
  const [all] = rows;
  const rest = (all?.rss ?? 0) - (all?.whole ?? 0);
  const threadsOfDd = 4;
  const report = {
    ...{ shape: shape.name, layers: shape.layers, type, cold: values.cold, prompt: promptLength },
    ...{ generate, rounds },
    rows: rows.map((row) => ({
      ...row,
      decode_of_all: row.decode_tps / (all?.decode_tps ?? 1),
      prefill_of_all: row.prefill_tps / (all?.prefill_tps ?? 1),
      ...(row.bound === null ? {} : { rss_over_bound: (row.rss - rest - row.bound) / row.bound }),
    })),
    dd: values.cold
      ? {
          threads: threadsOfDd,
          direct_gbs: await dd(path, threadsOfDd, true),
          buffered_gbs: await dd(path, threadsOfDd, false),
        }
      : undefined,
    peer: values.vs === undefined ? undefined : await peer(path),
  };
  console.log(JSON.stringify(report, null, 2));
}
