/**
 * Phi-3 and Phi-4 (arXiv 2404.14219, 2412.08905): Llama with q, k and v in one matrix, gate and up in
 * another, rotation of halves, perhaps of a part of each head, and LongRoPE in the long variants.
 *
 * As in llama.cpp, the window of some of these models is not applied: files tell its size, but not
 * truly which layers have it.
 */
import { type Decoder, decoder } from './decoder.js';
import { type Llama, llamaParts } from './llama.js';
import { readRope } from './rope.js';

export const phi3: Decoder = decoder({
  ...llamaParts,
  hyperparameters(m, common): Llama {
    const rope = readRope(m, common, 'halves');
    return { ...llamaParts.hyperparameters(m, common, rope), gateWithUp: true };
  },
  weights(loader, h, layer) {
    // Files have LongRoPE's factors without saying its name.
    const long = loader.find('rope_factors_long.weight') !== undefined;
    const rope = long ? ({ ...h.rope, scaling: 'longrope' } as const) : h.rope;
    return llamaParts.weights(loader, { ...h, rope }, layer);
  },
});
