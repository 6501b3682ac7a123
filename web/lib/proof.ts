/** A proof while its lines come. */
import type { ProofLine } from '../data/bodies.js';

export interface ProofWay {
  readonly tokens: readonly {
    readonly id: number;
    readonly text: string;
    readonly drafter?: string;
  }[];
  readonly end: Extract<ProofLine, { type: 'way-end' }> | undefined;
}

export interface ProofState {
  readonly plain: ProofWay;
  readonly drafted: ProofWay;
  readonly verdict: Extract<ProofLine, { type: 'verdict' }> | undefined;
  readonly error: string | undefined;
}

export const emptyProof: ProofState = {
  plain: { tokens: [], end: undefined },
  drafted: { tokens: [], end: undefined },
  verdict: undefined,
  error: undefined,
};

/** The proof after one more line. */
export function taken(proof: ProofState, line: ProofLine): ProofState {
  switch (line.type) {
    case 'tokens': {
      const way = proof[line.way];
      return { ...proof, [line.way]: { ...way, tokens: [...way.tokens, ...line.tokens] } };
    }
    case 'way-end':
      return { ...proof, [line.way]: { ...proof[line.way], end: line } };
    case 'verdict':
      return { ...proof, verdict: line };
    case 'error':
      return { ...proof, error: line.error.message };
  }
}
