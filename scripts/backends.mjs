/**
 * `npm run test:backends [backend ...]`: the tests of the official clients, over each backend that is
 * there, and the table of `docs/upstreams.md` of what each passes. `paceline` is a second server and
 * always there; `llama-server` is looked for in PACELINE_LLAMA_SERVER and PATH; for others
 * PACELINE_TEST_VLLM and the like name the URL of a running one with the models `default` and `thinking`, or
 * of several, with commas between, that have them together; `npm run test:vllm clients` starts vLLM for it.
 * Results are kept in `.cache/backends`, so that engines can be tested one after the other.
 */
import { spawn } from 'node:child_process';
import {
  accessSync,
  constants,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setupOrExit } from './setup.mjs';

const document = 'docs/upstreams.md';
const kept = join('.cache', 'backends');
const known = ['paceline', 'llama-server', 'vllm', 'sglang'];
const wanted = process.argv.slice(2).filter((word) => !word.startsWith('--'));

function leaveOut(name, reason) {
  process.stderr.write(`backends: ${name} left out: ${reason}\n`);
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
  if (name === 'paceline') return name;
  if (name === 'llama-server') {
    const { PACELINE_LLAMA_SERVER: given, PATH = '' } = process.env;
    const found =
      given ??
      PATH.split(delimiter)
        .map((folder) => join(folder, name))
        .find(isProgram);
    if (found !== undefined && isProgram(found)) return name;
    return leaveOut(name, 'neither PACELINE_LLAMA_SERVER nor PATH has it');
  }
  const variable = `PACELINE_TEST_${name.toUpperCase()}`;
  const urls = process.env[variable];
  if (urls === undefined) return leaveOut(name, `${variable} names no URL`);
  return urls
    .split(',')
    .map((url) => `${name}=${url}`)
    .join(',');
}

/** Runs the suite; the results of its tests in their order. */
async function results(backend) {
  const words = ['--import', 'tsx', '--test', '--test-reporter=./scripts/lib/names-reporter.mjs'];
  const child = spawn(process.execPath, [...words, 'test/server/clients.test.ts'], {
    env: { ...process.env, PACELINE_TEST_BACKEND: backend },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const found = [];
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('{')) found.push(JSON.parse(line));
  }
  return found;
}

/** The part of the document between its marks. */
function writeTable(columns) {
  const text = readFileSync(document, 'utf8');
  const [begin, end] = ['<!-- conformance:begin -->', '<!-- conformance:end -->'];
  const names = [...new Set(Object.values(columns).flatMap((all) => all.map(({ name }) => name)))];
  const backends = Object.keys(columns);
  const cell = (name, backend) => {
    const all = columns[backend].filter((one) => one.name === name);
    if (all.length === 0) return '';
    if (all.some(({ passed }) => !passed)) return 'no';
    return all.every(({ skipped }) => skipped) ? 'left out' : 'yes';
  };
  const rows = names.map((name) => [name, ...backends.map((backend) => cell(name, backend))]);
  const failing = rows.filter((row) => row.includes('no'));
  const counts = backends.map((backend) => {
    const all = columns[backend];
    return `${all.filter(({ passed }) => passed).length} of ${all.length}`;
  });
  const line = (cells) =>
    `| ${cells.map((one) => String(one).replaceAll('|', '\\|')).join(' | ')} |`;
  const table = [
    line(['', ...backends]),
    line(['---', ...backends.map(() => '---')]),
    line(['passed', ...counts]),
    ...failing.map(line),
  ];
  const at = text.indexOf(begin) + begin.length;
  const made = `${text.slice(0, at)}\n\n${table.join('\n')}\n\n${text.slice(text.indexOf(end))}`;
  writeFileSync(document, made);
}

await setupOrExit();
mkdirSync(kept, { recursive: true });
let failed = false;
for (const name of wanted.length > 0 ? wanted : known) {
  const backend = tested(name);
  if (backend === undefined) continue;
  const found = await results(backend);
  const broken = found.filter(({ passed }) => !passed);
  process.stderr.write(`backends: ${name}: ${broken.length} of ${found.length} fail\n`);
  for (const { name: test, error } of broken) process.stderr.write(`  ${test}: ${error}\n`);
  // What the documentation's table names may fail; a suite that did not run may not.
  failed ||= found.length === 0 || (name === 'paceline' && broken.length > 0);
  if (found.length > 0) writeFileSync(join(kept, `${name}.json`), JSON.stringify(found));
}
const files = readdirSync(kept);
const columns = known
  .filter((name) => files.includes(`${name}.json`))
  .map((name) => [name, JSON.parse(readFileSync(join(kept, `${name}.json`), 'utf8'))]);
if (!failed) writeTable(Object.fromEntries(columns));
process.exitCode = failed ? 1 : 0;
