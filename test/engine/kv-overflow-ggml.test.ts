/** Keys that are too large for a KV cache, where only ggml computes. */
import { overflowSuite } from './kv-overflow-suite.js';

process.env.PACELINE_CPU = 'ggml'; // read when the first model is loaded
overflowSuite('ggml alone', ['f32']);
