/** Forms of architectures that nobody computes here are refused by name, senseless ones as broken. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { Backend } from '../../src/ggml/backend.js';
import type { GgufMetadataEntry } from '../../src/gguf/types.js';
import { hasMtpBlock, hasUsableMtpBlock } from '../../src/models/draft-kind.js';
import { loadLanguageModel } from '../../src/models/load.js';
import { bools, i32s, u32, u32s } from '../../src/synthetic/entries.js';
import { type RandomModelOptions, randomModel } from '../../src/synthetic/random-model.js';
import { open, refused, small } from './support.js';

const backend = new Backend({ threads: 1 });
after(() => backend.dispose());

async function load(
  architecture: string,
  metadata: Readonly<Record<string, GgufMetadataEntry>>,
  more: Partial<RandomModelOptions> = {},
) {
  const file = await open(randomModel({ ...small, ...more, architecture, metadata }));
  return loadLanguageModel(file, { backend });
}

describe('variants are refused', () => {
  for (const architecture of ['glm4', 'ernie4_5', 'hunyuan-dense', 'glm4moe']) {
    it(`${architecture} with positions in sections`, async () => {
      const sections = { 'rope.dimension_sections': i32s(Int32Array.of(4, 4, 4, 4)) };
      const said = refused('unsupported-architecture', /sections.*rope\.dimension_sections/);
      await assert.rejects(load(architecture, sections), said);
    });
  }

  it('deepseek2 with experts rated by an unknown function', async () => {
    const said = refused('unsupported-architecture', /rated by function 4/);
    await assert.rejects(load('deepseek2', { expert_gating_func: u32(4) }), said);
  });

  it('deepseek2 with groups that experts do not fill', async () => {
    const groups = { expert_group_count: u32(3), expert_group_used_count: u32(1) };
    const said = refused('broken-file', /expert_group_count is 3 for 8 experts/);
    await assert.rejects(load('deepseek2', groups), said);
  });

  it('deepseek4 with blocks of other lengths, or fewer than layers', async () => {
    const form = (ratios: readonly number[]) => ({ 'attention.compress_ratios': u32s(ratios) });
    const said = refused('unsupported-architecture', /blocks of 8 positions/);
    await assert.rejects(load('deepseek4', form([4, 8, 0])), said);
    const short = refused('broken-file', /compress_ratios has 1 items for 2 layers/);
    await assert.rejects(load('deepseek4', form([4])), short);
  });

  it('deepseek4 with experts rated in another way', async () => {
    const said = refused('unsupported-architecture', /rated by function 2/);
    await assert.rejects(load('deepseek4', { expert_gating_func: u32(2) }), said);
  });

  it('deepseek4 with a table of experts that there are not', async () => {
    const change: RandomModelOptions['change'] = (tensor) =>
      tensor.name === 'blk.0.ffn_gate_tid2eid.weight'
        ? { ...tensor, values: tensor.values.map((value, at) => (at === 31 ? 8 : value)) }
        : tensor;
    const said = refused('bad-weights', /holds 8 in row 10, expected numbers from 0 to 7/);
    await assert.rejects(load('deepseek4', {}, { change, kvHeads: 1 }), said);
  });

  it('gemma4 whose layers have no other of their kind to share with', async () => {
    const shared = { 'attention.shared_kv_layers': u32(2) };
    const said = refused('broken-file', /shared_kv_layers is 2/);
    await assert.rejects(load('gemma4', shared, { layers: 3, window: [4, 3] }), said);
  });

  it('gemma4 without a list of windows', async () => {
    const period = { 'attention.sliding_window_pattern': u32(2) };
    await assert.rejects(load('gemma4', period), refused('broken-file', /is not a list/));
    const short = { 'attention.sliding_window_pattern': bools([true]) };
    await assert.rejects(load('gemma4', short), refused('broken-file', /1 items, expected 2/));
  });
});

it('a prediction block counts as a drafter where it can be computed', () => {
  const header = (architecture: string) => ({
    metadata: new Map([['general.architecture', { type: 8, value: architecture } as const]]),
    tensors: new Map([['blk.2.nextn.eh_proj.weight', { bytes: 4 }]]),
  });
  for (const [architecture, usable] of [
    ['qwen3', true],
    ['glm4moe', false],
  ] as const) {
    const file = header(architecture) as unknown as Parameters<typeof hasUsableMtpBlock>[0];
    assert.ok(hasMtpBlock(file));
    assert.equal(hasUsableMtpBlock(file), usable);
  }
});
