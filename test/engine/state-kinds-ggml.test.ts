/** The same where only ggml computes. */
import { stateKindSuite } from './state-kind-suite.js';

process.env.PACELINE_CPU = 'ggml'; // read when the first model is loaded
stateKindSuite('a window, ggml alone', { architecture: 'gemma3', layers: 2, window: [24, 2] });
