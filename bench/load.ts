/**
 * Load over loopback: so many clients at once ask for short and long prompts, some give up in the
 * middle. How many tokens come, how long the first and each next one takes, what memory does, and whether
 * slots are free again afterwards. Prints JSON, and each stage on stderr as it ends. Bounded: every stage
 * ends after `--seconds`, the last one, over whose memory is watched, after `--minutes`.
 *
 *     npx tsx bench/load.ts [model.gguf | --shape NAME] [--clients 1,4,16,64] [--seconds 30]
 *         [--minutes 10] [--short 64] [--long 1024] [--gen 64] [--slots 8] [--draft none]
 *         [--vs llama-server --llama-server PATH]
 *
 * Stages can be measured apart: `--clients 64`, or `--clients none --minutes 10` for the last one alone.
 * Without a model it is a Qwen3-0.6B shape with random weights. With `--vs`, stages of the servers
 * take turns on the same file.
 */
import { setMaxListeners } from 'node:events';
import { availableParallelism, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { cacheFolder } from '../src/base/paths.js';
import { cachedShapeModel } from '../src/synthetic/shape-model.js';
import {
  type BenchServer,
  quantile,
  randomPrompt,
  type Streamed,
  startLlamaServer,
  startPaceline,
  stream,
  treeMemory,
} from './servers.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    shape: { type: 'string', default: 'qwen3-0.6b' },
    clients: { type: 'string', default: '1,4,16,64' },
    seconds: { type: 'string', default: '30' },
    minutes: { type: 'string', default: '0' },
    short: { type: 'string', default: '64' },
    long: { type: 'string', default: '1024' },
    gen: { type: 'string', default: '64' },
    slots: { type: 'string', default: '8' },
    threads: { type: 'string', default: String(availableParallelism()) },
    draft: { type: 'string', default: 'none' },
    vocabulary: { type: 'string', default: '90000' },
    vs: { type: 'string' },
    'llama-server': { type: 'string', default: 'llama-server' },
  },
});

const short = Number(values.short);
const long = Number(values.long);
const gen = Number(values.gen);
/** One in five prompts is long, one in ten clients gives up. */
const longShare = 0.2;
const abortShare = 0.1;

/** The same numbers in every stage and for every server. */
function numbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

interface Sample {
  readonly seconds: number;
  readonly bytes: number;
}

/** So many clients ask again and again until the time is over; what runs then is given up. */
async function stage(server: BenchServer, clients: number, seconds: number) {
  const over = new AbortController();
  setMaxListeners(0, over.signal); // each client listens
  const results: Streamed[] = [];
  const memory: Sample[] = [];
  const began = performance.now();
  const elapsed = (): number => (performance.now() - began) / 1000;
  const look = (): void => {
    const bytes = treeMemory(server.pid);
    if (bytes !== undefined) memory.push({ seconds: elapsed(), bytes });
  };
  look();
  const watch = setInterval(look, Math.max(1000, (seconds * 1000) / 120));
  const told = setInterval(() => {
    const last = Math.round((memory.at(-1)?.bytes ?? 0) / 2 ** 20);
    note(`  ${elapsed().toFixed(0)} s: ${results.length} requests, ${last} MiB`);
  }, 15_000);
  const timer = setTimeout(() => over.abort(), seconds * 1000);
  const client = async (number: number): Promise<void> => {
    const random = numbers(number + 1);
    for (let round = 0; !over.signal.aborted; round++) {
      const prompt = randomPrompt(
        random() < longShare ? long : short,
        number * 10_007 + round,
        Number(values.vocabulary),
      );
      const abortAfter = random() < abortShare ? 1 + Math.floor(random() * gen) : undefined;
      const body = {
        prompt,
        max_tokens: gen,
        temperature: 0.8,
        seed: Math.floor(random() * 1e6),
        ...(server.name === 'paceline' ? { draft: values.draft } : {}),
      };
      results.push(
        await stream(server, '/v1/completions', body, {
          signal: over.signal,
          ...(abortAfter === undefined ? {} : { abortAfter }),
        }),
      );
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, number) => client(number)));
  clearTimeout(timer);
  clearInterval(watch);
  clearInterval(told);
  look();
  const taken = elapsed();
  const busySlots = await slotsAfter(server);
  const firsts = results.flatMap(({ times }) => times[0] ?? []);
  const gaps = results.flatMap(({ times }) =>
    times.slice(1).map((time, at) => time - (times[at] ?? time)),
  );
  const failures = results.filter(({ end }) => end === 'failed');
  return {
    server: server.name,
    clients,
    seconds: taken,
    requests: results.length,
    whole: results.filter(({ end }) => end === 'whole').length,
    aborted: results.filter(({ end }) => end === 'aborted').length,
    failed: failures.length,
    failed_without_message: failures.filter(({ message = '' }) => message.trim() === '').length,
    failures: [...new Set(failures.map(({ status, message }) => `${status}: ${message}`))].slice(
      0,
      5,
    ),
    tokens_per_second: results.reduce((sum, { tokens }) => sum + tokens, 0) / taken,
    first_token_ms: { p50: quantile(firsts, 0.5), p99: quantile(firsts, 0.99) },
    gap_ms: { p50: quantile(gaps, 0.5), p99: quantile(gaps, 0.99), max: quantile(gaps, 1) },
    busy_slots_after: busySlots,
    memory: memoryOf(memory),
  };
}

