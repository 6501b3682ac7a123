/** Architectures on a card against libllama on the CPU, and mixtures whose experts stay with the CPU. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { GgmlType } from '../../src/ggml/types.js';
import { type LoadOptions, loadModel } from '../../src/index.js';
import type { RandomModelOptions } from '../../src/synthetic/random-model.js';
import { Oracle } from '../oracle/libllama.js';
import { differences, withRandomModel } from '../oracle/runner.js';
import { shapes } from '../oracle/shapes.js';

const device = process.env.PACELINE_TEST_DEVICE ?? 'Vulkan0';
/** Relative to the range of a token's logits: products and attention of cards round to 16 bits. */
const tolerance = 1e-2;
const prompt = Array.from({ length: 24 }, (_, at) => (at * 97 + 11) % 320);
const steps = [5, 200, 17];

function optionsOf(architecture: string): RandomModelOptions {
  const [, sizes] = shapes[architecture] ?? [];
  assert.ok(sizes, architecture);
  return { vocab: 327, seed: 3, ...sizes, architecture, type: GgmlType.F16 };
}

/** The worst difference from libllama over a prefill and single steps, and what was taken. */
async function distance(path: string, more: LoadOptions = {}) {
  await using model = await loadModel(path, { device, contextLength: 64, ...more });
  using theirs = new Oracle(path, { cacheType: GgmlType.F16 });
  const text = model.runtime.createText({ drafterSources: [] });
  let worst = 0;
  for (const tokens of [prompt, ...steps.map((step) => [step])]) {
    const { logits } = await model.runtime.run(text, tokens, { outputs: 'all' });
    const found = differences(
      logits.map((row) => Float32Array.from(row)),
      theirs.decode(tokens),
    );
    worst = Math.max(worst, ...found);
  }
  return { worst, taken: model.info.device ?? '' };
}

describe('architectures on a card', () => {
  for (const architecture of ['llama', 'qwen3', 'gemma3', 'phi3', 'olmoe', 'gpt-oss']) {
    it(`${architecture} gives the logits of libllama`, () =>
      withRandomModel(optionsOf(architecture), async (path) => {
        const { worst, taken } = await distance(path);
        assert.ok(worst < tolerance, `${worst}`);
        assert.match(taken, new RegExp(`^${device} .* layers`));
      }));
  }

  it('gives them with experts on the CPU, of all layers or some', () =>
    withRandomModel(optionsOf('qwen3moe'), async (path) => {
      for (const cpuMoe of [true, 1]) {
        const { worst, taken } = await distance(path, { cpuMoe });
        assert.ok(worst < tolerance, `${worst}`);
        assert.match(taken, /experts/);
      }
    }));
});

describe('memory of a card that is full', () => {
  it('refuses a text more with what is free, and has it all back afterwards', async () => {
    await using model = await loadModel('default', {
      ...{ device, gpuLayers: 7, contextLength: 4096, draftModels: [] },
    });
    const [card] = model.runtime.backend.accelerators;
    assert.ok(card);
    const { free } = card.memory;
    // All but half a text's cache.
    const first = model.runtime.createState();
    const cache = free - card.memory.free;
    assert.ok(cache > 0);
    card.reserve(card.memory.free - cache / 2, 'a test');
    const held = card.memory.free;
    assert.throws(
      () => model.runtime.createState(),
      (error) => PacelineError.is(error) && error.code === 'memory' && /free/.test(error.message),
    );
    assert.equal(card.memory.free, held, 'leaks');
    card.release(free - cache - held);
    first.dispose();
    assert.equal(card.memory.free, free);
  });
});
