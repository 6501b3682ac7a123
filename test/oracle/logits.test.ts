/** Every architecture in every common type against libllama, with the kernels of this machine. */
import { GgmlType } from '../../src/ggml/types.js';
import { describeIntegerCaches, describeOracle } from './suite.js';

const { F32, F16, Q8_0, Q4_0, Q4_K, Q6_K } = GgmlType;
describeOracle([F32, F16, Q8_0, Q4_0, Q4_K, Q6_K]);
describeIntegerCaches();
