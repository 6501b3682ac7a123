/** What a made-up model is: its sizes, and the tensors that follow from them. Knows no architecture. */

/** Sizes of a model. Lengths count elements. */
export interface ModelShape {
  readonly architecture: string;
  readonly layers: number;
  readonly embedding: number;
  /** Width of the feed-forward network, or of each expert. */
  readonly inner: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocab: number;
  readonly context: number;
  readonly ropeBase: number;
  readonly epsilon: number;
  /** Whether the head uses the embedding's weights. */
  readonly tied: boolean;
  /** Experts and how many a token uses; some architectures only become mixtures with it. */
  readonly experts?: readonly [count: number, used: number] | undefined;
  /** Layers before the first with experts, and how many shared experts these have. */
  readonly leadingDense?: number;
  readonly sharedExperts?: number;
  /** q, k and v as one matrix. */
  readonly fused?: boolean;
  /** Biases on every projection that may have one (llama). */
  readonly biases?: boolean;
  /** Llama 3's tensor of frequency divisors, or the two of LongRoPE. */
  readonly ropeFactors?: boolean | 'long and short';
  /** Sliding window and its pattern: of so many layers the last sees everything. */
  readonly window?: readonly [size: number, pattern: number];
  /** Widths of latent attention: of the row that is kept, of what queries are made of, of the
   * rotated part of a head. */
  readonly latent?: { readonly kv: number; readonly query: number; readonly rotated: number };
  /** What only Gemma 4 has. */
  readonly gemma4?: Gemma4Form;
  /** What only encoders of BERT's kind have. */
  readonly bert?: BertForm;
  /** Projections behind EmbeddingGemma: the width between them. */
  readonly projected?: number;
  /** Classes of a model that ranks; `dense`: behind another projection of the same width. */
  readonly classes?: { readonly count: number; readonly dense?: boolean };
  /** Rows that LFM2's convolutions cover; every so many layers one with attention. */
  readonly convolutions?: { readonly kernel: number; readonly interval: number };
  /** What only Qwen3.5 has. */
  readonly qwen35?: Qwen35Form;
  /** What only DeepSeek V4 has. */
  readonly deepseek4?: DeepSeek4Form;
  /** Of the layers, blocks at the end that predict further tokens (Qwen3.5, DeepSeek V4). */
  readonly nextn?: number;
}

/** The layers of linear attention of Qwen3.5, and its rotation. */
export interface Qwen35Form {
  readonly keyHeads: number;
  readonly valueHeads: number;
  readonly headLength: number;
  readonly kernel: number;
  /** Every so many layers one with attention over all positions. */
  readonly interval: number;
  /** Elements of a head that are rotated. */
  readonly rotated: number;
  /** Width of the expert for every row. */
  readonly sharedInner?: number;
}

/** The attention and the routing of DeepSeek V4. */
export interface DeepSeek4Form {
  /** Width of what queries are made of. */
  readonly queryRank: number;
  /** Elements of a head that are rotated. */
  readonly rotated: number;
  readonly window: number;
  /** Positions of a block (0, 4 or 128) of the first layers, and again of those behind them. */
  readonly ratios: readonly number[];
  readonly index: {
    readonly heads: number;
    readonly keyLength: number;
    readonly most: number;
  };
  readonly outputGroups: number;
  readonly outputRank: number;
  /** Layers at the beginning whose experts a token's number chooses. */
  readonly hashed: number;
  /** What experts' gates are limited to. */
  readonly limit: number;
}

/** The forms of BERT's kind. */
export interface BertForm {
  /** Every so many layers one with experts, beginning with the second. */
  readonly expertsEvery?: number;
  /** Jina's: norms of all queries and all keys, and one more behind the attention. */
  readonly moreNorms?: boolean;
  /** Jina's: the gate is part of `ffn_up` (true), a matrix of its own (false), or missing. */
  readonly gateWithUp?: boolean;
}

/** The forms of Gemma 4; all may be combined. */
export interface Gemma4Form {
  /** Heads of the layers with a window; default: half of the others'. */
  readonly windowHeadDim?: number;
  /** KV heads of the layers that see everything; default: as the others. */
  readonly fullKvHeads?: number;
  /** Last layers that read the rows of an earlier one, and have networks twice as wide. */
  readonly shared?: number;
  /** Width of each layer's own embeddings. */
  readonly perLayer?: number;
  /** Layers that see everything have no matrix for values. */
  readonly rawValues?: boolean;
  /** Width of the experts, whose gate and up are one tensor or two. */
  readonly expertInner?: number;
  readonly together?: boolean;
}

/** What a matrix is for, as far as mixes of types go by it. */
export type MatrixRole = 'value' | 'down' | 'embedding' | 'output' | 'other';

/** A tensor to be made. */
export interface TensorPlan {
  readonly name: string;
  readonly shape: readonly number[];
  /** Matrices have the type that is asked for, numbers are I32, all else is F32. */
  readonly kind: 'matrix' | 'router' | 'norm' | 'bias' | 'divisors' | 'decay' | 'numbers';
  /** Of matrices; `other` elsewhere. */
  readonly role: MatrixRole;
  readonly layer: number;
  /**
   * Of matrices and routers: the standard deviation of values, times the root of a row's length. Of
   * norms: their mean. Of biases: a factor. Of divisors: by how much each is larger than the one before.
   * Of numbers: what all are below.
   */
  readonly gain: number;
}

type Make = (
  name: string,
  shape: readonly number[],
  gain?: number,
  role?: MatrixRole,
) => TensorPlan;

/** Makers of the tensors of a layer, by their kind. */
export function makers(layer: number) {
  const of =
    (kind: TensorPlan['kind']): Make =>
    (name, shape, gain = 1, role = 'other') => ({ name, shape, kind, role, layer, gain });
  return {
    matrix: of('matrix'),
    router: of('router'),
    norm: of('norm'),
    bias: of('bias'),
    divisors: of('divisors'),
    decay: of('decay'),
    numbers: of('numbers'),
  };
}

/** Whole numbers below `below`, in each row different ones as long as there are enough. */
export function numbersOf([count = 1, ...rows]: readonly number[], below: number): Int32Array {
  const total = rows.reduce((product, n) => product * n, 1);
  return Int32Array.from({ length: count * total }, (_, at) => {
    const row = Math.floor(at / count);
    return (((row * 7919) >> 3) + (at % count)) % below;
  });
}

/** For each layer whether it has the window: all but the last of each `pattern` layers. */
export function slidingLayers({ layers, window }: ModelShape): boolean[] {
  const [, pattern] = window ?? [0, 1];
  return Array.from({ length: layers }, (_, layer) => layer % pattern < pattern - 1);
}
