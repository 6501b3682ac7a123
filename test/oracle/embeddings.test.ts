import { GgmlType } from '../../src/ggml/types.js';
import { describeEmbeddings } from './embeddings-suite.js';

describeEmbeddings([GgmlType.F32]);
