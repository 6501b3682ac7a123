/** What a multi-token prediction block is to its drafter, whatever it is made of. */
import type { RowShape } from '../ggml/cache-rows.js';
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import type { SequenceSlice } from './model.js';

export interface MtpBatch {
  /** Token ids, I32 [T]. */
  readonly tokens: Tensor;
  /** Hidden rows of the positions before, F32 [hiddenLength, T]. */
  readonly hidden: Tensor;
  readonly positions: Tensor;
  /** Rows of the head's own cache. */
  readonly sequence: SequenceSlice;
  /** Row numbers whose logits are wanted, I32; undefined: all. */
  readonly outputs: Tensor | undefined;
  /** A row sees its own position and the `window - 1` before. */
  readonly window: number;
}

export interface MtpModel {
  /** Elements of a hidden row. */
  readonly hiddenLength: number;
  readonly vocabSize: number;
  readonly weightBytes: number;
  /** What the block keeps of a position: one layer. */
  readonly rows: readonly RowShape[];
  /** [vocabulary, outputs], and [hiddenLength, outputs] to go on from. */
  forward(graph: Graph, batch: MtpBatch): { readonly logits: Tensor; readonly hidden: Tensor };
  dispose(): void;
}
