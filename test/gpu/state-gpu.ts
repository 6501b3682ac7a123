/** Rows on a card through the protocol of states: read, write, resume, truncate, and the CPU's logits. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { RollingRows } from '../../src/cache/rolling-rows.js';
import { readTensorBytes, writeTensor } from '../../src/ggml/allocation.js';
import { GgmlType } from '../../src/ggml/types.js';
import { loadModel, type Model } from '../../src/index.js';

/** The CPU's kernels round activations to 8 bits: 0.09 was measured, of logits up to some tens. */
const tolerance = 0.25;
const options = { contextLength: 256, draftModels: [] } as const;

/** A loaded model and texts without drafters. */
const textOf = (model: Model) => model.runtime.createText({ drafterSources: [] });

const largest = (a: Float32Array, b: Float32Array) =>
  a.reduce((most, value, at) => Math.max(most, Math.abs(value - (b[at] as number))), 0);

describe('state on a card', () => {
  let card: Model;
  let prompt: readonly number[];

  before(async () => {
    card = await loadModel('default', {
      ...options,
      device: process.env.PACELINE_TEST_DEVICE ?? 'Vulkan0',
    });
    prompt = card.tokenizer
      .encode('export function parse(text: string): number[] {\n'.repeat(8))
      .slice(0, 72);
  });
  after(() => card.dispose());

  /** Runs tokens behind a text; the last one's logits, copied. */
  async function run(model: Model, text: ReturnType<typeof textOf>, tokens: readonly number[]) {
    const { logits } = await model.runtime.run(text, tokens);
    return Float32Array.from(logits[0] as Float32Array);
  }

  it('gives logits near those of the CPU', async () => {
    const cpu = await loadModel('default', { ...options, device: 'cpu', kvType: 'f16' });
    try {
      const [expected, found] = [
        await run(cpu, textOf(cpu), prompt),
        await run(card, textOf(card), prompt),
      ];
      assert.ok(largest(expected, found) < tolerance, `${largest(expected, found)}`);
      assert.ok(largest(expected, found) > 0, 'computed by the same kernels');
    } finally {
      await cpu.dispose();
    }
  });

  it('moves rows to the front, however many are dropped before them', () => {
    const { backend } = card.runtime;
    const places = [backend.accelerators[0]];
    const layout = [{ heads: 1, keys: 32, values: 32 }];
    for (const dropped of [1, 7, 20]) {
      using rows = new RollingRows({ backend, layout, capacity: 32, type: GgmlType.F16, places });
      const { k } = rows.layer(0);
      const written = Uint16Array.from({ length: 30 * 32 }, (_, at) => at);
      writeTensor(backend, k, written);
      rows.append(30);
      rows.dropFirst(dropped);
      const found = new Uint16Array((30 - dropped) * 32);
      readTensorBytes(backend, k, found);
      assert.deepEqual(found, written.slice(dropped * 32));
    }
  });

  it('goes on from a saved block, and after a truncation, with the same bytes', async () => {
    const text = textOf(card);
    await run(card, text, prompt.slice(0, 64));
    const { state } = text;
    const [kind = 'whole'] = state.rowKinds;
    const block = new Uint8Array(state.blockBytes(kind, 0));
    state.readBlock(kind, 0, block);
    assert.ok(block.some((byte) => byte !== 0));
    assert.equal(state.blockMemory(kind, 0), undefined, 'is not the host’s');
    const expected = await run(card, text, prompt.slice(64));

    const other = textOf(card);
    other.state.writeBlock(kind, 0, block);
    other.state.resume(64, new Uint8Array(0));
    assert.deepEqual(await run(card, other, prompt.slice(64)), expected);

    text.truncate(64);
    assert.deepEqual(await run(card, text, prompt.slice(64)), expected);
  });
});
