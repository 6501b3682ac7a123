import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Command } from 'commander';
import { examplesOf } from '../../src/cli/help.js';
import { createProgram } from '../../src/cli/program.js';
import { cutText } from '../../src/cli/text-report.js';
import { jsonOf, paceline, refusal } from '../support/cli.js';
import { readRepositoryFile } from '../support/repository.js';
import { tinyModel } from '../support/tiny-model.js';

test('--help is on stdout, documents the exit codes and exits with 0', async () => {
  const result = await paceline(['--help']);
  assert.equal(result.code, 0);
  assert.equal(result.stderr, '');
  assert.match(result.stdout, /Usage: paceline/);
  for (const code of [0, 1, 2, 3, 4, 5, 6, 7, 130]) {
    assert.match(result.stdout, new RegExp(`^ +${code} +\\S`, 'm'));
  }
});

test('a repository without hf: is told apart from a missing path', async () => {
  const result = await paceline(['run', 'owner/repo', 'a']);
  assert.equal(result.code, 3);
  assert.match(result.stderr, /write hf:owner\/repo/);
});

test('every command has --help and --json', async () => {
  const program = createProgram();
  const commands = program.createHelp().visibleCommands(program);
  assert.deepEqual(
    commands.map((command) => command.name()),
    [
      'run',
      'serve',
      'chat',
      'ps',
      'connect',
      'backends',
      'pull',
      'ls',
      'show',
      'rm',
      'cache',
      'tokenize',
      'detokenize',
      'embed',
      'rank',
      'inspect',
      'devices',
      'bench',
      'verify',
      'convert',
      'quantize',
      'imatrix',
      'perplexity',
      'experts',
      'features',
      'draft',
      'completion',
    ],
  );
  const alone = (command: Command): readonly Command[] =>
    command.commands.length === 0 ? [command] : command.commands.flatMap(alone);
  for (const command of commands.flatMap(alone)) {
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
  ['run', 'default', 'x', '--max-tokens', 'many'],
  ['run', 'default', 'x', '--temperature', '-1'],
  ['help', 'nonsense'],
  ['completion', 'csh'],
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
    const { code, message, hint } = await refusal(args);
    assert.equal(code, 'usage', message);
    assert.match(message, /^\S/);
    assert.match(hint ?? '', /\S/);
  });
}

test('wrong usage is exit code 2, with an error and a hint on stderr', async () => {
  for (const args of [['rum'], ['run', 'default', 'x', '--temp', '-1'], ['run', 'default', '']]) {
    const result = await paceline(args);
    assert.equal(result.code, 2, result.stderr);
    assert.equal(result.stdout, '');
    assert.match(result.stderr, /^error: \S/);
    assert.match(result.stderr, /^hint: \S/m);
  }
});

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

test('every command has examples, and each is a valid command line', async () => {
  const program = createProgram();
  for (const command of program.createHelp().visibleCommands(program)) {
    const examples = examplesOf(command);
    assert.ok(examples.length > 0, command.name());
    for (const [line] of examples) {
      const fresh = createProgram();
      const words = line.replace(/ [<>] \S+$/, '').match(/"[^"]*"|\S+/g) ?? [];
      const [name, ...args] = words.map((word) => word.replace(/^"|"$/g, ''));
      const parsed = fresh.commands.find((other) => other.name() === name);
      assert.equal(name, command.name());
      for (const each of [parsed, ...(parsed?.commands ?? [])]) each?.action(() => {});
      await fresh.parseAsync([command.name(), ...args], { from: 'user' });
    }
  }
});

test('help says defaults and choices as one types them', async () => {
  for (const command of ['bench', 'verify', 'run']) {
    const { stdout } = await paceline(['help', command]);
    assert.doesNotMatch(stdout, /\["|\[\d|"f16"/, command);
  }
  const { code, stdout } = await paceline(['help', 'verify']);
  assert.equal(code, 0);
  assert.match(stdout, /default:\s+0,0\.7,1\.2/);
  assert.equal(stdout, (await paceline(['verify', '--help'])).stdout);
  assert.equal((await paceline(['help'])).stdout, (await paceline(['--help'])).stdout);
});

test('other names of flags do the same', async () => {
  const model = await tinyModel();
  const text = async (...flags: string[]) =>
    jsonOf(await paceline(['run', model, 'x', '--json', '--seed', '3', ...flags])).tokens;
  const expected = await text('-n', '5', '--temp', '0.5', '--repeat-penalty', '1.5');
  assert.equal((expected as number[]).length, 5);
  for (const flags of [
    ['--max-tokens', '5', '--temperature', '0.5', '--repetition-penalty', '1.5'],
    ['--n-predict=5', '--temperature=0.5', '--repeat-penalty', '1.5', '--ctx-size', '100'],
  ]) {
    assert.deepEqual(await text(...flags), expected, flags.join(' '));
  }
});

/** What people type in place of a model, and what the answer has to name. */
const noModels: readonly (readonly [name: string, advice: RegExp])[] = [
  ['hello there', /paceline run default "hello there"/],
  ['hf:owner/repo:Q4_0', /paceline pull hf:owner\/repo:Q4_0/],
  ['https://example.com/a/model.gguf', /paceline pull https:\/\/example\.com\/a\/model\.gguf/],
  ['llama3.2', /called llama3\.2[\s\S]*paceline pull/],
  ['models/nothing.gguf', /no file .*models\/nothing\.gguf/],
];

for (const [name, advice] of noModels) {
  test(`no model is called ${name}`, async () => {
    const { code, stdout, stderr } = await paceline(['run', name]);
    assert.deepEqual([code, stdout], [3, ''], stderr);
    assert.match(stderr, advice);
    for (const args of [
      ['run', name, 'text'],
      ['inspect', name],
    ]) {
      const error = await refusal(args);
      assert.equal(error.code, 'model-not-found', error.message);
      assert.match(`${error.message}\n${error.hint}`, advice);
    }
  });
}

test('a text that is continued has a limit unless told otherwise', async () => {
  const model = await tinyModel();
  const run = ['run', model, 'x', '--json', '--temp', '0', '--ctx', '600'];
  const { tokens, finish_reason } = jsonOf(await paceline(run));
  assert.deepEqual([(tokens as number[]).length, finish_reason], [512, 'length']);
  const whole = jsonOf(await paceline([...run, '-n', '-1']));
  assert.ok((whole.tokens as number[]).length > 512);
});

test('a text that ends in the middle says why', () => {
  const info = { contextLength: 64 };
  const cut = { finishReason: 'length', tokens: [1, 2, 3] } as const;
  assert.match(cutText(cut, info, 3) ?? '', /cut at 3 tokens \(-n\)/);
  assert.match(cutText(cut, info, undefined) ?? '', /context of 64 tokens is full \(--ctx\)/);
  assert.equal(cutText({ ...cut, finishReason: 'stop' }, info, 3), undefined);
});
