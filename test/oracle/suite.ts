/**
 * Every architecture in every common type against libllama: the logits of a prefill of 100 tokens
 * and of 32 single steps. The measure is the worst difference over all tokens, relative to the range
 * of the token's logits. F32 and F16 must be within 1e-3; quantised types within 2e-2, which is
 * libllama's own distance from exact arithmetic (it rounds activations to 8 bits). In a quantised
 * mixture of experts that rounding also decides between experts that are nearly equal, which changes
 * a token's logits by more: there, one token in ten is left out.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GgmlType, isQuantized, typeName } from '../../src/ggml/types.js';
import { supportedArchitectures } from '../../src/models/registry.js';
import { f32, text, u32 } from '../../src/synthetic/entries.js';
import type { RandomModelOptions, RandomTensor } from '../../src/synthetic/random-model.js';
import { Oracle } from './libllama.js';
import { argmax, differences, Runner, withRandomModel, worstDifference } from './runner.js';

const { F32, F16, Q4_K, Q6_K } = GgmlType;

/** Sizes by how many elements must divide a row: 1, 32 or 256. */
const shapes: Readonly<Record<string, readonly Omit<RandomModelOptions, 'architecture'>[]>> = {
  llama: [
    {
      embedding: 110,
      heads: 6,
      kvHeads: 3,
      headDim: 18,
      inner: 154,
      ropeFactors: true,
      tied: false,
    },
    { embedding: 160, heads: 5, kvHeads: 1, headDim: 32, inner: 224, vocab: 347 },
    { embedding: 256, heads: 8, kvHeads: 2, headDim: 32, inner: 512 },
  ],
  qwen2: [
    { embedding: 120, heads: 4, kvHeads: 1, headDim: 30, inner: 130, vocab: 329 },
    { embedding: 96, heads: 6, kvHeads: 2, headDim: 16, inner: 160, tied: false },
    { embedding: 256, heads: 4, kvHeads: 4, headDim: 64, inner: 256, fused: true },
  ],
  qwen3: [
    { embedding: 100, heads: 3, kvHeads: 1, headDim: 44, inner: 170, vocab: 321 },
    { embedding: 128, heads: 4, kvHeads: 2, headDim: 64, inner: 192, tied: false },
    { embedding: 256, heads: 4, kvHeads: 2, headDim: 128, inner: 768 },
  ],
  qwen3moe: [
    { embedding: 70, heads: 4, kvHeads: 2, headDim: 24, inner: 50, experts: [7, 2] },
    { embedding: 96, heads: 4, kvHeads: 2, headDim: 32, inner: 64, experts: [8, 3], tied: false },
    { embedding: 256, heads: 4, kvHeads: 1, headDim: 64, inner: 256, experts: [4, 1] },
  ],
  olmoe: [
    { embedding: 84, heads: 3, headDim: 28, inner: 42, experts: [9, 4] },
    { embedding: 128, heads: 4, headDim: 32, inner: 96, experts: [8, 2] },
    { embedding: 256, heads: 4, headDim: 64, inner: 256, experts: [6, 3] },
  ],
  gemma3: [
    { embedding: 88, heads: 4, kvHeads: 1, headDim: 34, inner: 122, window: [16, 3], layers: 7 },
    { embedding: 96, heads: 2, kvHeads: 2, headDim: 64, inner: 128, window: [33, 2] },
    { embedding: 256, heads: 2, kvHeads: 1, headDim: 128, inner: 512, tied: false },
  ],
};

function sizesFor(architecture: string, type: GgmlType): RandomModelOptions {
  const at = type === Q4_K || type === Q6_K ? 2 : isQuantized(type) ? 1 : 0;
  const vocab = 320 + 7 * at;
  const sizes = shapes[architecture]?.[at];
  assert.ok(sizes, `no sizes to compare ${architecture} in`);
  return { vocab, ...sizes, architecture, type, seed: type + 1 };
}

const tokenAt = (at: number) => (at * 97 + (at >> 3) * 31 + 11) % 320;
const prompt = Array.from({ length: 100 }, (_, at) => tokenAt(at));
const steps = Array.from({ length: 32 }, (_, at) => tokenAt(at + 1000));

/** The differences from libllama over prefill and steps, a number a token, the worst first. */
function distances(options: RandomModelOptions, cacheType: GgmlType = F16): Promise<number[]> {
  return withRandomModel(options, async (path) => {
    using ours = await Runner.open(path, { cacheType });
    using theirs = new Oracle(path);
    const found = differences(await ours.decode(prompt), theirs.decode(prompt));
    for (const token of steps) {
      found.push(...differences(await ours.decode([token]), theirs.decode([token])));
    }
    return found.sort((a, b) => b - a);
  });
}

/**
 * Declares the tests of caches of 16-bit integers, on the shapes whose heads they take. The oracle's
 * cache is F16, which is farther from exact arithmetic than ours.
 */
