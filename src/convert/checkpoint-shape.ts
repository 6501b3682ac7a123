/** What a checkpoint's config says, as far as its conversion needs it. Types only. */
import type { GgufMetadataEntry } from '../gguf/types.js';
import type { EmoLayer } from './emo-checkpoint.js';
import type { PlannedTensor } from './planned-tensors.js';
import type { SafetensorsTensor } from './safetensors.js';

/** Sizes that naming and reordering of tensors need. */
export interface CheckpointShape {
  readonly architecture: string;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  /** 0 in dense models. */
  readonly experts: number;
  /** Of EMO: the networks of the layers. */
  readonly emo?: readonly EmoLayer[] | undefined;
  readonly vocabSize: number;
  /** The head is the token table. */
  readonly tied: boolean;
  /** Rows of the table of positions before the first that is used: RoBERTa's. */
  readonly positionOffset?: number;
  /** It has a classifier that ranks texts. */
  readonly ranks?: boolean;
}

export interface CheckpointHyperparameters {
  readonly shape: CheckpointShape;
  /** With the architecture's prefix. */
  readonly metadata: ReadonlyMap<string, GgufMetadataEntry>;
  /** Divisors of rotary frequencies that stand in the file as tensors (Llama 3, LongRoPE), by their names. */
  readonly ropeFactors: ReadonlyMap<string, Float32Array> | undefined;
  /** Of architectures that plan their tensors by themselves. */
  readonly plan?: (tensors: ReadonlyMap<string, SafetensorsTensor>) => CheckpointPlan;
}

/** What is written of a checkpoint's tensors. */
export interface CheckpointPlan {
  readonly planned: readonly PlannedTensor[];
  /** Multi-token prediction blocks behind the layers. Default 0. */
  readonly drafting?: number;
  /** Entries that only the tensors tell, with the architecture's prefix; they replace others. */
  readonly metadata?: ReadonlyMap<string, GgufMetadataEntry>;
}
