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
import { f32, text, u32 } from '../../src/synthetic/entries.js';
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

  const markov = { markov: { rank: 4, confidence: true, confidenceBias: true } } as const;
  const selector = { selector: { rank: 4, most: 3, taps: 2, group: 8 } } as const;
  const form = {
    ...{ queryRank: 8, rotated: 4, window: 9, ratios: [0], outputGroups: 1, outputRank: 8 },
    ...{ index: { heads: 1, keyLength: 8, most: 4 }, hashed: 0, limit: 1 },
  };
  const streams = { ...markov, blocksOf: 'deepseek4', experts: [4, 2], deepseek4: form } as const;
  const variants = { markov, selector, streams } as const;
  type Content = ReturnType<typeof randomDflash>;
  const changed = (
    content: Content,
    name: string,
    shape: readonly number[] | undefined,
  ): Content => ({
    ...content,
    tensors: content.tensors.flatMap((tensor) => {
      if (tensor.name !== name) return [tensor];
      const size = shape?.reduce((a, b) => a * b, 4) ?? 0;
      return shape === undefined ? [] : [{ ...tensor, shape, data: new Uint8Array(size) }];
    }),
  });

  for (const [name, more] of Object.entries(variants)) {
    it(`with ${name} load as they are, and with nothing missing or besides`, async () => {
      const content = randomDflash({ ...draft, ...more });
      (await loadDflashModel(await open(content), target, { backend })).dispose();
      const extra = {
        ...{ name: 'blk.0.attn_gate.weight', type: GgmlType.F32, shape: [4] },
        data: new Uint8Array(16),
      };
      const besides = { ...content, tensors: [...content.tensors, extra] };
      await assert.rejects(
        loadDflashModel(await open(besides), target, { backend }),
        refused('unsupported-architecture', /blk\.0\.attn_gate\.weight/),
      );
    });
  }

  for (const [variant, name, shape] of [
    ['markov', 'markov_w2.weight', [4, 100]],
    ['markov', 'markov_w1.weight', [4, 100]],
    ['markov', 'conf_proj.weight', [32, 1]],
    ['markov', 'conf_proj.bias', [2]],
    ['selector', 'blk.0.attn_conv_base', [32, 2, 1]],
    ['selector', 'blk.0.ffn_conv_proj.weight', [32, 4]],
    ['selector', 'selector_successor.weight', [5, 331]],
    ['selector', 'selector_hidden.weight', [32, 5]],
    ['streams', 'blk.0.attn_kv.weight', [32, 8]],
    ['streams', 'output_hc_fn.weight', [32, 4]],
  ] as const) {
    it(`whose ${name} has another shape are refused by name`, async () => {
      const content = randomDflash({ ...draft, ...variants[variant] });
      const pattern = new RegExp(name.replaceAll('.', '\\.'));
      await assert.rejects(
        loadDflashModel(await open(changed(content, name, shape)), target, { backend }),
        refused('wrong-shape', pattern),
      );
      if (name.startsWith('conf_proj')) return; // may be missing
      if (/^(markov_w1|selector_hidden)/.test(name)) return; // says what the file is
      await assert.rejects(
        loadDflashModel(await open(changed(content, name, undefined)), target, { backend }),
        refused('missing-tensor', pattern),
      );
    });
  }

  for (const [variant, key, entry, code] of [
    ['markov', 'dflash.hidden_activation', text('relu'), 'unsupported-architecture'],
    ['selector', 'dflash.conv_kernel_size', u32(9), 'broken-file'],
    ['selector', 'dflash.conv_group_size', u32(5), 'broken-file'],
    ['selector', 'dflash.selector_top_k', u32(400), 'broken-file'],
    ['selector', 'dflash.selector_rank', u32(0), 'broken-file'],
    ['streams', 'dflash.attention.compress_ratios', list(4), 'unsupported-architecture'],
    ['streams', 'dflash.expert_gating_func', u32(2), 'unsupported-architecture'],
    ['streams', 'dflash.hyper_connection.count', u32(100), 'broken-file'],
  ] as const) {
    it(`with ${key} of ${String(entry.value)} are refused`, async () => {
      const content = randomDflash({ ...draft, ...variants[variant] });
      const metadata = new Map(content.metadata).set(key, entry);
      await assert.rejects(
        loadDflashModel(await open({ ...content, metadata }), target, { backend }),
        refused(code, new RegExp(key.split('.').at(-1) ?? '')),
      );
    });
  }

  it('with two kinds of links are refused', async () => {
    const content = randomDflash({ ...draft, ...markov, ...selector });
    await assert.rejects(
      loadDflashModel(await open(content), target, { backend }),
      refused('unsupported-architecture', /markov_w1.*selector_hidden/),
    );
  });

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
