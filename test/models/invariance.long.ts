/**
 * Batch invariance of every architecture in each common type of weights, with a cache of halves, and
 * in some types also with one of integers: what the cache holds has little to do with the weights.
 */
import { GgmlType } from '../../src/ggml/types.js';
import { describeInvariance } from './invariance-suite.js';

const { F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q6_K, MXFP4, I16 } = GgmlType;
const types = [F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q6_K, MXFP4];
const cases = [
  ...types.map((type) => ({ type, cacheType: F16 })),
  ...[F32, Q4_0].map((type) => ({ type, cacheType: I16 })),
];
describeInvariance(cases, 150);
