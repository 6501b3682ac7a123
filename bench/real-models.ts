/**
 * Real models against libllama and node-llama-cpp, on the same files: what is the same, and what is faster.
 * `npm run real-models:bench` fetches the models and runs it; prints one JSON object.
 *
 *     npm run real-models:bench -- [--part answers,verify,speed,tasks,cache,cost] [--models smollm2,gemma3]
 *         [--short] [--chunks N] [--threads N] [--no-peer] [--drafter FILE]... [--runs N]
 *         [--temps 0,0.8]
 *
 * - `answers`: 20 instructions, greedily and sampled, token by token against libllama; where they differ, by
 *   how much, and what F32 says (exact: not of time)
 * - `verify`: `paceline verify`, drafters, chunks, caches and threads: identical or not (exact)
 * - `cost`: what i16 and q8_0 caches and integer products do to predictions of the texts in bench/texts,
 *   against F32 and against libllama (exact). Weights in F32 stay in memory four times.
 * - `speed`: decode and prefill, in turns with node-llama-cpp
 * - `tasks`: n-gram drafts on editing, summarising, JSON and code, beside node-llama-cpp and its lookup
 * - `cache`: time to the first token of a prompt that is new, and from the disk in a new process
 * - `--drafter FILE`: MTP blocks and DFlash models of the first model: accepted length and speed-up on
 *   answers to instructions, code and chat, at each of `--temps`; alone unless `--part` is given too
 *
 * `--short` has fewer and shorter texts of each and leaves out `cost`: a look whether all of it works.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { removeLeftovers } from '../src/base/leftovers.js';
import { cacheFolder } from '../src/base/paths.js';
import { runBench } from '../src/bench/bench.js';
import { installPeer, peerVersion } from '../src/bench/peer.js';
import { quantizeModel } from '../src/convert/quantize.js';
import { verifyPrompts } from '../src/engine/verify/prompts.js';
import { verifyModel } from '../src/engine/verify/verify.js';
import { defaultThreads } from '../src/ggml/host.js';
import { loadModel } from '../src/index.js';
import { compareAnswers } from './real-models/answers.js';
import { measureCache } from './real-models/cache.js';
import { measureCost, wholeText } from './real-models/cost.js';
import { compareDrafters } from './real-models/drafters.js';
import { type Subject, subjectsIn, talkTexts, taskTexts } from './real-models/subjects.js';

const partNames = ['answers', 'verify', 'cost', 'speed', 'tasks', 'cache'] as const;
type Part = (typeof partNames)[number];

const { values } = parseArgs({
  options: {
    part: { type: 'string' },
    models: { type: 'string' },
    short: { type: 'boolean', default: false },
    chunks: { type: 'string', default: '6' },
    threads: { type: 'string', default: String(defaultThreads()) },
    'no-peer': { type: 'boolean', default: false },
    drafter: { type: 'string', multiple: true, default: [] },
    runs: { type: 'string' },
    temps: { type: 'string', default: '0,0.8' },
  },
});

const texts = fileURLToPath(new URL('texts', import.meta.url));
const threads = Number(values.threads);
const { short, drafter: drafters } = values;
const temperatures = values.temps.split(',').map(Number);
const rounds = Number(values.runs ?? (short ? '1' : '2'));

function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

function partsWanted(): readonly Part[] {
  if (values.part === undefined) {
    if (drafters.length > 0) return [];
    return short ? partNames.filter((part) => part !== 'cost') : partNames;
  }
  const words = values.part.split(',');
  const unknown = words.find((word) => !partNames.some((part) => part === word));
  if (unknown !== undefined) {
    note(`No part ${unknown}; there are ${partNames.join(', ')}`);
    process.exit(2);
  }
  return partNames.filter((part) => words.includes(part));
}

const wanted = partsWanted();
const folder = process.env.PACELINE_REAL_MODELS ?? join(cacheFolder(), 'real-models');
const subjects = subjectsIn(folder).filter(
  ({ name }) => values.models?.split(',').includes(name) ?? true,
);
if (subjects.length === 0) {
  note(`No model in ${folder}: npm run real-models fetches them`);
  process.exit(3);
}
const peer =
  !values['no-peer'] && wanted.some((part) => ['speed', 'tasks', 'cache'].includes(part))
    ? await installPeer(cacheFolder(), { onNote: note })
    : undefined;

/** Weights in F32, made when first needed and removed at the end. */
class ExactWeights implements Disposable {
  readonly #folder = join(cacheFolder(), `real-models-f32.${process.pid}`);
  readonly #made = new Map<string, string>();

