import assert from 'node:assert/strict';
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { errorCodes } from '../../src/base/errors.js';
import { exitCodes } from '../../src/cli/failure.js';
import { inFlags } from '../../src/cli/flag-names.js';
import { GgufValueType } from '../../src/gguf/types.js';
import { jsonOf, paceline, refusal } from '../support/cli.js';
import { readRepositoryFile, repository } from '../support/repository.js';
import { changedModel, temporaryFile, tinyModel } from '../support/tiny-model.js';

interface Failure {
  readonly args: readonly string[];
  readonly exit: number;
  readonly code: string;
  /** What the message has to name. */
  readonly says: RegExp;
}

/** Runs the command in this process and checks the error. */
async function fails({ args, exit, code, says }: Failure): Promise<void> {
  const error = await refusal(args);
  assert.equal(error.code, code, error.message);
  assert.equal(errorCodes[error.code].exit, exit);
  assert.match(`${error.message} ${error.hint}`, says);
}

/** The same in processes of their own: in words for people, and with --json. */
async function failsInWords({ args, exit, code, says }: Failure): Promise<void> {
  const [plain, json] = await Promise.all([paceline(args), paceline([...args, '--json'])]);
  assert.equal(json.code, exit, json.stdout + json.stderr);
  const { error } = jsonOf(json) as { error: Record<string, string> };
  assert.equal(error.code, code);
  assert.match(`${error.message} ${error.hint}`, says);
  assert.equal(plain.code, exit, plain.stderr);
  assert.equal(plain.stdout, '');
  assert.match(plain.stderr, /^error: /m);
  assert.match(plain.stderr, /^hint: \S/m);
  assert.match(plain.stderr, says);
  assert.doesNotMatch(plain.stderr, /^\s+at /m, 'no stack without PACELINE_DEBUG');
}

const run = (path: string, ...flags: string[]): string[] => [
  'run',
  path,
  'ab',
  '-n',
  '2',
  ...flags,
];

test('missing file', () =>
  failsInWords({
    args: run('/nowhere/model.gguf'),
    exit: 3,
    code: 'model-not-found',
    says: /\/nowhere\/model\.gguf/,
  }));

test('every file that a flag names and that is not there is wrong usage', async () => {
  const none = '/nowhere/file';
  const table: readonly (readonly string[])[] = [
    ['run', 'default', 'ab', '--json-schema', none],
    ['run', 'default', 'ab', '--json-schema', repository],
    ['run', 'default', 'ab', '--grammar', none],
    ['perplexity', 'default', '--text', none],
    ['imatrix', 'default', '--text', none],
    ['bench', 'default', '--draft', 'ngram', '--text', none],
    ['serve', 'default', '--api-key-file', none],
    ['embed', 'default', '--file', none],
    ['rank', 'default', 'query', '--lines', none],
    ['features', 'default', '/nowhere/features', '--text', none],
    ['features', 'default', '/nowhere/features', '--prompts', none],
  ];
  for (const args of table) {
    const { code, message, hint } = await refusal(args);
    const say = `${args.join(' ')}: ${message}`;
    assert.equal(code, 'usage', say);
    assert.match(message, /^Cannot read /, say);
    assert.ok(message.includes(args.at(-1) ?? '?'), say);
    assert.match(hint ?? '', /\S/, say);
  }
});

test('models that would have to be downloaded', () =>
  fails({ args: run('hf:owner/repo'), exit: 3, code: 'model-not-found', says: /hf:owner\/repo/ }));

test('a folder in place of a file', () =>
  fails({ args: run('/tmp'), exit: 3, code: 'model-not-found', says: /\/tmp is a folder/ }));

test('a draft file in place of a model', async () => {
  for (const kind of ['mtp', 'dflash']) {
    const path = join(repository, `models/default/paceline-default-${kind}.gguf`);
    await fails({
      args: run(path),
      exit: 6,
      code: 'unsupported-architecture',
      says: /--draft-model/,
    });
  }
});

test('a file that is no GGUF', async () => {
  const path = temporaryFile('text.gguf');
  await writeFile(path, 'this is not a model\n'.repeat(100));
  await fails({ args: run(path), exit: 6, code: 'broken-file', says: /text\.gguf/ });
});

test('truncated file', async () => {
  const path = await changedModel(await tinyModel(), 'truncated.gguf', {});
  await truncate(path, 100_000);
  await fails({ args: run(path), exit: 6, code: 'broken-file', says: /truncated\.gguf/ });
  await truncate(path, 2000);
  await fails({ args: ['inspect', path], exit: 6, code: 'broken-file', says: /truncated\.gguf/ });
});

test('unknown architecture, with a list of the known ones', async () => {
  const path = await changedModel(await tinyModel(), 'unknown.gguf', {
    metadata: { 'general.architecture': { type: GgufValueType.STRING, value: 'alexnet' } },
  });
  await fails({
    args: run(path),
    exit: 6,
    code: 'unsupported-architecture',
    says: /alexnet[\s\S]*qwen3/,
  });
});

test('unknown tokenizer', async () => {
  const path = await changedModel(await tinyModel(), 'tokenizer.gguf', {
    metadata: { 'tokenizer.ggml.pre': { type: GgufValueType.STRING, value: 'klingon' } },
  });
  await failsInWords({
    args: run(path),
    exit: 6,
    code: 'unsupported-tokenizer',
    says: /klingon/,
  });
});

