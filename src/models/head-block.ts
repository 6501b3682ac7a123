/** One block of an architecture as the only layer of a multi-token prediction head. */
import type { Tensor } from '../ggml/tensor.js';
import type { Stream } from './layers.js';
import type { Metadata } from './metadata.js';
import type { AttentionShape, Hyperparameters } from './model.js';
import type { WeightLoader } from './weights.js';

export interface HeadBlock {
  readonly attention: AttentionShape;
  /** x [embedding, T] through the block; a row sees its own position and the `window - 1` before. */
  run(stream: Stream, x: Tensor, window: number): Tensor;
}

/** Declares block `layer` of a file whose hyperparameters are `common`, heads included. */
export type DeclareHeadBlock = (
  metadata: Metadata,
  common: Hyperparameters,
  loader: WeightLoader,
  layer: number,
) => HeadBlock;

/** The parts of an architecture whose block can be a head. */
interface BlockParts<H, B> {
  readonly hyperparameters: (metadata: Metadata, common: Hyperparameters) => H;
  readonly weights: (loader: WeightLoader, h: H, layer: number) => B;
  readonly block: (
    stream: Stream,
    h: H & { readonly window: number },
    weights: B,
    x: Tensor,
    layer: number,
  ) => Tensor;
}

/** A head of an architecture's usual block, which sees no farther back than the window. */
export function headBlock<H extends Hyperparameters, B>(parts: BlockParts<H, B>): DeclareHeadBlock {
  return (metadata, common, loader, layer) => {
    const h = parts.hyperparameters(metadata, common);
    const weights = parts.weights(loader, h, layer);
    const attention = h.attention[layer] as AttentionShape;
    const single = { ...h, layerCount: 1, attention: [attention] };
    return {
      attention,
      run: (stream, x, window) => parts.block(stream, { ...single, window }, weights, x, 0),
    };
  };
}
