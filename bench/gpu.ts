/**
 * Everything that is to be known of a card, in one run of ten minutes at most: the tests, what its
 * rounding does to texts and what `--exact` costs, and the speed against node-llama-cpp's library of
 * the same card. Prints JSON with what `--exact` costs and the report of every step; a step that fails or does not get
 * its turn says so, and the others go on.
 *
 *     tsx bench/gpu.ts [--device CUDA0] [--minutes 10] [--tiny]
 *
 * `--tiny` takes the embedded model alone, a few tokens and no peer: a dry run for software drivers.
 * The peer and the made models are kept in Paceline's cache folder (`PACELINE_PACKAGES` names where the
 * card's library is), so that a first run where there is a network prepares one where there is none.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { findCards } from '../src/ggml/devices.js';

const root = fileURLToPath(new URL('..', import.meta.url));

const { values } = parseArgs({
  options: {
    device: { type: 'string' },
    minutes: { type: 'string', default: '10' },
    tiny: { type: 'boolean', default: false },
  },
});

interface Step {
  readonly name: string;
  /** Words behind `node`. */
  readonly words: readonly string[];
  /** Seconds that it may take. */
  readonly most: number;
}

/** What a step left. */
interface Result {
  readonly name: string;
  readonly command: string;
  readonly seconds: number;
  /** Its exit code; `timeout`, or `left out` for want of time. */
  readonly end: number | 'timeout' | 'left out';
  /** Its JSON, where that is what it printed. */
  readonly report?: unknown;
  /** The end of what it said otherwise. */
  readonly output?: string;
}

const { cards, problems } = findCards();
const rank = ['cuda', 'metal', 'vulkan'];
const [best] = [...cards].sort((a, b) => rank.indexOf(a.variant) - rank.indexOf(b.variant));
const device = values.device ?? best?.name;
if (device === undefined) {
  process.stderr.write(`no card: ${problems.join('; ') || 'no library is installed'}\n`);
  process.exit(4);
}

const cli = ['--import', 'tsx', 'src/cli/main.ts'];
const tests = ['--import', 'tsx', '--test', '--test-reporter=tap'];
const onCard = ['--device', device, '--json'];

function bench(name: string, most: number, ...words: readonly string[]): Step {
  return { name, most, words: [...cli, 'bench', ...words, ...onCard] };
}

/** Software drivers are slow: four steps of so many seconds are less than ten minutes. */
const tinyMost = values.tiny ? 140 : 120;

function verify(name: string, ...words: readonly string[]): Step {
  const few = values.tiny
    ? ['--prompt', 'export function ', '--draft', 'dflash', '--gen', '4']
    : ['--prompts', '4', '--gen', '48'];
  const once = ['--temps', '0', '--chunks', '7', '--threads', '1'];
  const flags = [...few, ...once, '--tolerance', '0.25', ...words];
  return { name, most: tinyMost, words: [...cli, 'verify', 'default', ...flags, ...onCard] };
}

/** The same text with drafts, without and with `--exact`: what that costs. */
function drafts(name: string, most: number, ...words: readonly string[]): Step {
  const flags = [
    '--draft',
    'none,auto',
    '--texts',
    'typescript',
    '--runs',
    values.tiny ? '1' : '3',
  ];
  const length = ['--prompt', values.tiny ? '16' : '128', '--gen', values.tiny ? '6' : '96'];
  const pad = values.tiny ? [] : ['--pad', 'qwen3-0.6b'];
  return bench(name, most, 'default', ...pad, ...length, ...flags, ...words);
}

const peer = ['--vs', 'node-llama-cpp', '--runs', '3', '--batch', '1,2,4,8,16'];
const steps: readonly Step[] = values.tiny
  ? [
      drafts('drafts', tinyMost),
      drafts('drafts exact', tinyMost, '--exact'),
      verify('verify'),
      verify('verify exact', '--exact'),
    ]
  : [
      { name: 'tests: state', most: 60, words: [...tests, 'test/gpu/state-gpu.ts'] },
      { name: 'tests: traffic', most: 40, words: [...tests, 'test/gpu/traffic-gpu.ts'] },
      { name: 'tests: drafting', most: 60, words: [...tests, 'test/gpu/drafting-gpu.ts'] },
      verify('verify'),
      verify('verify exact', '--exact'),
      drafts('drafts', 90, '--vs', 'node-llama-cpp'),
      drafts('drafts exact', 60, '--exact'),
      bench('qwen3-0.6b', 60, '--shape', 'qwen3-0.6b', ...peer),
      bench('qwen3-4b', 120, '--shape', 'qwen3-4b', ...peer),
      bench('olmoe-1b-7b', 120, '--shape', 'olmoe-1b-7b', ...peer),
    ];

async function run({ name, words, most }: Step, left: number): Promise<Result> {
  const command = `node ${words.join(' ')}`;
  if (left < 5) return { name, command, seconds: 0, end: 'left out' };
  const began = performance.now();
  const child = spawn(process.execPath, words, {
    cwd: root,
    env: { ...process.env, PACELINE_TEST_DEVICE: device },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [output, errors] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk;
  });
  child.stderr.on('data', (chunk: Buffer) => {
    errors = `${errors}${chunk}`.slice(-4000);
  });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, 1000 * Math.min(most, left));
  const code = await new Promise<number>((resolve) => {
    child.on('close', (exit) => resolve(exit ?? 137));
  });
  clearTimeout(timer);
  const seconds = Number(((performance.now() - began) / 1000).toFixed(1));
  process.stderr.write(`${name}: ${late ? 'timeout' : `exit ${code}`} after ${seconds} s\n`);
  const report = parsed(output);
  const said =
    report === undefined || code !== 0 ? { output: `${output.slice(-4000)}${errors}` } : {};
  const told = report === undefined ? {} : { report };
  return { name, command, seconds, end: late ? 'timeout' : code, ...told, ...said };
}

/** A row of a benchmark's report, as far as it is read here. */
interface TextRow {
  readonly engine: string;
  readonly measure: string;
  readonly draft?: string;
  readonly median: number;
}

/** Tokens a second of the texts of a step, by drafter. */
function textRates(name: string): Readonly<Record<string, number>> {
  const report = results.find((result) => result.name === name)?.report;
  const { rows = [] } = (report ?? {}) as { readonly rows?: readonly TextRow[] };
  const texts = rows.filter(({ engine, measure }) => engine === 'paceline' && measure === 'text');
  return Object.fromEntries(texts.map(({ draft = 'none', median }) => [draft, median]));
}

/**
 * What `--exact` costs: for each drafter the time of a token with it, divided by the time without. Empty
 * where one of the two steps measured nothing.
 */
function exactCosts(): Readonly<Record<string, number>> {
  const [plain, exact] = [textRates('drafts'), textRates('drafts exact')];
  const both = Object.keys(plain).filter((draft) => (exact[draft] ?? 0) > 0);
  return Object.fromEntries(
    both.map((draft) => [draft, (plain[draft] as number) / (exact[draft] as number)]),
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

const began = performance.now();
const results: Result[] = [];
for (const step of steps) {
  const left = 60 * Number(values.minutes) - (performance.now() - began) / 1000;
  results.push(await run(step, left));
}
const { address: _, ...card } = cards.find(({ name }) => name === device) ?? {
  address: 0,
  name: device,
};
const summary = { card, exact_costs: exactCosts(), steps: results };
process.stdout.write(`${JSON.stringify(summary, null, 2)}\n`);
process.exitCode = results.every(({ end }) => end === 0) ? 0 : 1;
