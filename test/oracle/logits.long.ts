/** Every architecture in every common type against libllama, with the kernels of this machine. */
import { GgmlType } from '../../src/ggml/types.js';
import { describeIntegerCaches, describeOracle, describePerturbations } from './suite.js';

const { F32, F16, Q8_0, Q4_0, Q4_K, Q6_K } = GgmlType;
describeOracle({ types: [F32, F16, Q8_0, Q4_0, Q4_K, Q6_K], extent: 'whole', own: true });
describeIntegerCaches('whole');
describePerturbations();
