import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  chooseModel,
  draftersFor,
  type ModelFiles,
  modelsOf,
  quantOf,
  selectorOf,
} from '../../src/hub/gguf-files.js';

const gibibyte = 2 ** 30;
type Named = { path: string; size: number };
const file = (path: string, gib = 1): Named => ({ path, size: gib * gibibyte });
const room = { total: 16 * gibibyte };
const pick = (files: Named[], selector?: string, total = 16): ModelFiles<Named> =>
  chooseModel(modelsOf(files), selector, 'acme/widget', { total: total * gibibyte }).model;

test('file names say their quantisation', () => {
  for (const [path, quant] of [
    ['SmolLM2-135M-Instruct-Q4_K_M.gguf', 'Q4_K_M'],
    ['llama-2-7b.Q5_K_S.gguf', 'Q5_K_S'],
    ['model-q4_1.gguf', 'Q4_1'],
    ['Phi-3-mini-4k-instruct-q4.gguf', 'Q4'],
    ['gemma-4-12B-it-qat-UD-Q4_K_XL.gguf', 'UD-Q4_K_XL'],
    ['Qwen3-0.6B-BF16.gguf', 'BF16'],
    ['Qwen3-0.6B-fp16.gguf', 'FP16'],
    ['gpt-oss-20b-mxfp4.gguf', 'MXFP4'],
    ['x-IQ2_XXS-00001-of-00002.gguf', 'IQ2_XXS'],
    ['Q6_K/model-00001-of-00002.gguf', 'Q6_K'],
    ['Qwen3-0.6B.gguf', undefined],
  ] as const) {
    assert.equal(quantOf(path), quant, path);
  }
});

test('split files count as one, and only when all parts are there', () => {
  const whole = ['a-Q8_0-00001-of-00002.gguf', 'a-Q8_0-00002-of-00002.gguf'].map((p) => file(p, 2));
  const [model, ...more] = modelsOf([...whole, file('b-Q8_0-00001-of-00003.gguf')]);
  assert.deepEqual(more, []);
  assert.equal(model?.bytes, 4 * gibibyte);
  assert.equal(pick(whole, 'a-Q8_0-00002-of-00002.gguf').path, whole[0]?.path);
});

test('projectors, matrices and adapters are no models', () => {
  const names = ['mmproj-model-f16.gguf', 'model.imatrix.gguf', 'lora-x.gguf', 'README.md'];
  assert.deepEqual(modelsOf(names.map((name) => file(name))), []);
});

const usual = [
  file('m-Q2_K.gguf', 3),
  file('m-Q4_K_M.gguf', 5),
  file('m-Q8_0.gguf', 9),
  file('m-F16.gguf', 16),
  file('mmproj-F16.gguf', 1),
];

test('without a selector the machine decides, and the reason is said', () => {
  const choose = (total: number) =>
    chooseModel(modelsOf(usual), undefined, 'acme/widget', { total: total * gibibyte });
  assert.equal(choose(64).model.quant, 'Q4_K_M');
  assert.match(choose(64).why ?? '', /usual balance.*64\.0 GiB/);
  assert.equal(choose(8).model.quant, 'Q2_K');
  assert.match(choose(8).why ?? '', /largest that fits 8\.0 GiB/);
  assert.throws(() => choose(4), {
    code: 'memory',
    message: /Q2_K, has 3\.0 GiB/,
    hint: /hf:acme\/widget:Q2_K/,
  });
  assert.equal(
    pick([file('m-Q5_K_M.gguf', 5), file('m-Q8_0.gguf', 9)], undefined, 64).quant,
    'Q5_K_M',
  );
  assert.equal(pick([file('m-Q8_0.gguf', 900)], undefined, 1).quant, 'Q8_0');
});

