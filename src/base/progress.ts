/** Progress of long work, reported through one callback; who draws it is not known here. */

export interface Progress {
  /** What is going on, as a verb phrase: `loading weights`, `prefill`. */
  readonly task: string;
  /** Units done and in all; `unit` names them. */
  readonly done: number;
  readonly total: number;
  readonly unit: 'bytes' | 'tokens' | 'tensors' | 'steps';
}

export type OnProgress = (progress: Progress) => void;
