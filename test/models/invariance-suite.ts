/**
 * Batch invariance of whole models, bit for bit: a token's logits are the same bytes whatever is
 * computed beside it, in whatever chunks, by one thread or two, and after truncating. Every
 * architecture on the native kernels.
 */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { nativeKernels } from '../../src/ggml/native/library.js';
import { GgmlType, typeName } from '../../src/ggml/types.js';
import { textArchitectures } from '../../src/models/registry.js';
import type { RandomModelOptions } from '../../src/synthetic/random-model.js';
import { Runner, withRandomModel } from '../oracle/runner.js';

/** Types of weights and of the cache. */
export interface InvarianceCase {
  readonly type: GgmlType;
  readonly cacheType: GgmlType;
}

/** What two layers of the usual sizes would leave out. */
const forms: Readonly<Record<string, Partial<RandomModelOptions>>> = {
  // Blocks of K-quants divide the heads' own matrices too.
  deepseek2: { headDim: 256, heads: 2, latent: { kv: 256, query: 256, rotated: 64 } },
  deepseek4: {
    ...{ layers: 4, headDim: 128, inner: 256 },
    deepseek4: {
      ...{ queryRank: 256, rotated: 32, window: 16, ratios: [4, 128, 0], outputGroups: 2 },
      ...{ index: { heads: 4, keyLength: 64, most: 6 }, outputRank: 128, hashed: 1, limit: 1 },
    },
  },
  gemma4: { layers: 3, headDim: 128, window: [16, 2], experts: [4, 2], gemma4: { shared: 1 } },
};
/** Tokens, where the usual number would leave out a kind of state. */
const lengths: Readonly<Record<string, number>> = { deepseek4: 140 };
/** Sizes of the chunks in which the same tokens are run, over and over until they are used up. */
const chunkings = [[1], [2, 3, 5], [8], [16, 1], [64, 7]];

async function runInChunks(
  runner: Runner,
  tokens: readonly number[],
  sizes: readonly number[],
): Promise<Float32Array[]> {
  const rows: Float32Array[] = [];
  for (let turn = 0; rows.length < tokens.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1;
    rows.push(...(await runner.decode(tokens.slice(rows.length, rows.length + size))));
  }
  return rows;
}

function assertSameBytes(
  found: readonly Float32Array[],
  expected: readonly Float32Array[],
  what: string,
): void {
  assert.equal(found.length, expected.length, what);
  for (const [position, row] of expected.entries()) {
    const other = found[position] as Float32Array;
    const same = Buffer.from(row.buffer, row.byteOffset, row.byteLength).equals(
      Buffer.from(other.buffer, other.byteOffset, other.byteLength),
    );
    if (same) continue;
    const at = row.findIndex((value, index) => value !== other[index]);
    assert.fail(`${what}: position ${position}, logit ${at}: ${row[at]} became ${other[at]}`);
  }
}

/**
 * Declares the tests: all architectures in these cases, over so many tokens (more than 60). Integer
 * caches are left to architectures whose heads they take.
 */
export function describeInvariance(cases: readonly InvarianceCase[], length: number): void {
  describe('batch invariance', () => {
    before(() => {
      assert.ok(nativeKernels().kernels, 'the native kernels are built (npm run setup)');
    });

    for (const architecture of textArchitectures) {
      for (const { type, cacheType } of cases) {
        // Rows that several heads share have no integer form, and asking for it is refused.
        const shared = forms[architecture]?.latent ?? forms[architecture]?.deepseek4;
        if (cacheType === GgmlType.I16 && shared !== undefined) continue;
        const count = Math.max(length, lengths[architecture] ?? 0);
        const tokens = Array.from({ length: count }, (_, index) => (index * 131 + 17) % 300);
        it(`${architecture} in ${typeName(type)}, cache ${typeName(cacheType)}`, async () => {
          const options = { architecture, type, layers: 2, seed: 5, ...forms[architecture] };
          await withRandomModel(options, async (path) => {
            let expected: Float32Array[] = [];
            {
              using runner = await Runner.open(path, { cacheType });
              expected = await runner.decode(tokens);
              for (const sizes of chunkings) {
                runner.state.truncate(0);
                assertSameBytes(
                  await runInChunks(runner, tokens, sizes),
                  expected,
                  `chunks of ${sizes}`,
                );
              }
              const back = runner.state.reachable(40);
              runner.state.truncate(back);
              const again = await runner.decode(tokens.slice(back));
              assertSameBytes(again, expected.slice(back), `after truncating to ${back}`);
            }
            using two = await Runner.open(path, { cacheType, threads: 2 });
            assertSameBytes(await two.decode(tokens), expected, 'two threads');
            const back = two.state.reachable(50);
            two.state.truncate(back);
            assertSameBytes(
              await two.decode(tokens.slice(back, back + 5)),
              expected.slice(back, back + 5),
              'two threads, 5 tokens',
            );
          });
        });
      }
    }
  });
}
