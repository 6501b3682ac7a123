/**
 * Ministral 3 and its relatives: Llama with YaRN whose range and magnitude the file tells, and with
 * queries that grow slowly behind the context that the model was trained for.
 */
import { type Decoder, decoder } from './decoder.js';
import { type Llama, llamaParts } from './llama.js';
import { readRope } from './rope.js';

export const mistral3: Decoder = decoder({
  ...llamaParts,
  hyperparameters(m, common): Llama {
    const rope = readRope(m, common, 'interleaved', { tuned: true });
    const scale = m.number('attention.temperature_scale', 0);
    return {
      ...llamaParts.hyperparameters(m, common, rope),
      temperature: scale === 0 ? undefined : { scale, length: rope.originalContext },
    };
  },
});
