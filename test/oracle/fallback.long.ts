/** All types where our native library is missing. */
import { GgmlType } from '../../src/ggml/types.js';
import { describeOracle, withoutKernels } from './suite.js';

process.env.PACELINE_CPU = 'ggml'; // read when the first model is loaded

describeOracle({
  ...{ types: [GgmlType.F32, GgmlType.F16, GgmlType.Q4_K], extent: 'whole', own: true },
  architectures: withoutKernels,
});
