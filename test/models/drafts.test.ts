/** Draft models whose hyperparameters or tensors make no sense. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { draftMemory } from '../../src/engine/draft-memory.js';
import { Backend } from '../../src/ggml/backend.js';
import { GgmlType } from '../../src/ggml/types.js';
import { type GgufMetadataEntry, GgufValueType } from '../../src/gguf/types.js';
import { loadDflashModel } from '../../src/models/dflash.js';
import { loadAssistantModel } from '../../src/models/gemma4-assistant.js';
import { loadLanguageModel } from '../../src/models/load.js';
import type { LanguageModel } from '../../src/models/model.js';
import { loadMtpModel } from '../../src/models/mtp.js';
import { f32, u32 } from '../../src/synthetic/entries.js';
import type { RandomModelOptions } from '../../src/synthetic/random-model.js';
import { randomAssistant, randomDflash, randomMtp } from '../support/random-drafters.js';
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

describe('Gemma 4’s drafter', () => {
  const sizes = {
    ...{ layers: 3, embedding: 32, heads: 2, kvHeads: 1, headDim: 16, inner: 48, window: [8, 3] },
    gemma4: { windowHeadDim: 8 },
  } as const satisfies Partial<RandomModelOptions>;
  let target: LanguageModel;
  before(async () => {
    target = await load({ architecture: 'gemma4', ...sizes });
  });
  after(() => target.dispose());

  const drafter = (more: Partial<Parameters<typeof randomAssistant>[0]> = {}) =>
    randomAssistant({ ...sizes, embedding: 24, width: 32, ...more });
  const loading = async (content: ReturnType<typeof drafter>, of = target) =>
    loadAssistantModel(await open(content), of, { backend });

  it('loads as it is, and with a list of the tokens to rate', async () => {
    (await loading(drafter())).dispose();
    const content = drafter();
    const list = {
      ...{ name: 'masked_embd_ordering', type: GgmlType.I32, shape: [331] },
      data: new Uint8Array(4 * 331),
    };
    (await loading({ ...content, tensors: [...content.tensors, list] })).dispose();
  });

  for (const [what, more] of [
    ['rows of 40', { width: 40 }],
    ['2 heads of 8', { kvHeads: 2 }],
    ['1 heads of 32, where the target has rows of 16', { headDim: 32 }],
    ['1 heads of 16, where the target has rows of 8', { gemma4: { windowHeadDim: 16 } }],
  ] as const) {
    it(`of another target is refused: ${what}`, async () => {
      await assert.rejects(loading(drafter(more)), refused('wrong-shape', new RegExp(what)));
    });
  }

  it('is refused for a target of another family, and for other vocabularies', async () => {
    const other = await load({ ...sizes, architecture: 'qwen35', embedding: 32 });
    await assert.rejects(loading(drafter(), other), refused('wrong-shape', /where the target has/));
    other.dispose();
    await assert.rejects(loading(drafter({ vocab: 340 })), refused('wrong-shape', /token_embd/));
  });

  it('with a window that shows nothing is refused', async () => {
    await assert.rejects(
      loading(drafter({ window: [1, 3] })),
      refused('broken-file', /sliding_window is 1/),
    );
  });

  it('is no model, and has the memory of its weights and one row', async () => {
    const file = await open(drafter());
    await assert.rejects(
      loadLanguageModel(file, { backend }),
      refused('unsupported-architecture', /drafter and no model/, /--draft-model/),
    );
    const memory = draftMemory(file, { contextLength: 4096 });
    assert.equal(memory?.name, 'mtp');
    assert.equal(memory?.stateBytes, 4 * 32);
    const weights = [...file.tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0);
    assert.equal(memory?.weightBytes, weights);
  });
});
