/**
 * Scans the commits of a repository for silent fixes of vulnerabilities, with a model of your own.
 * Run it with: npx tsx examples/commit-scan/main.ts scan path/to/repository
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeFileAtomically } from '../../src/base/files.js';
import { PacelineError } from '../../src/index.js';
import { evaluate } from './evaluation/evaluate.js';
import { makeRepository } from './evaluation/repository.js';
import { htmlOf } from './html.js';
import { createJudge, type Judge } from './judge.js';
import { reportOf } from './report.js';
import { type Scan, type ScanOptions, scan } from './scan.js';

const help = `Usage: commit-scan scan <repository> [flags]
       commit-scan evaluate [flags]

scan: ranks the commits of a repository; writes journal.jsonl, report.json and report.html.
evaluate: makes a repository with planted fixes, scans it, and says how many were found, as JSON.

  --model <name>      default, a path, a name of \`paceline ls\`, or one of the endpoint (default: default)
  --url <address>     an endpoint of OpenAI's kind, with /v1; the key from COMMIT_SCAN_API_KEY
  --signals-only      ask no model
  --out <folder>      where the files go (default: commit-scan)
  --resume            go on with the journal that is there
  --range <revision>  what of the history (default: HEAD)
  --most <n>          most commits; of evaluate: how many the repository has (default: all; 200)
  --parallel <n>      commits at once (default: 4)
  --budget <n>        characters of a commit that the model sees (default: 4000)
  --weight <n>        how much the model counts beside the signals, 0 to 1 (default: 0.5)
  --top <n>           findings in the report (default: 200)
  --seed <n>          of evaluate (default: 1)
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: 'string', default: 'default' },
    url: { type: 'string' },
    'signals-only': { type: 'boolean', default: false },
    out: { type: 'string', default: 'commit-scan' },
    resume: { type: 'boolean', default: false },
    range: { type: 'string', default: 'HEAD' },
    most: { type: 'string' },
    parallel: { type: 'string', default: '4' },
    budget: { type: 'string', default: '4000' },
    weight: { type: 'string', default: '0.5' },
    top: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

function numberOf(name: 'parallel' | 'budget' | 'weight' | 'top' | 'seed' | 'most'): number {
  const value = Number(values[name]);
  const [least, most] = name === 'weight' ? [0, 1] : [name === 'seed' ? 0 : 1, 1e9];
  if (value >= least && value <= most && (name === 'weight' || Number.isInteger(value)))
    return value;
  throw new PacelineError(
    'usage',
    `--${name} is ${values[name]}, not a number from ${least} to ${most}`,
  );
}

async function run(
  repository: string,
  given: Pick<ScanOptions, 'journal' | 'resume' | 'top' | 'range' | 'most'>,
): Promise<Scan> {
  const [parallel, budget] = [numberOf('parallel'), numberOf('budget')];
  const { model, url } = values;
  const apiKey = process.env.COMMIT_SCAN_API_KEY;
  const judge: Judge | undefined = values['signals-only']
    ? undefined
    : createJudge({ model, url, apiKey, parallel, budget });
  const abort = new AbortController();
  const stop = (): void => abort.abort(new PacelineError('aborted', 'The scan was stopped'));
  process.once('SIGINT', stop);
  try {
    return await scan({
      repository,
      ...given,
      ...{ judge, parallel, budget, weight: numberOf('weight'), signal: abort.signal },
      onEntry: (_, { commits, ms, resumed }) => {
        if (!process.stderr.isTTY) return;
        const rate = ((1000 * (commits - resumed)) / ms).toFixed(1);
        process.stderr.write(`\r${commits} commits, ${rate} a second`);
      },
    });
  } finally {
    process.off('SIGINT', stop);
    if (process.stderr.isTTY) process.stderr.write('\n');
    await judge?.dispose();
  }
}

async function scanCommand(repository: string): Promise<void> {
  const { out, resume, range } = values;
  const most = values.most === undefined ? undefined : numberOf('most');
  const journal = join(out, 'journal.jsonl');
  const result = await run(repository, { journal, resume, range, most, top: numberOf('top') });
  const report = reportOf(result, { repository, range });
  const files = [
    ['report.json', `${JSON.stringify(report, null, 2)}\n`],
    ['report.html', htmlOf(report)],
  ] as const;
  for (const [name, text] of files) {
    await writeFileAtomically(join(out, name), (sink) => sink.write(Buffer.from(text)));
  }
  const { findings, ...sums } = report;
  const best = findings.slice(0, 5).map(({ hash, subject, score }) => {
    return `${Math.round(100 * score.combined)}% ${hash.slice(0, 12)} ${JSON.stringify(subject)}`;
  });
  process.stdout.write(`${JSON.stringify({ ...sums, best, files: out }, null, 2)}\n`);
}

async function evaluateCommand(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'commit-scan-'));
  try {
    const commits = values.most === undefined ? 200 : numberOf('most');
    const repository = join(folder, 'repository');
    const labels = await makeRepository({ folder: repository, seed: numberOf('seed'), commits });
    const journal = join(folder, 'journal.jsonl');
    const options = { journal, resume: false, range: 'HEAD', most: undefined, top: labels.size };
    const result = await run(repository, options);
    const { findings, ...sums } = reportOf(result, { repository: 'synthetic', range: 'HEAD' });
    const evaluation = evaluate(findings, labels);
    process.stdout.write(`${JSON.stringify({ ...sums, evaluation }, null, 2)}\n`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const [command, repository] = positionals;
try {
  if (values.help || command === undefined) process.stdout.write(help);
  else if (command === 'scan' && repository !== undefined) await scanCommand(repository);
  else if (command === 'evaluate') await evaluateCommand();
  else
    throw new PacelineError('usage', `There is no ${positionals.join(' ')}`, {
      hint: 'See --help.',
    });
} catch (error) {
  if (!PacelineError.is(error)) throw error;
  process.stderr.write(`${error.message}\n${error.hint === undefined ? '' : `${error.hint}\n`}`);
  process.exitCode = error.exitCode;
}
