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