  async of({ name, path }: { readonly name: string; readonly path: string }): Promise<string> {
    const output = this.#made.get(name) ?? join(this.#folder, `${name}-f32.gguf`);
    if (!this.#made.has(name)) {
      mkdirSync(this.#folder, { recursive: true });
      await quantizeModel({ model: path, output, mix: 'F32', allowRequantize: true });
      this.#made.set(name, output);
    }
    return output;
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

// Of a run that was killed.
await removeLeftovers(cacheFolder(), (name) => {
  const [, pid] = /^real-models-f32\.(\d+)$/.exec(name) ?? [];
  return pid === undefined ? undefined : Number(pid);
});
using exact = new ExactWeights();
process.on('SIGINT', () => {
  exact[Symbol.dispose]();
  process.exit(130);
});

type Work = (subject: Subject & { readonly path: string }) => Promise<unknown>;

const parts: Readonly<Record<Part, Work>> = {
  async answers(subject) {
    const found: unknown[] = [];
    for (const temperature of temperatures) {
      const onStep = (done: number) => note(`${subject.name}: answers at ${temperature}: ${done}`);
      const length = short ? { count: 4, tokens: 24 } : { count: 20, tokens: 48 };
      const options = { path: subject.path, exact: await exact.of(subject), temperature };
      found.push(await compareAnswers(subject, { ...options, ...length, threads, onStep }));
    }
    return found;
  },
  async verify({ name, path }) {
    const {
      identical,
      texts: checked,
      rows,
      variations,
      differences,
    } = await verifyModel({
      open: (count) => loadModel(path, { contextLength: 1024, threads: count }),
      prompts: verifyPrompts.slice(0, short ? 1 : 4),
      temperatures: [0, 0.8],
      seeds: [1],
      maxTokens: short ? 12 : 24,
      threads: threads > 1 ? [threads, 1] : [1],
      chunks: [7, 64],
      onProgress: ({ done, total }) => note(`${name}: verify: ${done}/${total}`),
    });
    if (!identical) process.exitCode = 7;
    return { identical, texts: checked, rows, variations, differences };
  },
  async cost(subject) {
    const onStep = (done: number, total: number) => note(`${subject.name}: cost: ${done}/${total}`);
    const chunks = short ? 1 : Number(values.chunks);
    const options = { path: subject.path, exact: await exact.of(subject), texts, chunks };
    return await measureCost({ ...options, threads, onStep });
  },
  async speed({ name, path }) {
    const { report, failure } = await runBench({
      ...{ model: path, threads, rounds: rounds + 1, peer: peer !== undefined, profile: false },
      ...(short ? { prompt: 128, generate: 24 } : { prompt: 512, generate: 96 }),
      ...{ cacheFolder: cacheFolder(), onNote: note, signal: new AbortController().signal },
      onProgress: ({ done, total }) => note(`${name}: speed: ${done}/${total}`),
    });
    if (failure !== undefined) throw failure;
    return report;
  },
  async tasks(subject) {
    const onStep = (what: string) => note(`${subject.name}: tasks: ${what}`);
    const tokens = short ? 32 : 128;
    const options = {
      path: subject.path,
      temperatures: [0],
      tokens,
      rounds,
      threads,
      peer,
      onStep,
    };
    return await compareDrafters({ ...options, texts: (model) => taskTexts(model, subject) });
  },
  async cache({ name, path }) {
    const onStep = (done: number) => note(`${name}: cache: ${done}`);
    const text = wholeText(texts);
    const lengths = short ? [256] : [512, 2048];
    return await measureCache({ path, text, lengths, threads, peer, onStep });
  },
};

const models: Record<string, unknown> = {};
for (const subject of subjects) {
  const results: Record<string, unknown> = {};
  for (const part of wanted) {
    const began = performance.now();
    results[part] = await parts[part](subject);
    note(`${subject.name}: ${part} took ${((performance.now() - began) / 1000).toFixed(0)} s`);
  }
  models[subject.name] = results;
}
const draftRows: unknown[] = [];
for (const drafter of drafters) {
  const [subject] = subjects as [Subject & { readonly path: string }];
  const options = {
    ...{ path: subject.path, drafter, temperatures, tokens: short ? 24 : 96 },
    ...{ rounds, threads, onStep: (what: string) => note(`${drafter}: ${what}`) },
  };
  draftRows.push(
    await compareDrafters({ ...options, texts: (model) => talkTexts(model, subject) }),
  );
}
const machine = {
  cpu: cpus()[0]?.model,
  platform: `${process.platform}-${process.arch}`,
  node: process.versions.node,
  threads,
};
const peers = peer === undefined ? {} : { peer: { name: 'node-llama-cpp', version: peerVersion } };
const report = {
  machine,
  ...peers,
  models,
  ...(drafters.length > 0 ? { drafters: draftRows } : {}),
};
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