test('a selector is a quantisation in any case, or a file', () => {
  assert.equal(pick(usual, 'q8_0').path, 'm-Q8_0.gguf');
  assert.equal(pick(usual, 'm-Q2_K.gguf').path, 'm-Q2_K.gguf');
  assert.equal(pick([file('sub/m-Q2_K.gguf')], 'M-q2_k.gguf').path, 'sub/m-Q2_K.gguf');
  assert.equal(pick([file('m-UD-Q4_K_XL.gguf')], 'Q4_K_XL').quant, 'UD-Q4_K_XL');
  assert.throws(() => pick(usual, 'Q3_K'), {
    code: 'model-not-found',
    hint: /Q2_K, Q4_K_M, Q8_0, F16/,
  });
  assert.throws(() => pick([], 'Q3_K'), { code: 'model-not-found', hint: /no GGUF files/ });
  assert.throws(() => pick([file('README.md')]), { code: 'model-not-found', message: /no GGUF/ });
});

test('a quantisation never means a drafter, but in a repository of drafters', () => {
  const drafter = file('m-DFlash-Q8_0.gguf', 1);
  assert.throws(() => pick([file('m-Q4_0.gguf'), drafter], 'Q8_0'), { code: 'model-not-found' });
  assert.equal(pick([drafter, file('m-DFlash-F16.gguf', 2)], 'Q8_0').path, drafter.path);
});

test('two models of one quantisation have to be told apart', () => {
  const two = [file('a-4B-Q4_K_M.gguf'), file('a-8B-Q4_K_M.gguf')];
  assert.throws(() => pick(two), { code: 'usage', hint: /a-4B-Q4_K_M\.gguf/ });
  assert.throws(() => pick(two, 'Q4_K_M'), { code: 'usage' });
  const models = modelsOf(two);
  assert.equal(selectorOf(models, models[1] as ModelFiles), 'a-8B-Q4_K_M.gguf');
});

test('drafters are known by their names and never chosen as the model', () => {
  const names = [
    'm-Q4_K_M.gguf',
    'm-Q8_0.gguf',
    'mtp-m-Q8_0.gguf',
    'm-DFlash-q8_0.gguf',
    'MTP/m-it-MTP-F16.gguf',
    'm-assistant-Q8_0.gguf',
    'eagle3-m.gguf',
  ];
  const models = modelsOf(names.map((name, index) => file(name, index < 2 ? 5 : 0.2)));
  assert.deepEqual(
    models.map(({ drafter }) => drafter),
    [undefined, undefined, 'mtp', 'dflash', 'mtp', 'assistant', 'eagle3'],
  );
  const { model } = chooseModel(models, 'Q8_0', 'acme/widget', room);
  assert.equal(model.path, 'm-Q8_0.gguf');
  assert.deepEqual(
    draftersFor(models, model)
      .map(({ path }) => path)
      .sort(),
    ['eagle3-m.gguf', 'm-DFlash-q8_0.gguf', 'm-assistant-Q8_0.gguf', 'mtp-m-Q8_0.gguf'],
  );
});

test('where every file says MTP the models have the block inside', () => {
  const models = modelsOf([file('Orn-9B-MTP-Q4_K_M.gguf', 5), file('Orn-9B-MTP-Q8_0.gguf', 9)]);
  assert.deepEqual(
    models.map(({ drafter }) => drafter),
    [undefined, undefined],
  );
  const withHead = modelsOf([
    file('Orn-9B-MTP-Q4_K_M.gguf', 5),
    file('mtp-head/mtp-Orn-9B-Q8_0.gguf', 2),
  ]);
  assert.equal(withHead[1]?.drafter, 'mtp');
});

test('in a repository of several models each gets its own drafter', () => {
  const models = modelsOf([
    ...[file('q-4B-Q4_K_M.gguf', 3), file('q-8B-Q4_K_M.gguf', 6)],
    ...[file('q-4B-DFlash-Q8_0.gguf', 0.5), file('q-8B-DFlash-Q8_0.gguf', 1)],
  ]);
  const drafterOf = (index: number) => draftersFor(models, models[index] as ModelFiles)[0]?.path;
  assert.equal(drafterOf(0), 'q-4B-DFlash-Q8_0.gguf');
  assert.equal(drafterOf(1), 'q-8B-DFlash-Q8_0.gguf');
});
