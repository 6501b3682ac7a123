/** Keys that are too large for a KV cache, with our kernels. */
import { overflowSuite } from './kv-overflow-suite.js';

overflowSuite('our kernels', ['f32', 'i16']);
