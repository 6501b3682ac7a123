/** The same where our native library is missing: everything on ggml's own operations. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { nativeKernels } from '../../src/ggml/native/library.js';
import { GgmlType } from '../../src/ggml/types.js';
import { describeOracle } from './suite.js';

process.env.PACELINE_CPU = 'ggml'; // read when the first model is loaded

it('runs without native kernels', () => {
  assert.equal(nativeKernels().kernels, undefined);
});

describeOracle([GgmlType.F32, GgmlType.F16, GgmlType.Q4_K]);
