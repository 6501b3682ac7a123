/** Types that ggml multiplies beside our kernels, and one of our own. */
import { GgmlType } from '../../src/ggml/types.js';
import { exactTypesSuite } from './exact-types-suite.js';

exactTypesSuite('our kernels', [GgmlType.IQ2_XXS, GgmlType.IQ3_S, GgmlType.IQ4_XS]);