export function describeIntegerCaches(): void {
  describe('with a cache of 16-bit integers', () => {
    for (const [architecture, sizes] of Object.entries(shapes)) {
      const fitting = sizes.filter(({ headDim = 64 }) => headDim % 64 === 0);
      // Those of llama are for odd heads.
      for (const size of fitting.length > 0 ? fitting : [{ headDim: 64 }]) {
        const options = { vocab: 331, ...size, architecture };
        it(`${architecture} with heads of ${size.headDim} gives the logits of libllama`, async () => {
          const [worst = Infinity] = await distances({ ...options, seed: 2 }, GgmlType.I16);
          assert.ok(worst < 1e-3, `${worst} of the range`);
        });
      }
    }
  });
}

/** Declares the tests of all architectures in these types, and of F32 variants. */
export function describeOracle(types: readonly GgmlType[]): void {
  for (const architecture of supportedArchitectures) {
    describe(architecture, () => {
      for (const type of types) {
        it(`gives the logits of libllama in ${typeName(type)}`, async (t) => {
          const limit = isQuantized(type) ? 2e-2 : 1e-3;
          const options = sizesFor(architecture, type);
          const sorted = await distances(options);
          const left = options.experts !== undefined && isQuantized(type) ? sorted.length / 10 : 0;
          const worst = sorted[Math.floor(left)] as number;
          t.diagnostic(`worst difference ${worst.toExponential(1)} of the range`);
          assert.ok(worst < limit, `${worst} of the range, allowed are ${limit}`);
        });
      }

      it('continues greedily with the same 64 tokens in F32', async () => {
        // Untied: a tied model with random weights repeats its last token.
        const options = { ...sizesFor(architecture, F32), tied: false };
        await withRandomModel(options, async (path) => {
          using ours = await Runner.open(path);
          using theirs = new Oracle(path);
          const start = prompt.slice(0, 12);
          const continuation = async (decode: (tokens: number[]) => Promise<Float32Array[]>) => {
            const tokens: number[] = [];
            let logits = await decode(start);
            while (tokens.length < 64) {
              tokens.push(argmax(logits.at(-1) as Float32Array));
              logits = await decode(tokens.slice(-1));
            }
            return tokens;
          };
          const expected = await continuation(async (tokens) => theirs.decode(tokens));
          assert.deepEqual(await continuation((tokens) => ours.decode(tokens)), expected);
          assert.ok(
            new Set(expected).size > 8,
            `a monotonous continuation proves little: ${expected}`,
          );
        });
      });
    });
  }

  describe('variants of the architectures', () => {
    const variants: Record<string, RandomModelOptions> = {
      'llama with biases everywhere': { architecture: 'llama', biases: true },
      'llama with fused q, k and v': { architecture: 'llama', fused: true, kvHeads: 1 },
      'llama as a mixture of experts': { architecture: 'llama', experts: [6, 2] },
      'llama with linear scaling': {
        architecture: 'llama',
        metadata: { 'rope.scaling.type': text('linear'), 'rope.scaling.factor': f32(4) },
      },
      'llama with LongRoPE': {
        architecture: 'llama',
        ropeFactors: 'long and short',
        metadata: {
          'rope.scaling.type': text('longrope'),
          'rope.scaling.attn_factor': f32(1.2),
          'rope.scaling.original_context_length': u32(64),
        },
      },
      'qwen3 with YaRN': {
        architecture: 'qwen3',
        metadata: {
          'rope.scaling.type': text('yarn'),
          'rope.scaling.factor': f32(4),
          'rope.scaling.original_context_length': u32(64),
        },
      },
      'gemma3 with linear scaling and soft-capped logits': {
        architecture: 'gemma3',
        window: [8, 2],
        metadata: {
          'rope.scaling.type': text('linear'),
          'rope.scaling.factor': f32(8),
          'rope.freq_base_swa': f32(5000),
          final_logit_softcapping: f32(20),
        },
      },
    };
    for (const [name, options] of Object.entries(variants)) {
      it(name, async () => {
        const [worst = Infinity] = await distances(options);
        assert.ok(worst < 1e-3, `${worst} of the range`);
      });
    }
  });

  describe('the oracle', () => {
    it('tells when a single tensor differs a little', async () => {
      const options = sizesFor('qwen3', F32);
      const change = (tensor: RandomTensor) =>
        tensor.name === 'blk.1.attn_k_norm.weight'
          ? { ...tensor, values: tensor.values.map((value) => value * 1.05) }
          : tensor;
      await withRandomModel(options, (path) =>
        withRandomModel({ ...options, change }, async (changed) => {
          using ours = await Runner.open(changed);
          using theirs = new Oracle(path);
          const worst = worstDifference(await ours.decode(prompt), theirs.decode(prompt));
          assert.ok(worst > 1e-3, `5% in one norm moved the logits by ${worst} of the range only`);
        }),
      );
    });
  });
}
