/** Where a model's logits are computed on a card: whether their largest are taken there. */
import { selects } from '../ggml/device-support.js';
import type { LoadedModel } from '../models/load.js';

/**
 * Whether so many of the largest of rows of `elements` can be taken beside the model's head; undefined where
 * that is the host, whose rows are read without a copy over a bus.
 */
export function topChoice(
  model: LoadedModel,
): ((elements: number, count: number) => boolean) | undefined {
  const card = model.placement.head;
  const named = (name: string) => model.weights.find((weight) => weight.name === name);
  const head = named('output.weight') ?? named('token_embd.weight');
  // A card that does not multiply with the head's type leaves it to the host.
  if (card === undefined || head?.storage.layout !== card.name) return undefined;
  const known = new Map<string, boolean>();
  return (elements, count) => {
    const key = `${elements} ${count}`;
    const found = known.get(key) ?? selects(card, elements, count);
    known.set(key, found);
    return found;
  };
}
