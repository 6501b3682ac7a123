/** Batch invariance of every architecture in one type; `invariance.long.ts` has all of them. */
import { GgmlType } from '../../src/ggml/types.js';
import { describeInvariance } from './invariance-suite.js';

describeInvariance([{ type: GgmlType.Q4_0, cacheType: GgmlType.F16 }], 72);
