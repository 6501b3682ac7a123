/** Every architecture in some types against libllama; `logits.long.ts` has all of them. */
import { GgmlType } from '../../src/ggml/types.js';
import { describeOracle } from './suite.js';

const { F32, Q4_K } = GgmlType;
describeOracle({ types: [F32, Q4_K], extent: 'short', own: true });
