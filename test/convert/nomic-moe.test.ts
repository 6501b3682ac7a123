/** Checkpoints of Nomic's BERT with experts: converted, they make the vectors of a reference that reads the checkpoint. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { readHyperparameters } from '../../src/convert/checkpoint-metadata.js';
import { convertCheckpoint } from '../../src/convert/convert.js';
import { JsonObject } from '../../src/convert/json.js';
import { loadModel } from '../../src/engine/load.js';
import { temporaryFile } from '../support/tiny-model.js';
import { assertVectors } from './encoder-parts.js';
import {
  nomicMoeCheckpoint,
  nomicMoeConfig,
  nomicMoeTensors,
  nomicMoeVector,
} from './nomic-moe-checkpoints.js';

it('becomes a file with its vectors', async () => {
  const weights = nomicMoeTensors();
  const output = temporaryFile('nomic-moe.gguf');
  const { architecture } = await convertCheckpoint({
    checkpoint: nomicMoeCheckpoint(weights),
    output,
  });
  assert.equal(architecture, 'nomic-bert-moe');
  await using model = await loadModel(output, { threads: 1 });
  assert.deepEqual([model.info.pooling, model.info.contextLength], ['mean', 40]);
  const bounds = { usual: 1e-4, exact: 1e-3 };
  await assertVectors(model, (ids, gelu) => nomicMoeVector(weights, ids, gelu), bounds);
});

it('has the context that the published model was trained for', () => {
  const published = { ...nomicMoeConfig, n_positions: 2048, max_trained_positions: 2048 };
  const { metadata } = readHyperparameters(new JsonObject('config.json', published));
  assert.equal(metadata.get('nomic-bert-moe.context_length')?.value, 512);
  assert.equal(metadata.get('nomic-bert-moe.expert_used_count')?.value, 2);
});

it('is refused where it is another model', async () => {
  const weights = nomicMoeTensors();
  const convert = (changed: object) =>
    convertCheckpoint({
      checkpoint: nomicMoeCheckpoint(weights, changed),
      output: temporaryFile('nomic-moe-refused.gguf'),
    });
  const refused = { code: 'unsupported-architecture' };
  await assert.rejects(convert({ moe_normalize_expert_weights: true }), refused);
  await assert.rejects(convert({ num_shared_experts: 1 }), refused);
  await assert.rejects(convert({ activation_function: 'swiglu' }), refused);
  await assert.rejects(convert({ num_experts: 5 }), { code: 'wrong-shape' });
  weights.set('encoder.layers.0.mlp.experts.mlp.v1', { shape: [1], values: new Float32Array(1) });
  await assert.rejects(convert({}), refused);
});
