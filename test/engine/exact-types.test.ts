/** Types with codebooks, of one scale a block and of two, and one without. */
import { GgmlType } from '../../src/ggml/types.js';
import { exactTypesSuite } from './exact-types-suite.js';

exactTypesSuite('our kernels', [GgmlType.IQ2_XXS, GgmlType.IQ2_XS, GgmlType.IQ4_XS]);
