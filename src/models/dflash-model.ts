/**
 * What a block drafter is to those who draft with it: DFlash, and what came of it, DSpark
 * (arXiv 2607.05147) and DFlash2. All fill a block in one pass over [last token, mask, mask, ...]; the
 * later ones then let each guess depend on the one before it.
 */
import type { RowShape } from '../ggml/cache-rows.js';
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import type { SequenceSlice } from './model.js';

export interface DflashContext {
  /** Tapped rows, concatenated in the order of `targetLayers`: F32 [embedding * taps, T]. */
  readonly features: Tensor;
  /** I32 [T]. */
  readonly positions: Tensor;
  readonly slice: SequenceSlice;
}

export interface DflashBlock {
  /** The last token and masks, I32 [B]. */
  readonly tokens: Tensor;
  readonly positions: Tensor;
  readonly slice: SequenceSlice;
  /** Rows that guess: `firstGuess` to B - 1, I32. */
  readonly outputs: Tensor;
  /** A row sees no more than the `window - 1` positions before its own. */
  readonly window: number;
}

/** What the rows of a block say. */
export interface DflashGuesses {
  /** [vocabulary, outputs]; raw where a link goes on from them. */
  readonly logits: Tensor;
  /** What a link reads besides: [embedding, outputs]. */
  readonly hidden: Tensor;
}

/** One guess as its link sees it. */
export interface LinkInput {
  /** The target's token before it, I32 [1]. */
  readonly token: Tensor;
  /** Its logits [vocabulary, 1]; with candidates, theirs alone [candidates, 1]. */
  readonly logits: Tensor;
  /** Its hidden row, [embedding, 1]. */
  readonly hidden: Tensor;
  /** The target's tokens that are rated, I32 [candidates]; empty where all are. */
  readonly candidates: Tensor | undefined;
}

/** What a guess takes from the one before it. */
export interface DflashLink {
  readonly kind: 'dspark' | 'dflash2';
  /** So many of the likeliest tokens are rated, the others ruled out; undefined: all are rated. */
  readonly candidates: number | undefined;
  /** Logits of the same tokens, and how likely the target takes the guess, [1], where there is a head for it. */
  next(
    graph: Graph,
    input: LinkInput,
  ): { readonly logits: Tensor; readonly confidence: Tensor | undefined };
}

export interface DflashModel {
  readonly embeddingLength: number;
  /** Rows of a block: the last token and masks. */
  readonly blockSize: number;
  /** The first row that guesses: 0 guesses what follows the last token, 1 what stands in its own place. */
  readonly firstGuess: 0 | 1;
  readonly maskToken: number;
  /** Taps: index i is the input of the target's layer i. */
  readonly targetLayers: readonly number[];
  /** The target's token for each logit, where the draft model knows only some of them. */
  readonly vocabulary: Int32Array | undefined;
  readonly targetVocabulary: number;
  readonly weightBytes: number;
  /** What the layers keep of a position. */
  readonly rows: readonly RowShape[];
  /** Undefined: guesses know nothing of each other. */
  readonly link: DflashLink | undefined;
  /** Stores keys and values of context rows; they depend on nothing but their own features. */
  inject(graph: Graph, context: DflashContext): void;
  /** What a block behind the context says. */
  guess(graph: Graph, block: DflashBlock): DflashGuesses;
  dispose(): void;
}

/** The layers of a block drafter, between what it shares with the others at both ends. */
export interface DflashLayers {
  readonly rows: readonly RowShape[];
  /** Stores keys and values of fused context rows [embedding, T]. */
  inject(graph: Graph, fused: Tensor, context: Omit<DflashContext, 'features'>): void;
  /** Embeddings [embedding, B] to the outputs' rows in front of the last norm, [embedding, outputs]. */
  run(graph: Graph, x: Tensor, block: DflashBlock): Tensor;
  /** Whether a confidence head reads these rows as they are; otherwise behind the last norm. */
  readonly ratesBeforeNorm: boolean;
}
