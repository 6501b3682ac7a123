/**
 * Time to the first token of prompts that were processed before, and the waiting time of a replayed
 * agent session: `tsx bench/prefix.ts [--shape qwen3-0.6b] [--prompt 512,2048,8192] [--turns 30]
 * [--system 6000]`. Weights are random, so texts make no sense; times are those of real ones. `disk`
 * is a newly loaded model with the files in the page cache, `dropped` one after GNU dd has taken them
 * out of it. The session without a disk cache keeps both conversations in memory until
 * the restart in its middle. One JSON object on stdout.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cacheFolder } from '../src/base/paths.js';
import { loadModel, type Model, type Session } from '../src/index.js';
import { cachedShapeModel } from '../src/synthetic/shape-model.js';

const { values } = parseArgs({
  options: {
    shape: { type: 'string', default: 'qwen3-0.6b' },
    prompt: { type: 'string', default: '512,2048,8192' },
    turns: { type: 'string', default: '30' },
    system: { type: 'string', default: '6000' },
  },
});

const path = await cachedShapeModel(cacheFolder(), values.shape, 'q4_0');
const folder = mkdtempSync(join(tmpdir(), 'paceline-prefix-'));
const lengths = values.prompt.split(',').map(Number);
const turns = Number(values.turns);
const systemTokens = Number(values.system);
const contextLength = Math.max(...lengths, systemTokens + turns * 160) + 256;

const open = (cache: boolean): Promise<Model> =>
  loadModel(path, { contextLength, cache: cache ? { folder, budget: 40e9 } : false });

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

/** Takes the store's files out of the page cache; false without GNU dd. */
function dropPages(): boolean {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true });
  return files
    .filter((file) => file.isFile())
    .every((file) => {
      const input = `if=${join(file.parentPath, file.name)}`;
      return spawnSync('dd', [input, 'iflag=nocache', 'count=0']).status === 0;
    });
}

async function once(cache: boolean, work: (session: Session, model: Model) => Promise<unknown>) {
  await using model = await open(cache);
  // What a first pass allocates is not what is measured.
  using warm = model.createSession();
  await firstToken(warm, text(64, 999), false);
  using session = model.createSession();
  return await work(session, model);
}

const prompts: Record<string, unknown>[] = [];
for (const [salt, length] of lengths.entries()) {
  const prompt = text(length, salt);
  const cold = await once(true, (session) => firstToken(session, prompt));
  const disk = await once(true, async (session, model) => {
    const found = await firstToken(session, prompt);
    using other = model.createSession();
    return { disk: found, memory: await firstToken(other, prompt) };
  });
  const dropped = dropPages() ? await once(true, (session) => firstToken(session, prompt)) : null;
  prompts.push({ length, cold, ...(disk as object), dropped });
}

/** The waiting time of a session of an agent, in milliseconds: all times to first tokens together. */
async function replay(cache: boolean): Promise<number> {
  const system = text(systemTokens, 50);
  const talks = [
    [...system, ...text(20, 51)],
    [...system, ...text(20, 52)],
  ];
  let waited = 0;
  for (const half of [0, 1]) {
    await once(cache, async (first, model) => {
      using second = model.createSession();
      for (let turn = half * (turns / 2); turn < (half + 1) * (turns / 2); turn++) {
        const talk = talks[turn % 2] as number[];
        const session = turn % 2 === 0 ? first : second;
        waited += (await firstToken(session, talk, cache)).ms;
        talk.push(...text(120, 100 + turn));
      }
    });
  }
  return waited;
}

const session = turns > 0 ? { without: await replay(false), with: await replay(true) } : null;
rmSync(folder, { recursive: true, force: true });
const [load] = loadavg();
process.stdout.write(
  `${JSON.stringify({ shape: values.shape, load, prompts, session }, null, 2)}\n`,
);
