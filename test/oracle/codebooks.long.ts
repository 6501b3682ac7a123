/** Types with codebooks, which take long to quantise, against libllama. */
import { GgmlType } from '../../src/ggml/types.js';
import { describeTypes } from './suite.js';

const { IQ1_M, IQ1_S, IQ2_S, IQ2_XS, IQ2_XXS, IQ3_S, IQ3_XXS } = GgmlType;
describeTypes([IQ1_M, IQ1_S, IQ2_S, IQ2_XS, IQ2_XXS, IQ3_S, IQ3_XXS], 'qwen3');
