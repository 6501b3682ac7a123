/** What texts use of a model's experts, side by side. */
import type { LayerUse } from './meter.js';

/** What a text uses. */
export interface ExpertStatistics {
  readonly name: string;
  readonly tokens: number;
  readonly layers: readonly LayerUse[];
}

/** How alike two texts are. */
export interface Likeness {
  readonly first: string;
  readonly second: string;
  /** Of all layers. */
  readonly mean: number;
  /** The cosine between the mean probabilities of a layer's experts. */
  readonly layers: readonly { readonly layer: number; readonly cosine: number }[];
}

/** Every pair of texts. */
export function compareUses(texts: readonly ExpertStatistics[]): readonly Likeness[] {
  return texts.flatMap((first, at) =>
    texts.slice(at + 1).map((second) => {
      const layers = first.layers.map(({ layer, mass }, index) => ({
        layer,
        cosine: cosine(mass, (second.layers[index] as LayerUse).mass),
      }));
      const mean = layers.reduce((sum, one) => sum + one.cosine, 0) / layers.length;
      return { first: first.name, second: second.name, mean, layers };
    }),
  );
}

function cosine(a: Float64Array, b: Float64Array): number {
  let [dot, aa, bb] = [0, 0, 0];
  for (const [at, value] of a.entries()) {
    dot += value * (b[at] as number);
    aa += value ** 2;
    bb += (b[at] as number) ** 2;
  }
  return dot / Math.sqrt(aa * bb);
}

/** How many experts take this share of a layer's probability. */
export function expertsFor(share: number, { mass }: LayerUse): number {
  const sorted = Float64Array.from(mass).sort().reverse();
  let sum = 0;
  for (const [at, value] of sorted.entries()) {
    sum += value;
    if (sum >= share - 1e-12) return at + 1;
  }
  return sorted.length;
}
