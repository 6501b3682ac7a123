import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { GgmlType, tensorBytes } from '../../src/ggml/types.js';
import { encodeGguf } from '../../src/gguf/writer.js';
import { supportedArchitectures, textArchitectures } from '../../src/models/registry.js';
import { syntheticArchitectures } from '../../src/synthetic/architecture.js';
import { describeShapes } from '../../src/synthetic/known-shapes.js';
import { randomModel } from '../../src/synthetic/random-model.js';
import { mixOf, shapeNames, shapeOf, typedTensorsOf } from '../../src/synthetic/shapes.js';

test('every architecture that can be loaded can be made up, and no other', () => {
  assert.deepEqual([...syntheticArchitectures].sort(), [...supportedArchitectures].sort());
  assert.throws(
    () => randomModel({ architecture: 'abacus' }),
    (error) => PacelineError.is(error) && error.code === 'unsupported-architecture',
  );
});

test('the same options give the same bytes, another seed gives others', async () => {
  const sizes = { layers: 1, embedding: 64, inner: 64, heads: 2, headDim: 32 };
  const bytes = (seed: number) =>
    encodeGguf(randomModel({ architecture: 'qwen3moe', ...sizes, seed, type: GgmlType.Q8_0 }));
  const first = await bytes(1);
  assert.deepEqual(await bytes(1), first);
  assert.notDeepEqual(await bytes(2), first);
});

test('every architecture has a shape to measure, which says what it leaves out', () => {
  const named = shapeNames.map((name) => shapeOf(name));
  const missing = textArchitectures.filter((architecture) =>
    named.every((shape) => shape.architecture !== architecture),
  );
  assert.deepEqual(missing, []);
  for (const shape of named) {
    const { layers, wholeLayers = layers } = shape;
    assert.ok(layers <= wholeLayers);
    // What a file of it would take: no machine should need more to try it. The experts of one layer of DeepSeek V4
    // are 3.4 GiB, and it takes two to have both kinds of blocks.
    const most = shape.architecture === 'deepseek4' ? 8 : 2.5;
    const bytes = typedTensorsOf(shape, mixOf('q4_0', shape)).reduce(
      (sum, { type, shape: extents }) => sum + tensorBytes(type, extents),
      0,
    );
    assert.ok(
      wholeLayers === layers || bytes < most * 2 ** 30,
      `${shape.name} takes ${bytes} bytes`,
    );
  }
  assert.match(describeShapes(), /gemma4-e2b \(10 of 35 layers\)/);
});

test('mixes give types to matrices alone', () => {
  const shape = shapeOf('olmoe-1b-7b');
  const tensors = typedTensorsOf(shape, mixOf('q4_k_m', shape));
  const typeOf = (name: string) => tensors.find((tensor) => tensor.name === name)?.type;
  assert.equal(typeOf('output.weight'), GgmlType.Q6_K);
  assert.equal(typeOf('blk.0.attn_v.weight'), GgmlType.Q6_K);
  assert.equal(typeOf('blk.2.attn_v.weight'), GgmlType.Q4_K);
  assert.equal(typeOf('blk.0.ffn_gate_inp.weight'), GgmlType.F32);
  assert.equal(typeOf('blk.0.attn_q_norm.weight'), GgmlType.F32);
});
