/** ERNIE 4.5, the dense models: Llama. Those that see pictures rotate by three positions. */
import { type Decoder, decoder } from './decoder.js';
import { type Llama, llamaParts } from './llama.js';
import { refuseSections } from './rope.js';

export const ernie45: Decoder = decoder({
  ...llamaParts,
  hyperparameters(m, common): Llama {
    refuseSections(m);
    return llamaParts.hyperparameters(m, common);
  },
});
