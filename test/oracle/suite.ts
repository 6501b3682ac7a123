/**
 * Every architecture against libllama: the logits of a prefill, longer than every window, and of
 * single steps. The measure is the worst difference over all tokens, relative to the range
 * of the token's logits. F32 and F16 must be within 1e-3; quantised types within 2e-2, which is
 * libllama's own distance from exact arithmetic (it rounds activations to 8 bits). In a quantised
 * mixture of experts that rounding also decides between experts that are nearly equal, which changes
 * a token's logits by more: there, one token in ten is left out.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GgmlType, isQuantized, typeName, typeTraits } from '../../src/ggml/types.js';
import { textArchitectures } from '../../src/models/registry.js';
import { traitsOf } from '../../src/synthetic/architecture.js';
import {
  type RandomModelOptions,
  type RandomTensor,
  randomModel,
} from '../../src/synthetic/random-model.js';
import { Oracle } from './libllama.js';
import { argmax, differences, Runner, withRandomModel, worstDifference } from './runner.js';
import { ownTypes, shapes, variants } from './shapes.js';

const { F32, F16 } = GgmlType;

function sizesFor(architecture: string, type: GgmlType): RandomModelOptions {
  const { blockSize } = typeTraits(type);
  const at = blockSize > 32 ? 2 : isQuantized(type) ? 1 : 0;
  const vocab = 320 + 7 * at;
  const sizes = shapes[architecture]?.[at];
  assert.ok(sizes, `no sizes to compare ${architecture} in`);
  return { vocab, seed: type + 1, ...sizes, architecture, type };
}

const tokenAt = (at: number) => (at * 97 + (at >> 3) * 31 + 11) % 320;
const steps = Array.from({ length: 32 }, (_, at) => tokenAt(at + 1000));
const promptOf = (length: number) => Array.from({ length }, (_, at) => tokenAt(at));

/** How much is computed: tokens of the prefill, longer than every window, and single steps. */
interface Extent {
  readonly prompt: number;
  readonly steps: number;
}

const whole: Extent = { prompt: 100, steps: 32 };
const short: Extent = { prompt: 60, steps: 4 };

/** The differences from libllama over prefill and steps, a number a token, the worst first. */
function distances(
  options: RandomModelOptions,
  extent: Extent,
  cacheType: GgmlType = F16,
): Promise<number[]> {
  return withRandomModel(options, (path) => distancesOf(path, extent, cacheType));
}

async function distancesOf(path: string, extent: Extent, cacheType: GgmlType): Promise<number[]> {
  using ours = await Runner.open(path, { cacheType });
  // The oracle has no cache of integers.
  using theirs = new Oracle(path, { cacheType: cacheType === GgmlType.I16 ? F16 : cacheType });
  const prompt = promptOf(extent.prompt);
  const found = differences(await ours.decode(prompt), theirs.decode(prompt));
  for (const token of steps.slice(0, extent.steps)) {
    found.push(...differences(await ours.decode([token]), theirs.decode([token])));
  }
  return found.sort((a, b) => b - a);
}

/** Weights of -1, 0 and 1: most of a normal matrix are 0, and what rounding an activation changes is not averaged. */
const ternary: readonly GgmlType[] = [GgmlType.TQ1_0, GgmlType.TQ2_0];

/** Declares a test of one architecture for each of these types, of weights without experts. */
export function describeTypes(types: readonly GgmlType[], architecture: string): void {
  describe(`types of weights, ${architecture}`, () => {
    for (const type of types) {
      it(`${typeName(type)} gives the logits of libllama`, async (t) => {
        const [worst = Infinity] = await distances(sizesFor(architecture, type), short);
        t.diagnostic(`worst difference ${worst.toExponential(1)} of the range`);
        assert.ok(worst < (ternary.includes(type) ? 5e-2 : 2e-2), `${worst} of the range`);
      });
    }
  });
}

/** The differences of a quantised mixture of experts in a file, without the worst tenth. */
export async function expertDistance(path: string): Promise<number> {
  const sorted = await distancesOf(path, short, F16);
  return sorted[Math.floor(sorted.length / 10)] as number;
}

/**
 * Declares the tests of caches of 16-bit integers, on the shapes whose heads they take. The oracle's
 * cache is F16, which is farther from exact arithmetic than ours.
 */
export function describeIntegerCaches(extent: 'whole' | 'short'): void {
  describe('with a cache of 16-bit integers', () => {
    for (const [architecture, sizes] of Object.entries(shapes)) {
      // No heads of their own.
      if (sizes.some(({ latent, deepseek4 }) => latent ?? deepseek4)) continue;
      const fitting = sizes.filter(({ headDim = 64, gemma4 }) => headDim % 64 === 0 && !gemma4);
      // Those of llama are for odd heads.
      for (const size of fitting.length > 0 ? fitting : [{ headDim: 64 }]) {
        const options = { vocab: 331, ...size, architecture, ...integerHeads(architecture) };
        it(`${architecture} with heads of ${size.headDim} gives the logits of libllama`, async () => {
          const asked = extent === 'whole' ? whole : short;
          const [worst = Infinity] = await distances({ ...options, seed: 2 }, asked, GgmlType.I16);
          assert.ok(worst < 1e-3, `${worst} of the range`);
        });
      }
    }
  });
}

