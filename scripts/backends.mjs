/**
 * `npm run test:backends [backend ...]`: the tests of the official clients, over each backend that is
 * there, and the table of `docs/upstreams.md` of what each passes. `paceline`, `ollama` and `openai` are a
 * second server, spoken to as such a backend, and always there; `llama-server` is looked for in
 * PACELINE_LLAMA_SERVER and PATH; for others PACELINE_TEST_VLLM and the like name the URL of a running one
 * with the models `default` and `thinking`, or of several, with commas between, that have them together;
 * `npm run test:vllm clients` starts vLLM for it. A test that fails has to be named with its reason in
 * `test/backends/conformance-reasons.json`, and one that is named has to fail, unless it is one that does
 * `sometimes`. Results are kept in `test/backends/conformance.json`, so that engines can be tested one after
 * the other.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  accessSync,
  constants,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { run as runProgram } from './lib/process.mjs';
import { setupOrExit } from './setup.mjs';

const kept = 'test/backends/conformance.json';
const known = ['paceline', 'ollama', 'openai', 'llama-server', 'vllm', 'sglang'];
const wanted = process.argv.slice(2).filter((word) => !word.startsWith('--'));
/** Engines that this starts are killed under streams, too. */
const killed = ['llama-server'];
/** The suite takes a minute or two; an engine that keeps it longer has lost. */
const longestMs = 15 * 60_000;

const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'));
const reasons = readJson('test/backends/conformance-reasons.json');

function say(text) {
  process.stderr.write(`backends: ${text}\n`);
}

function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** What tells the tests which backend they are for; undefined: it is not there. */
function tested(name) {
  if (['paceline', 'ollama', 'openai'].includes(name)) return name;
  if (name === 'llama-server') {
    const { PACELINE_LLAMA_SERVER: given, PATH = '' } = process.env;
    const found =
      given ??
      PATH.split(delimiter)
        .map((folder) => join(folder, name))
        .find(isProgram);
    if (found !== undefined && isProgram(found)) return name;
    return void say(`${name} left out: neither PACELINE_LLAMA_SERVER nor PATH has it`);
  }
  const variable = `PACELINE_TEST_${name.toUpperCase()}`;
  const urls = process.env[variable];
  if (urls === undefined) return void say(`${name} left out: ${variable} names no URL`);
  return urls
    .split(',')
    .map((url) => `${name}=${url}`)
    .join(',');
}

/** Runs the suite; the results of its tests in their order, and whether it ended by itself. */
async function run(backend, file) {
  // Not to stdout, where clients and engines write too.
  const folder = mkdtempSync(join(tmpdir(), 'paceline-backends-'));
  const report = join(folder, 'results.jsonl');
  const reporter = ['--test-reporter=./scripts/lib/names-reporter.mjs'];
  const words = ['--import', 'tsx', ...reporter, `--test-reporter-destination=${report}`];
  const child = spawn(process.execPath, [...words, file], {
    // A test that runs this says in NODE_TEST_CONTEXT how its own parent wants results.
    env: { ...process.env, PACELINE_TEST_BACKEND: backend, NODE_TEST_CONTEXT: undefined },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  let ended = true;
  const timer = setTimeout(() => {
    ended = false;
    // Engines that it started end with it.
    child.kill('SIGKILL');
  }, longestMs);
  await once(child, 'exit');
  clearTimeout(timer);
  const whole = existsSync(report) ? readFileSync(report, 'utf8').split('\n').slice(0, -1) : [];
  rmSync(folder, { recursive: true });
  return { results: whole.map((line) => JSON.parse(line)), ended };
}

/** Tells what is otherwise than expected; whether nothing is. */
function judged(name, { results, ended }) {
  const named = reasons[name] ?? {};
  const failing = results.filter(({ passed }) => !passed);
  const broken = new Set(failing.map((one) => one.name));
  const passing = new Set(results.map((one) => one.name).filter((test) => !broken.has(test)));
  say(`${name}: ${results.length - failing.length} of ${results.length} pass`);
  const wrong = [
    ...failing
      .filter((one) => named[one.name] === undefined)
      .map((one) => `${one.name}: ${one.error}`),
    ...Object.keys(named)
      .filter((test) => passing.has(test) && named[test].sometimes === undefined)
      .map((test) => `${test}: passes, so it must not be named in conformance-reasons.json`),
    ...(ended ? [] : [`it did not end within ${longestMs / 60_000} minutes`]),
    ...(results.length > 0 ? [] : ['no test was run']),
  ];
  for (const line of wrong) process.stderr.write(`  ${line}\n`);
  return wrong.length === 0;
}

await setupOrExit();
const all = readJson(kept);
let failed = false;
for (const name of wanted.length > 0 ? wanted : known) {
  const backend = tested(name);
  if (backend === undefined) continue;
  const outcome = await run(backend, 'test/server/clients/over-backends.ts');
  if (!judged(name, outcome)) {
    failed = true;
    continue;
  }
  if (
    killed.includes(name) &&
    !judged(name, await run(backend, 'test/backends/killed-engines.ts'))
  ) {
    failed = true;
  }
  const tests = outcome.results.map((one) => one.name);
  const unsteady = (test) => reasons[name]?.[test]?.sometimes !== undefined;
  const broken = outcome.results
    .filter(({ name: test, passed }) => !passed || unsteady(test))
    .map((one) => one.name);
  all[name] = { tests: tests.length, failed: broken };
}
const sorted = Object.fromEntries(known.flatMap((name) => (all[name] ? [[name, all[name]]] : [])));
writeFileSync(kept, `${JSON.stringify(sorted, null, 2)}\n`);
const writer = ['--import', 'tsx', 'test/support/backend-reference.ts'];
const { code } = await runProgram(process.execPath, writer, { stdout: 'inherit' });
process.exitCode = failed || code !== 0 ? 1 : 0;
