/** SmolLM3: Llama, of which every fourth layer knows no positions (NoPE, arXiv 2501.18795). */
import { type Decoder, decoder } from './decoder.js';
import { type Llama, llamaParts } from './llama.js';

const period = 4;

export const smollm3: Decoder = decoder({
  ...llamaParts,
  hyperparameters(m, common): Llama {
    const rotates = common.attention.map((_, layer) => (layer + 1) % period !== 0);
    return { ...llamaParts.hyperparameters(m, common), rotates };
  },
});