test('missing tensor', async () => {
  const path = await changedModel(await tinyModel(), 'missing.gguf', {
    tensor: (tensor) => (tensor.name === 'blk.1.attn_k.weight' ? undefined : tensor),
  });
  await fails({ args: run(path), exit: 6, code: 'missing-tensor', says: /blk\.1\.attn_k\.weight/ });
});

test('wrong tensor shape', async () => {
  const path = await changedModel(await tinyModel(), 'shape.gguf', {
    tensor: (tensor) =>
      tensor.name === 'blk.0.ffn_up.weight'
        ? { ...tensor, shape: [...tensor.shape].reverse() }
        : tensor,
  });
  await fails({
    args: run(path),
    exit: 6,
    code: 'wrong-shape',
    says: /blk\.0\.ffn_up\.weight.*128/,
  });
});

test('NaN weights', async () => {
  const path = await changedModel(await tinyModel(), 'nan.gguf', {
    tensor: (tensor) =>
      tensor.name === 'blk.0.attn_q.weight' && tensor.data instanceof Uint8Array
        ? { ...tensor, data: new Uint8Array(tensor.data).fill(255, 400, 404) }
        : tensor,
  });
  await fails({ args: run(path), exit: 6, code: 'bad-weights', says: /blk\.0\.attn_q\.weight/ });
});

test('context overflow', async () =>
  fails({
    args: ['run', await tinyModel(), 'a long prompt', '--ctx', '4'],
    exit: 1,
    code: 'context-overflow',
    says: /4/,
  }));

test('not enough memory is found before loading', async () =>
  failsInWords({
    args: run(await tinyModel(), '--ctx', '2000000000'),
    exit: 4,
    code: 'memory',
    says: /needs about \d+ MiB.*available/,
  }));

test('an empty name of a model', () =>
  failsInWords({
    args: ['run', '', 'ab'],
    exit: 2,
    code: 'usage',
    says: /name of the model is empty/,
  }));

test('a flag of ten thousand characters, which is not repeated whole', async () => {
  const args = ['run', 'default', `--${'a'.repeat(10_000)}`];
  await fails({ args, exit: 2, code: 'usage', says: /unknown option '--a+…/ });
  assert.ok((await paceline(args)).stderr.length < 500);
});

test('a prompt that does not fit, in flags', async () =>
  fails({
    args: run(await tinyModel(), '--ctx', '1'),
    exit: 1,
    code: 'context-overflow',
    says: /larger --ctx/,
  }));

test('a KV cache of a type that the heads do not fit', async () =>
  fails({
    args: run(await tinyModel(), '--kv', 'i16'),
    exit: 2,
    code: 'usage',
    says: /i16.* 16 .*multiple of 64.*--kv f16/s,
  }));

test('a KV cache of a type whose blocks the heads do not fill', async () =>
  fails({
    args: run(await tinyModel(), '--kv', 'q8_0'),
    exit: 2,
    code: 'usage',
    says: /q8_0.*f16/s,
  }));

test('the engine’s words for options are flags here', async () => {
  for (const [flag, value] of [
    ['--top-k', '9007199254740991'],
    ['--repeat-penalty', '0'],
    ['--penalty-window', '9007199254740991'],
  ] as const) {
    const { code, message, hint } = await refusal(run(await tinyModel(), flag, value));
    assert.equal(code, 'usage');
    assert.ok(message.includes(flag), message);
    assert.doesNotMatch(`${message} ${hint}`, /topK|repetitionPenalty|penaltyWindow/);
  }
  assert.equal(
    inFlags('Option temperature is wrong, draft it'),
    'Option --temp is wrong, draft it',
  );
  assert.equal(inFlags('Option experts of 4 experts'), 'Option --experts of 4 experts');
  assert.equal(inFlags('`kvType` and draftMax; maxTokensX'), '--kv and --draft-max; maxTokensX');
});

test('inspect says which flags are for its plan', async () =>
  fails({
    args: ['inspect', await tinyModel(), '--experts', 'subset.json'],
    exit: 2,
    code: 'usage',
    says: /Option --experts .*--plan/,
  }));

test('text on stdin that is not UTF-8', async () => {
  const args = ['tokenize', await tinyModel()];
  const result = await paceline(args, { input: new Uint8Array([0x61, 0xff, 0x62]) });
  assert.equal(result.code, 2);
  assert.match(result.stderr, /UTF-8/);
});

test('PACELINE_DEBUG adds the stack', async () => {
  const result = await paceline(run('/nowhere/model.gguf'), { env: { PACELINE_DEBUG: '1' } });
  assert.equal(result.code, 3);
  assert.match(result.stderr, /^\s+at /m);
});

test('docs/errors.md and --help know every code', () => {
  const rows = readRepositoryFile('docs/errors.md').matchAll(
    /^\| `([a-z-]+)` \| (\d+) \| (\d+) \|/gm,
  );
  const documented = [...rows].map(([, code, exit, http]) => [code, Number(exit), Number(http)]);
  const actual = Object.entries(errorCodes).map(([code, { exit, http }]) => [code, exit, http]);
  assert.deepEqual(documented, actual);
  const helped = new Set(exitCodes.map(([code]) => code));
  for (const [, exit] of actual) assert.ok(helped.has(Number(exit)), String(exit));
});
