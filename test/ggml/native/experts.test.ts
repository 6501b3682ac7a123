/** The mixture-of-experts product, byte for byte against the product with one matrix. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { GgmlType, typeName } from '../../../src/ggml/types.js';
import {
  forcePath,
  multiply,
  normals,
  Panels,
  quantizeActivations,
  randomRows,
  requireKernels,
  runOp,
} from './support.js';

const kernels = requireKernels();
const best = kernels.path;
const [k, n, experts, slots] = [256, 21, 6, 3];

function stack(
  type: GgmlType,
  seed: number,
): { panels: Panels[]; data: Uint8Array; bytes: number } {
  const panels = Array.from({ length: experts }, (_, e) => {
    return new Panels(kernels, type, k, n, randomRows(type, k, n, seed + e));
  });
  const bytes = kernels.functions.pl_panel_bytes(type, k, n);
  const data = new Uint8Array(bytes * experts);
  for (const [e, one] of panels.entries()) {
    data.set(one.bytes, e * bytes);
  }
  return { panels, data, bytes };
}

/** Ids [slots, tokens]: different in a token, some experts popular, some unused. */
function choose(tokens: number): Int32Array {
  return Int32Array.from({ length: tokens * slots }, (_, i) => {
    const token = Math.floor(i / slots);
    return ((i % slots) * 2 + (token % 3 === 0 ? 0 : token)) % (experts - 1);
  });
}

for (const path of kernels.paths) {
  describe(`path ${path}`, () => {
    before(() => forcePath(kernels, path));
    after(() => forcePath(kernels, best));

    for (const type of [
      GgmlType.Q4_0,
      GgmlType.Q4_K,
      GgmlType.Q6_K,
      GgmlType.MXFP4,
      GgmlType.IQ2_XXS,
      GgmlType.Q2_K,
      GgmlType.F16,
    ]) {
      test(`${typeName(type)}: each slot is the product with its expert`, () => {
        const { panels, data, bytes } = stack(type, 40);
        for (const tokens of [1, 2, 7, 50]) {
          for (const each of [1, slots]) {
            const x = normals(k * tokens * each, tokens);
            const ids = choose(tokens);
            const dst = new Float32Array(n * slots * tokens).fill(Number.NaN);
            for (const threads of [1, 2]) {
              runOp(
                kernels,
                'pl_op_moe',
                {
                  ...(type === GgmlType.F16
                    ? { x, x_stride: k * 4 }
                    : { act: quantizeActivations(kernels, x, k) }),
                  ...{ k, tokens, slots, act_rows: tokens * each, ids, ids_stride: slots * 4 },
                  ...{ experts, count: 1, panels0: data, type0: type, n0: n, bytes0: bytes },
                  ...{ dst, stride: n * 4 },
                },
                threads,
              );
              for (const [entry, expert] of ids.entries()) {
                const row = each === 1 ? Math.floor(entry / slots) : entry;
                const one = panels[expert];
                assert.ok(one);
                const expected = multiply(one, x.slice(row * k, (row + 1) * k));
                assert.deepEqual(dst.slice(entry * n, (entry + 1) * n), expected);
              }
            }
          }
        }
      });
    }

    test('gate and up in one pass, and numbers that are no experts', () => {
      const gate = stack(GgmlType.Q4_0, 1);
      const up = stack(GgmlType.Q8_0, 9);
      const tokens = 4;
      const x = normals(k * tokens, 2);
      const ids = choose(tokens);
      ids[1] = -1;
      ids[2] = experts;
      const dst = new Float32Array(n * slots * tokens).fill(Number.NaN);
      runOp(kernels, 'pl_op_moe', {
        ...{ act: quantizeActivations(kernels, x, k), k, tokens, slots, act_rows: tokens },
        ...{ ids, ids_stride: slots * 4, experts, count: 2, epilogue: 1 },
        ...{ panels0: gate.data, type0: GgmlType.Q4_0, n0: n, bytes0: gate.bytes },
        ...{ panels1: up.data, type1: GgmlType.Q8_0, n1: n, bytes1: up.bytes },
        ...{ dst, stride: n * 4 },
      });
      for (const [entry, expert] of ids.entries()) {
        const row = Math.floor(entry / slots);
        const [a, b] = [gate, up].map(({ panels }) => {
          const one = panels[expert];
          return one ? multiply(one, x.slice(row * k, (row + 1) * k)) : new Float32Array(n);
        });
        for (let i = 0; i < n; i++) {
          const g = a?.[i] ?? 0;
          const expected = (g / (1 + Math.exp(-g))) * (b?.[i] ?? 0);
          const got = dst[entry * n + i] ?? Number.NaN;
          assert.ok(
            Math.abs(got - expected) <= 1e-5 * (1 + Math.abs(expected)),
            `${entry}: ${got}`,
          );
        }
      }
    });

    test('products summed with weights, the same alone and beside others', () => {
      const wide = 150; // two pieces and a rest
      for (const tokens of [1, 2, 9]) {
        for (const residual of [undefined, normals(wide * tokens, 5)]) {
          const parts = normals(wide * slots * tokens, 3);
          const weights = normals(slots * tokens, 4);
          const sums = [1, 2, 3].map((threads) => {
            const dst = new Float32Array(wide * tokens).fill(Number.NaN);
            const added = residual ? { residual, residual_stride: wide * 4 } : {};
            const values = { parts, weights, n: wide, slots, tokens, ...added, dst };
            runOp(kernels, 'pl_op_expert_sum', values, threads);
            return dst;
          });
          for (const other of sums) assert.deepEqual(other, sums[0]);
          for (const [at, got] of sums[0]?.entries() ?? []) {
            const [token, column] = [Math.floor(at / wide), at % wide];
            let expected = residual?.[at] ?? 0;
            let size = Math.abs(expected);
            for (let slot = 0; slot < slots; slot++) {
              const entry = token * slots + slot;
              const term = (weights[entry] ?? 0) * (parts[entry * wide + column] ?? 0);
              expected += term;
              size += Math.abs(term);
            }
            assert.ok(Math.abs(got - expected) <= 3e-7 * size, `${at}: ${got}, not ${expected}`);
          }
          const last = (tokens - 1) * wide;
          const alone = new Float32Array(wide);
          runOp(kernels, 'pl_op_expert_sum', {
            ...{ parts: parts.slice(last * slots), weights: weights.slice((tokens - 1) * slots) },
            ...{ n: wide, slots, tokens: 1, dst: alone },
            ...(residual ? { residual: residual.slice(last), residual_stride: wide * 4 } : {}),
          });
          assert.deepEqual(alone, sums[0]?.slice(last));
        }
      }
    });
  });
}
