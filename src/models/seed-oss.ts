/**
 * Seed-OSS: Llama with biases on q, k and v and rotation of halves; files call the norm before the
 * network `post_attention_norm`.
 */
import { type Decoder, decoder } from './decoder.js';
import { type Llama, llamaParts } from './llama.js';
import { readRope } from './rope.js';

export const seedOss: Decoder = decoder({
  ...llamaParts,
  hyperparameters(m, common): Llama {
    const rope = readRope(m, common, 'halves');
    const networkNorm = 'post_attention_norm';
    return { ...llamaParts.hyperparameters(m, common, rope), networkNorm };
  },
});