/** Slots that are still taken when all clients have gone; those of aborted texts are free within a step. */
async function slotsAfter(server: BenchServer): Promise<number | undefined> {
  if (server.name !== 'paceline') return undefined;
  let busy: number | undefined;
  for (let round = 0; round < 50 && busy !== 0; round++) {
    const text = await fetch(`${server.url}/metrics`).then((answer) => answer.text());
    busy = Number(/^paceline_slots_busy (\d+)/m.exec(text)?.[1] ?? Number.NaN);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return busy;
}

/** Growth is between the medians of the second and the last quarter: caches fill in the first. */
function memoryOf(samples: readonly Sample[]) {
  if (samples.length === 0) return undefined;
  const bytes = samples.map((sample) => sample.bytes);
  const quarter = (index: number): number | undefined =>
    quantile(bytes.slice((index * bytes.length) >> 2, ((index + 1) * bytes.length) >> 2), 0.5);
  const [second, last] = [quarter(1), quarter(3)];
  return {
    first_bytes: bytes[0],
    last_bytes: bytes.at(-1),
    max_bytes: Math.max(...bytes),
    growth: second === undefined || last === undefined ? undefined : last / second - 1,
  };
}

function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

const file = positionals[0] ?? (await cachedShapeModel(cacheFolder(), values.shape, 'q4_0'));
const options = {
  file,
  slots: Number(values.slots),
  context: long + gen + 64,
  threads: Number(values.threads),
};
const counts = values.clients === 'none' ? [] : values.clients.split(',').map(Number);
const servers: BenchServer[] = [];
try {
  note(`${file}: starting`);
  servers.push(await startPaceline(options));
  if (values.vs === 'llama-server') {
    servers.push(await startLlamaServer(values['llama-server'], options));
  }
  const rows: (Awaited<ReturnType<typeof stage>> & { memory_run?: boolean })[] = [];
  for (const server of servers) await stage(server, 1, 2); // warms up
  for (const clients of counts) {
    for (const server of servers) {
      note(`${server.name}: ${clients} clients for ${values.seconds} s`);
      rows.push(await stage(server, clients, Number(values.seconds)));
      note(JSON.stringify(rows.at(-1)));
    }
  }
  const minutes = Number(values.minutes);
  if (minutes > 0) {
    note(`paceline: 16 clients for ${minutes} minutes`);
    rows.push({ ...(await stage(servers[0] as BenchServer, 16, 60 * minutes)), memory_run: true });
  }
  const ratios = Object.fromEntries(
    counts.flatMap((clients) => {
      const speed = (name: string): number | undefined =>
        rows.find((row) => row.server === name && row.clients === clients)?.tokens_per_second;
      const [ours, theirs] = [speed('paceline'), speed('llama-server')];
      return ours === undefined || theirs === undefined
        ? []
        : [[`clients_${clients}`, ours / theirs]];
    }),
  );
  const head = { ...options, short, long, gen, draft: values.draft, load: loadavg() };
  process.stdout.write(`${JSON.stringify({ ...head, rows, ratios }, null, 2)}\n`);
} finally {
  for (const server of servers) await server.stop();
}
