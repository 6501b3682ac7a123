/** Files that cannot be a model are refused with an error that says what is wrong. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { Progress } from '../../src/base/progress.js';
import { Backend } from '../../src/ggml/backend.js';
import { nativeKernels } from '../../src/ggml/native/library.js';
import { GgmlType, targetTypes } from '../../src/ggml/types.js';
import { ggmlLayout } from '../../src/ggml/weight.js';
import { type GgufMetadataEntry, GgufValueType } from '../../src/gguf/types.js';
import { loadLanguageModel, planModel } from '../../src/models/load.js';
import { supportedArchitectures } from '../../src/models/registry.js';
import { f32, text, u32 } from '../../src/synthetic/entries.js';
import {
  type RandomModelOptions,
  type RandomTensor,
  randomModel,
} from '../../src/synthetic/random-model.js';
import { loader, open, refused, small } from './support.js';

const backend = new Backend({ threads: 1 });
after(() => backend.dispose());

const load = loader(backend);

const changing = (name: string, change: (tensor: RandomTensor) => RandomTensor | undefined) => ({
  change: (tensor: RandomTensor) => (tensor.name === name ? change(tensor) : tensor),
});

describe('loading', () => {
  it('gives a model with its weights, and tells its progress in bytes', async () => {
    const seen: Progress[] = [];
    const model = await load({}, { onProgress: (progress) => seen.push(progress) });
    assert.equal(model.hyperparameters.layerCount, 2);
    assert.equal(model.weights.length, 2 + 2 * 11);
    const last = seen.at(-1);
    assert.equal(last?.done, last?.total);
    assert.ok(seen.every(({ unit }) => unit === 'bytes'));
    assert.ok(seen.every(({ done }, at) => done > (seen[at - 1]?.done ?? 0)));
    assert.ok(model.weightBytes >= (last?.total ?? Infinity));
    model.dispose();
    model.dispose();
  });

  it('stops when its signal fires', async () => {
    const controller = new AbortController();
    const onProgress = () => controller.abort();
    await assert.rejects(load({}, { signal: controller.signal, onProgress }), refused('aborted'));
    await assert.rejects(load({}, { signal: AbortSignal.abort() }), refused('aborted'));
  });

  it('takes the first layout that can hold a weight', async () => {
    const names: string[] = [];
    const picky = {
      ...ggmlLayout,
      name: 'picky',
      bytes: (spec: Parameters<typeof ggmlLayout.bytes>[0]) =>
        spec.role === 'linear' ? ggmlLayout.bytes(spec) : undefined,
      allocate: (...[where, specs]: Parameters<typeof ggmlLayout.allocate>) => {
        names.push(...specs.map(({ name }) => name));
        return ggmlLayout.allocate(where, specs);
      },
    };
    const model = await load({}, { layouts: [picky, ggmlLayout] });
    assert.equal(names.length, 2 * 7);
    model.dispose();
    const none = { layouts: [picky] };
    await assert.rejects(load({}, none), refused('unsupported-type', /token_embd/));
  });
});

describe('loading refuses', () => {
  it('unknown architectures, and lists the known ones', async () => {
    const content = randomModel(small);
    const metadata = new Map(content.metadata).set('general.architecture', text('mamba'));
    const file = await open({ ...content, metadata });
    const known = new RegExp(supportedArchitectures.join('.*'), 's');
    await assert.rejects(
      loadLanguageModel(file, { backend }),
      refused('unsupported-architecture', /mamba/, known),
    );
  });

  it('a file without an architecture', async () => {
    const content = randomModel(small);
    const metadata = new Map(content.metadata);
    metadata.delete('general.architecture');
    const file = await open({ ...content, metadata });
    await assert.rejects(
      loadLanguageModel(file, { backend }),
      refused('broken-file', /general\.architecture/),
    );
  });

  for (const name of ['token_embd.weight', 'blk.1.attn_k_norm.weight', 'blk.0.ffn_down.weight']) {
    it(`a missing ${name}`, async () => {
      const options = changing(name, () => undefined);
      const pattern = new RegExp(name.replaceAll('.', '\\.'));
      await assert.rejects(load(options), refused('missing-tensor', pattern));
    });
  }

  it('a tensor of another shape, with what was expected', async () => {
    const options = changing('blk.1.ffn_up.weight', (tensor) => ({ ...tensor, shape: [48, 32] }));
    await assert.rejects(
      load(options),
      refused('wrong-shape', /blk\.1\.ffn_up\.weight/, /\[48, 32\].*\[32, 48\]/),
    );
  });

  it('a norm that is not F32', async () => {
    const options = changing('output_norm.weight', (tensor) => ({ ...tensor, type: GgmlType.F16 }));
    await assert.rejects(load(options), refused('unsupported-type', /output_norm\.weight.*F16/));
  });

  for (const [what, bad] of [
    ['NaN', Number.NaN],
    ['infinity', Number.POSITIVE_INFINITY],
  ] as const) {
    for (const type of [GgmlType.F32, GgmlType.F16, GgmlType.Q8_0] as const) {
      // Rounding to 8 bits turns a NaN into a number; in a scale it survives as infinity.
      if (type === GgmlType.Q8_0 && Number.isNaN(bad)) continue;
      it(`weights with ${what} in type ${type}`, async () => {
        const options = changing('blk.0.attn_v.weight', (tensor) => {
          const values = tensor.values.slice();
          values[77] = bad;
          return { ...tensor, type, values };
        });
        await assert.rejects(load(options), refused('bad-weights', /blk\.0\.attn_v\.weight/));
      });
    }
  }

  it('what does not fit into memory, with numbers and advice', async () => {
    const memory = { available: 70 * 2 ** 20, total: 70 * 2 ** 20 };
    await assert.rejects(
      load({ context: 1_000_000 }, { memory, contextLength: 1_000_000 }),
      refused('memory', /MiB.*1000000 tokens.*70 MiB/s, /contextLength of \d+/),
    );
    await assert.rejects(
      load({}, { memory: { available: 1000, total: 1000 } }),
      refused('memory', /smaller model/),
    );
  });

  const bad: readonly (readonly [
    key: string,
    entry: GgufMetadataEntry,
    RandomModelOptions['architecture']?,
  ])[] = [
    ['attention.head_count_kv', u32(3)],
    ['attention.head_count', u32(0)],
    ['block_count', u32(100_000)],
    ['block_count', u32(0)],
    ['rope.dimension_count', u32(7)],
    ['rope.scaling.type', text('magic')],
    ...[0, -1, Number.NaN, Number.POSITIVE_INFINITY].flatMap((value) => [
      ['rope.freq_base', f32(value)] as const,
      ['attention.layer_norm_rms_epsilon', f32(value)] as const,
      ['rope.scaling.attn_factor', f32(value)] as const,
      ['rope.freq_base_swa', f32(value), 'gemma3'] as const,
    ]),
    ['attention.layer_norm_rms_epsilon', f32(1e-46)],
    ['attention.layer_norm_rms_epsilon', f32(2)],
    ...[-1, Number.NaN, 1e-30].map((value) => ['rope.scaling.factor', f32(value)] as const),
    ['rope.scale_linear', f32(-2)],
    ['final_logit_softcapping', f32(-30), 'gemma3'],
    ['final_logit_softcapping', f32(Number.NaN), 'gemma3'],
    ['expert_used_count', u32(9), 'qwen3moe'],
    ['expert_used_count', u32(0), 'qwen3moe'],
    ['expert_used_count', u32(9), 'olmoe'],
    ['expert_count', u32(0), 'olmoe'],
    ['context_length', u32(0)],
    ['feed_forward_length', u32(0)],
    ['nextn_predict_layers', u32(2)],
  ];
  for (const [key, entry, architecture = 'qwen3'] of bad) {
    it(`a senseless ${key} of ${architecture}: ${entry.value}`, async () => {
      const pattern = new RegExp(key.replaceAll('.', '\\.'));
      const options = {
        architecture,
        metadata: { [key]: entry },
        ...(architecture === 'olmoe' ? { kvHeads: 2 } : {}),
      };
      await assert.rejects(load(options), refused('broken-file', pattern));
    });
  }

  it('more experts used than there are in a llama', async () => {
    const options = { architecture: 'llama', experts: [4, 5] } as const;
    await assert.rejects(load(options), refused('broken-file', /expert_used_count is 5.*4/));
  });

  it('heads that do not divide the width, when nothing else says how wide they are', async () => {
    const content = randomModel({ ...small, heads: 3, kvHeads: 3 });
    const metadata = new Map(content.metadata);
    metadata.delete('qwen3.attention.key_length');
    metadata.delete('qwen3.attention.value_length');
    const file = await open({ ...content, metadata });
    await assert.rejects(
      loadLanguageModel(file, { backend }),
      refused('broken-file', /head_count is 3.*32/),
    );
  });

  it('a model that looks ahead', async () => {
    const causal = { type: GgufValueType.BOOL, value: false } as const;
    await assert.rejects(
      load({ metadata: { 'attention.causal': causal } }),
      refused('unsupported-architecture', /attention\.causal/),
    );
  });
});

describe('LongRoPE', () => {
  const options = {
    architecture: 'llama',
    ropeFactors: 'long and short',
    metadata: {
      'rope.scaling.type': text('longrope'),
      'rope.scaling.original_context_length': u32(64),
    },
  } as const;

  it('says which factors the context chose, and that others change the text', async () => {
    const long = await load(options, { contextLength: 65 });
    assert.match(long.warnings.join(), /context of 65.*long factors.*64 or less/);
    long.dispose();
    const short = await load(options, { contextLength: 64 });
    assert.match(short.warnings.join(), /context of 64.*short factors.*more than 64/);
    short.dispose();
    const plain = await load({});
    assert.deepEqual(plain.warnings, []);
    plain.dispose();
  });

  it('has kernels of ours for every type that a matrix can have', () => {
    const { kernels } = nativeKernels();
    assert.ok(kernels);
    for (const name of targetTypes) {
      assert.ok(kernels.functions.pl_panel_bytes(GgmlType[name], 256, 4) > 0, name);
    }
  });
});

describe('the estimate of memory', () => {
  it('counts weights, the cache of the context, and computing', async () => {
    const file = await open(randomModel(small));
    const weights = [...file.tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0);
    const estimate = planModel(file, { contextLength: 100, layouts: [ggmlLayout] });
    assert.equal(estimate.weights, weights);
    assert.equal(estimate.cachePerToken, 2 * (16 + 16) * 2);
    assert.equal(estimate.cache, 100 * estimate.cachePerToken);
    assert.equal(estimate.total, weights + estimate.cache + estimate.compute);
  });

  it('counts what the type of the cache takes', async () => {
    const file = await open(randomModel({ ...small, headDim: 64 }));
    const perToken = (cacheType: GgmlType) => planModel(file, { cacheType }).cachePerToken;
    assert.equal(perToken(GgmlType.F32), 2 * (64 + 64) * 4);
    assert.equal(perToken(GgmlType.Q8_0), 2 * (64 + 64) * (34 / 32));
    // Two scales a layer and head, and whole blocks of positions.
    assert.equal(perToken(GgmlType.I16), 2 * ((64 + 64) * 2 + 8));
    const options = { cacheType: GgmlType.I16, contextLength: 100 };
    assert.equal(planModel(file, options).cache, 128 * perToken(GgmlType.I16));
  });
});
