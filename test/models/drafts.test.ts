/** Draft models whose hyperparameters or tensors make no sense. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { draftMemory } from '../../src/engine/draft-memory.js';
import { Backend } from '../../src/ggml/backend.js';
import { GgmlType } from '../../src/ggml/types.js';
import { type GgufMetadataEntry, GgufValueType } from '../../src/gguf/types.js';
import { loadDflashModel } from '../../src/models/dflash.js';
import type { LanguageModel } from '../../src/models/model.js';
import { loadMtpModel } from '../../src/models/mtp.js';
import { f32, u32 } from '../../src/synthetic/entries.js';
import { randomDflash, randomMtp } from '../support/random-drafters.js';
import { loader, open, refused } from './support.js';

const backend = new Backend({ threads: 1 });
after(() => backend.dispose());
const load = loader(backend);

describe('draft models', () => {
  const draft = {
    ...{ layers: 1, embedding: 32, heads: 2, kvHeads: 1, headDim: 16, inner: 48 },
    ...{ blockSize: 4, maskToken: 5, targetLayers: [1, 2] },
  } as const;
  const withKey = async (key: string, entry: GgufMetadataEntry) => {
    const content = randomDflash(draft);
    return open({ ...content, metadata: new Map(content.metadata).set(key, entry) });
  };
  const list = (...value: number[]): GgufMetadataEntry => ({
    ...{ type: GgufValueType.ARRAY, itemType: GgufValueType.INT32 },
    value: Int32Array.from(value),
  });
  let target: LanguageModel;
  before(async () => {
    target = await load({});
  });
  after(() => target.dispose());

  it('load as they are', async () => {
    const file = await open(randomDflash(draft));
    (await loadDflashModel(file, target, { backend })).dispose();
  });

  for (const [key, entry] of [
    ['dflash.block_size', u32(1_000_000)],
    ['dflash.block_size', u32(1)],
    ['dflash.target_layers', list()],
    ['dflash.target_layers', list(0)],
    ['dflash.target_layers', list(...new Array<number>(2000).fill(1))],
    ['dflash.embedding_scale', f32(-1)],
    ['dflash.logit_scale', f32(0)],
    ['dflash.final_logit_softcapping', f32(-1)],
    ['dflash.attention.scale', f32(Number.NaN)],
    ['dflash.attention.layer_norm_rms_epsilon', f32(0)],
    ['dflash.rope.freq_base', f32(-10)],
  ] as const) {
    it(`with a senseless ${key} are refused: ${String(entry.value).slice(0, 20)}`, async () => {
      const file = await withKey(key, entry);
      const pattern = new RegExp(key.replaceAll('.', '\\.'));
      await assert.rejects(
        loadDflashModel(file, target, { backend }),
        refused('broken-file', pattern),
      );
    });
  }

  for (const token of [-1, 400, 1.5]) {
    it(`with the mask token ${token} are refused`, async () => {
      const file = await withKey('tokenizer.ggml.mask_token_id', f32(token));
      await assert.rejects(
        loadDflashModel(file, target, { backend }),
        refused('wrong-shape', /mask token/),
      );
    });
  }

  it('are not estimated by absurd numbers either', async () => {
    const file = await withKey('dflash.block_size', u32(1_000_000));
    assert.throws(
      () => draftMemory(file, { contextLength: 100 }),
      refused('broken-file', /dflash\.block_size is 1000000/),
    );
  });

  it('whose block has tensors that nothing reads are refused', async () => {
    const content = randomMtp({ ...draft, layers: 2 });
    const extra = {
      ...{ name: 'blk.2.attn_sinks.weight', type: GgmlType.F32, shape: [4] },
      data: new Uint8Array(16),
    };
    const file = await open({ ...content, tensors: [...content.tensors, extra] });
    await assert.rejects(
      loadMtpModel(file, target, { backend }),
      refused('unsupported-architecture', /blk\.2\.attn_sinks/),
    );
  });
});
