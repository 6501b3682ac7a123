/** The same where only ggml computes. */
import { GgmlType } from '../../src/ggml/types.js';
import { exactTypesSuite } from './exact-types-suite.js';

process.env.PACELINE_CPU = 'ggml'; // read when the first model is loaded
exactTypesSuite('ggml alone', [GgmlType.F16, GgmlType.IQ2_XXS, GgmlType.IQ4_XS]);
