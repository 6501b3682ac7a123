/**
 * No architecture falls off our kernels in silence: what a step computes with ggml's operations is
 * counted, products and attention are none of it, and the rest is listed here.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GraphProfiler } from '../../src/ggml/profiler.js';
import { GgmlType } from '../../src/ggml/types.js';
import { ggmlLayout, type WeightLayout } from '../../src/ggml/weight.js';
import { textArchitectures } from '../../src/models/registry.js';
import { Runner, withRandomModel } from '../oracle/runner.js';
import { ownTypes, shapes } from '../oracle/shapes.js';

/** Products, attention, and activations as wide as a network or a vocabulary. */
const heavy = ['mul_mat', 'mul_mat_id', 'flash_attn', 'gate', 'ggml_tanh', 'ggml_silu'];

/** A softmax over experts, their choice and their weights. */
const routing = ['soft_max', 'other', 'top_k', 'get_rows'];
const normalised = [...routing, 'sum_rows', 'clamp', 'ggml_div'];
const rated = normalised.filter((name) => name !== 'soft_max');

/** What each architecture has besides: single operations on a row, and rows of tables in F32. */
const known: Readonly<Record<string, readonly string[]>> = {
  deepseek2: [...normalised, 'scale', 'ggml_add', 'concat', 'cont'],
  ernie4_5: [],
  gemma2: ['scale'],
  gemma3: ['scale'],
  gemma4: [...normalised, 'scale', 'ggml_mul', 'cont', 'rms_norm', 'rope'],
  glm4: ['ggml_add'],
  glm4moe: [...rated, 'ggml_sigmoid', 'scale', 'ggml_add'],
  'gpt-oss': [...routing, 'add_id', 'ggml_add', 'ggml_mul', 'cont'],
  granite: ['scale', 'ggml_add'],
  granitemoe: [...normalised, 'scale', 'ggml_add'],
  'hunyuan-dense': ['rope'],
  llama: [],
  mistral3: ['get_rows', 'ggml_mul'],
  olmo2: [],
  olmoe: routing,
  phi3: [],
  qwen2: ['ggml_add', 'cont'],
  qwen3: [],
  qwen3moe: normalised,
  qwen35: ['cont'],
  qwen35moe: [...normalised, 'ggml_sigmoid', 'ggml_add', 'ggml_mul', 'cont'],
  seed_oss: ['ggml_add'],
  smollm3: [],
};

/** Operations of one step, by whose kernel computes them. */
async function step(architecture: string, layouts?: readonly WeightLayout[]) {
  const kinds = { native: new Set<string>(), ggml: new Set<string>() };
  const type = ownTypes[architecture]?.[0] ?? GgmlType.Q4_0;
  // The second sizes are those that blocks of 32 divide.
  for (const size of shapes[architecture]?.slice(1) ?? []) {
    const options = { vocab: 331, ...size, architecture, type };
    await withRandomModel(options, async (path) => {
      using ours = await Runner.open(path, layouts === undefined ? {} : { layouts });
      await ours.decode([1, 2, 3]);
      const profiler = new GraphProfiler();
      ours.backend.profiler = profiler;
      await ours.decode([4]);
      for (const { operation, by } of profiler.runs[0] ?? []) kinds[by].add(operation);
    });
  }
  return kinds;
}

describe('a step runs on our kernels', () => {
  for (const architecture of textArchitectures) {
    it(architecture, async () => {
      const { native, ggml } = await step(architecture);
      assert.ok(native.has('linear') && native.size > 3, [...native].join());
      assert.deepEqual(
        heavy.filter((name) => ggml.has(name)),
        [],
      );
      const listed = known[architecture];
      // Embeddings of types without panels for rows are unpacked by ggml.
      if (listed)
        assert.deepEqual(
          [...ggml].filter((name) => !listed.includes(name) && name !== 'get_rows'),
          [],
        );
    });
  }

  it('and what does not is counted', async () => {
    const { ggml } = await step('qwen3', [ggmlLayout]);
    assert.ok(ggml.has('mul_mat') && ggml.has('gate'), [...ggml].join());
  });
});