/** Heads of layers with a window have a size of their own, which must fit as well. */
function integerHeads(architecture: string): Partial<RandomModelOptions> {
  return architecture === 'gemma4' ? { gemma4: { windowHeadDim: 64 } } : {};
}

export interface OracleTests {
  readonly types: readonly GgmlType[];
  /**
   * `whole`: a prefill of 100 tokens and 32 single steps, and a greedy continuation of 64; `short`:
   * 60 and 4.
   */
  readonly extent: 'whole' | 'short';
  /** Besides, the type that a family ships in. */
  readonly own?: boolean;
  /** Default: all. */
  readonly architectures?: readonly string[];
}

/** Architectures that run on the native kernels only. */
export const nativeOnly: readonly string[] = [
  ...['deepseek4', 'lfm2', 'lfm2moe', 'qwen35', 'qwen35moe'],
];

/** All others. */
export const withoutKernels: readonly string[] = textArchitectures.filter(
  (name) => !nativeOnly.includes(name),
);

/** Declares the tests of all architectures in these types, and of F32 variants. */
export function describeOracle(tests: OracleTests): void {
  const { types, extent: name, own = false, architectures = textArchitectures } = tests;
  const extent = name === 'whole' ? whole : short;
  for (const architecture of architectures) {
    describe(architecture, () => {
      const more = own ? (ownTypes[architecture] ?? []) : [];
      for (const type of [...types, ...more]) {
        it(`gives the logits of libllama in ${typeName(type)}`, async (t) => {
          const limit = isQuantized(type) ? 2e-2 : 1e-3;
          const options = sizesFor(architecture, type);
          const sorted = await distances(options, extent);
          const left = options.experts !== undefined && isQuantized(type) ? sorted.length / 10 : 0;
          const worst = sorted[Math.floor(left)] as number;
          t.diagnostic(`worst difference ${worst.toExponential(1)} of the range`);
          assert.ok(worst < limit, `${worst} of the range, allowed are ${limit}`);
        });
      }
      if (name === 'whole') describeContinuation(architecture);
    });
  }

  describe('variants of the architectures', () => {
    for (const [name, { cacheType, ...options }] of Object.entries(variants)) {
      if (!architectures.includes(options.architecture)) continue;
      it(name, async () => {
        const [worst = Infinity] = await distances(options, extent, cacheType);
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
          const worst = worstDifference(
            await ours.decode(promptOf(60)),
            theirs.decode(promptOf(60)),
          );
          assert.ok(worst > 1e-3, `5% in one norm moved the logits by ${worst} of the range only`);
        }),
      );
    });
  });
}

function describeContinuation(architecture: string): void {
  it('continues greedily with the same 64 tokens in F32', async () => {
    // Untied: a tied model with random weights repeats its last token.
    const options = { ...sizesFor(architecture, F32), tied: false };
    await withRandomModel(options, async (path) => {
      using ours = await Runner.open(path);
      using theirs = new Oracle(path);
      const start = promptOf(12);
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
        traitsOf(architecture).tied === true || new Set(expected).size > 8,
        `a monotonous continuation proves little: ${expected}`,
      );
    });
  });
}

/** By how much a tensor is changed, as a share of its values. */
function changeOf(name = ''): number {
  // What only chooses experts changes nothing until it chooses others.
  if (name.endsWith('exp_probs_b.bias')) return 2;
  // A sigmoid flattens what streams are mixed by.
  return name.endsWith('hc_base.weight') ? 0.5 : 0.1;
}

/**
 * Declares for each architecture that the logits tell a change of any tensor: whatever is left out or
 * taken for another would be found by the comparison.
 */
export function describePerturbations(): void {
  describe('a tensor that differs a little moves the logits', () => {
    for (const architecture of textArchitectures) {
      it(architecture, async () => {
        const options = sizesFor(architecture, F32);
        const logitsWith = (changed: string | undefined) => {
          const by = changeOf(changed);
          const change = (tensor: RandomTensor) =>
            tensor.name === changed
              ? { ...tensor, values: tensor.values.map((v, at) => v * (at % 2 ? 1 + by : 1 - by)) }
              : tensor;
          return withRandomModel({ ...options, change }, async (path) => {
            using ours = await Runner.open(path);
            return await ours.decode(promptOf(60));
          });
        };
        const expected = await logitsWith(undefined);
        const names: string[] = [];
        randomModel({ ...options, change: (tensor) => void names.push(tensor.name) });
        const layer = (name: string) => /^blk\.(\d+)\./.exec(name)?.[1];
        for (const name of names.filter((name) => ['1', undefined].includes(layer(name)))) {
          const moved = worstDifference(await logitsWith(name), expected);
          assert.ok(
            moved > 1e-3,
            `A change of ${name} moved the logits by ${moved} of the range only`,
          );
        }
      });
    }
  });
}
