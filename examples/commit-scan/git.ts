/**
 * The commits of a local repository, newest first, as `git log -p` streams them. The repository may be
 * a stranger's: nothing that its settings name is run, and nothing is fetched.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { PacelineError } from '../../src/index.js';
import type { Commit } from './commit.js';
import { linesOf } from './lines.js';
import { commitsOf, logFormat } from './log-parser.js';

export interface LogOptions {
  readonly repository: string;
  /** A revision or a range. */
  readonly range: string;
  /** Most commits; default: all. */
  readonly most?: number | undefined;
}

/** Bytes of a line that are kept: minified files have lines of megabytes. */
const lineLimit = 2000;

const safeSettings = [
  'core.quotePath=false',
  'core.fsmonitor=false',
  'core.hooksPath=/dev/null',
  'log.showSignature=false',
].flatMap((setting) => ['-c', setting]);

const logFlags = [
  '--patch',
  '--cc',
  '--find-renames',
  '--unified=3',
  '--no-color',
  '--no-ext-diff',
  '--no-textconv',
  '--no-notes',
  '--no-mailmap',
  '--no-decorate',
  '--encoding=UTF-8',
  '--src-prefix=a/',
  '--dst-prefix=b/',
  '--submodule=short',
];

/**
 * Commits one by one; git waits while nobody asks for the next, and ends when the loop is left.
 * @throws {PacelineError} `io` where git fails, with what it said.
 */
export async function* readCommits(options: LogOptions): AsyncGenerator<Commit> {
  const { repository, range, most } = options;
  const secret = randomBytes(16).toString('hex');
  const limit = most === undefined ? [] : [`--max-count=${most}`];
  const args = ['--no-pager', ...safeSettings, 'log', ...logFlags, ...limit];
  const child = spawn(
    'git',
    [...args, `--format=${logFormat(secret)}`, '--end-of-options', range, '--'],
    {
      cwd: repository,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, GIT_NO_LAZY_FETCH: '1', GIT_OPTIONAL_LOCKS: '0', LC_ALL: 'C' },
    },
  );
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-4000);
  });
  const ended = new Promise<number | Error>((resolve) => {
    child.once('error', resolve);
    child.once('close', (code) => resolve(code ?? -1));
  });
  let whole = false;
  try {
    yield* commitsOf(linesOf(child.stdout, { limit: lineLimit }), { secret });
    whole = true;
  } finally {
    if (!whole) child.kill();
  }
  const end = await ended;
  if (end === 0) return;
  const why = end instanceof Error ? end.message : said.trim();
  throw new PacelineError('io', `git can't read ${repository}: ${why}`, {
    hint: 'Is it a repository with this revision, and is git installed?',
  });
}
