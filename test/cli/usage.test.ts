import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createProgram } from '../../src/cli/program.js';
import { jsonOf, paceline } from '../support/cli.js';
import { readRepositoryFile } from '../support/repository.js';

test('--help is on stdout, documents the exit codes and exits with 0', async () => {
  const result = await paceline(['--help']);
  assert.equal(result.code, 0);
  assert.equal(result.stderr, '');
  assert.match(result.stdout, /Usage: paceline/);
  for (const code of [0, 1, 2, 3, 4, 5, 6, 7, 130]) {
    assert.match(result.stdout, new RegExp(`^ +${code} +\\S`, 'm'));
  }
});

test('every command has --help and --json', async () => {
  const program = createProgram();
  const commands = program.createHelp().visibleCommands(program);
  assert.deepEqual(
    commands.map((command) => command.name()),
    [
      'run',
      'pull',
      'ls',
      'show',
      'rm',
      'tokenize',
      'detokenize',
      'inspect',
      'devices',
      'bench',
      'verify',
    ],
  );
  for (const command of commands) {
    assert.ok(
      command.options.some((option) => option.long === '--json'),
      command.name(),
    );
  }
  const { code, stdout } = await paceline(['run', '--help']);
  assert.equal(code, 0);
  const contract =
    '-n --temp --top-k --top-p --min-p --seed --ctx --threads --draft --draft-model --draft-max --no-cache --raw';
  for (const flag of contract.split(' ')) assert.ok(stdout.includes(`${flag} `), flag);
});

test('--version prints the version of the package', async () => {
  const { version } = JSON.parse(readRepositoryFile('package.json')) as { version: string };
  const result = await paceline(['--version']);
  assert.deepEqual([result.code, result.stdout], [0, `${version}\n`]);
});

test('no command is wrong usage, with the help on stderr', async () => {
  const result = await paceline([]);
  assert.deepEqual([result.code, result.stdout], [2, '']);
  assert.match(result.stderr, /Usage: paceline/);
});

const wrong: readonly (readonly string[])[] = [
  ['rum'],
  ['run', '--tempp', '1'],
  ['run', 'default', 'x', '--temp', 'warm'],
  ['run', 'default', 'x', '--temp', '-1'],
  ['run', 'default', 'x', '--temp', 'NaN'],
  ['run', 'default', 'x', '--top-p', '1.5'],
  ['run', 'default', 'x', '-n', '1.5'],
  ['run', 'default', 'x', '--seed', '0x10'],
  ['run', 'default', 'x', '--seed', '99999999999999999999'],
  ['run', 'default', 'x', '--draft', 'psychic'],
  ['run', 'default', 'x', '--threads', '0'],
  ['run', 'default', 'x', '--ctx', '0'],
  ['run', 'default', 'x', 'y'],
  ['run', 'default', 'x', '--logprobs', '3'],
  ['run', 'default', ''],
  ['tokenize'],
  ['inspect'],
  ['bench', '--vs', 'nobody'],
  ['bench', 'default', '--shape', 'qwen3-0.6b'],
  ['bench', '--shape', 'qwen9-900b'],
  ['bench', '--shape', 'tiny', '--type', 'q0'],
  ['bench', '--batch', '1,two'],
];

for (const args of wrong) {
  test(`wrong usage: ${args.join(' ')}`, async () => {
    const result = await paceline(args);
    assert.equal(result.code, 2, result.stderr);
    assert.equal(result.stdout, '');
    assert.match(result.stderr, /^error: \S/);
    assert.match(result.stderr, /^hint: \S/m);
  });
}

test('with --json an error is one JSON object on stdout', async () => {
  const result = await paceline(['run', 'default', 'x', '--json', '--temp', 'warm']);
  assert.equal(result.code, 2);
  const { error } = jsonOf(result) as { error: Record<string, string> };
  assert.equal(error.code, 'usage');
  assert.match(error.message ?? '', /--temp/);
  assert.match(error.hint ?? '', /--help/);
});

test('docs/cli.md says what --help says', async () => {
  const { cliReference } = await import('../support/cli-reference.js');
  assert.equal(
    readRepositoryFile('docs/cli.md'),
    cliReference(),
    'run `npm run docs` to bring it up to date',
  );
});
