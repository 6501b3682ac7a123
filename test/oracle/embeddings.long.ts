import { GgmlType } from '../../src/ggml/types.js';
import { describeEmbeddings, describeVectorPerturbations } from './embeddings-suite.js';

const { F16, Q8_0, Q4_K } = GgmlType;

describeEmbeddings({ types: [F16, Q8_0, Q4_K], poolings: 'each' });
describeVectorPerturbations();
