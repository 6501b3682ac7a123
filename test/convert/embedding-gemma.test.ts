/** Checkpoints of EmbeddingGemma: converted, they make the vectors of a reference that reads the checkpoint. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { convertCheckpoint } from '../../src/convert/convert.js';
import { loadModel } from '../../src/engine/load.js';
import { randomNormal } from '../../src/synthetic/random-model.js';
import { temporaryFile } from '../support/tiny-model.js';
import { unit } from './bert-reference.js';
import { type Checkpoint, randomCheckpoint, safetensors } from './checkpoint.js';
import { referenceLogits } from './reference.js';

const [embedding, projected] = [64, 96];

/** Writes how the vectors are made, with projections where they are given, [out, in] each. */
function writeModules({ folder }: Checkpoint, dense: readonly Float32Array[]): void {
  const write = (name: string, value: object) =>
    writeFileSync(join(folder, name), JSON.stringify(value));
  const kinds = ['Transformer', 'Pooling', ...dense.map(() => 'Dense'), 'Normalize'];
  const modules = kinds.map((kind, at) => ({
    ...{ idx: at, name: String(at), path: at === 0 ? '' : `${at}_${kind}` },
    type: `sentence_transformers.models.${kind}`,
  }));
  write('modules.json', modules);
  mkdirSync(join(folder, '1_Pooling'));
  write('1_Pooling/config.json', { pooling_mode_mean_tokens: true });
  for (const [at, values] of dense.entries()) {
    const shape = at === 0 ? [projected, embedding] : [embedding, projected];
    const name = `${at + 2}_Dense`;
    mkdirSync(join(folder, name));
    const activation_function = 'torch.nn.modules.linear.Identity';
    write(`${name}/config.json`, { bias: false, activation_function });
    const file = safetensors([['linear.weight', { shape, values }]], 'F32');
    writeFileSync(join(folder, name, 'model.safetensors'), file);
  }
}

function product(weight: Float32Array, row: readonly number[]): number[] {
  return Array.from({ length: weight.length / row.length }, (_, out) =>
    row.reduce((sum, x, i) => sum + x * (weight[out * row.length + i] as number), 0),
  );
}

function matrix(seed: number, from: number, to: number): Float32Array {
  const random = randomNormal(seed);
  return Float32Array.from({ length: from * to }, () => random() / Math.sqrt(from));
}

const projections = [matrix(1, embedding, projected), matrix(2, projected, embedding)];

for (const [name, dense] of [
  ['with its projections', projections],
  ['without projections', []],
] as const) {
  it(`an embedding Gemma ${name}`, async () => {
    const checkpoint = randomCheckpoint('Gemma3TextModel');
    writeModules(checkpoint, dense);
    const output = temporaryFile(`embedding-gemma-${dense.length}.gguf`);
    const { architecture } = await convertCheckpoint({ checkpoint: checkpoint.folder, output });
    assert.equal(architecture, 'gemma-embedding');
    await using model = await loadModel(output, { threads: 1 });
    assert.equal(model.info.pooling, 'mean');
    // Longer than half of a window to either side.
    const text = 'ABACADABRA 12 BAB CACA DADA';
    const tokens = model.tokenizer.encode(text);
    assert.ok(tokens.length > 16);
    const rows = referenceLogits(checkpoint, tokens);
    const mean = Array.from({ length: embedding }, (_, i) =>
      rows.reduce((sum, row) => sum + (row[i] as number) / rows.length, 0),
    );
    const expected = unit(dense.reduce((row, weight) => product(weight, row), mean));
    const { vectors } = await model.embed([text]);
    for (const [i, value] of expected.entries()) {
      assert.ok(Math.abs(value - (vectors[0]?.[i] ?? 9)) < 1e-4, `${i}`);
    }
  });
}

it('is refused where it reads in one direction, or projects otherwise', async () => {
  const output = temporaryFile('embedding-gemma-refused.gguf');
  const refused = { code: 'unsupported-architecture' };
  const config = { use_bidirectional_attention: false };
  const { folder } = randomCheckpoint('Gemma3TextModel', { config });
  await assert.rejects(convertCheckpoint({ checkpoint: folder, output }), refused);
  const one = randomCheckpoint('Gemma3TextModel');
  writeModules(one, projections.slice(0, 1));
  await assert.rejects(convertCheckpoint({ checkpoint: one.folder, output }), refused);
});
