import { GgmlType } from '../../src/ggml/types.js';
import { describeEmbeddings } from './embeddings-suite.js';

describeEmbeddings({ types: [GgmlType.F32], poolings: 'usual' });
