/**
 * A drafter that guesses nothing and keeps all that drafters are shown: the rows that enter the head,
 * and residual streams between layers. What it has is exactly what a draft model will be given here.
 */
import { PacelineError } from '../base/errors.js';
import type {
  Drafter,
  DrafterNeeds,
  DrafterSource,
  Observation,
  Proposal,
} from '../decode/drafter.js';
import type { FeatureRows } from '../decode/feature-rows.js';

/** The name under which it drafts. */
export const recorderName = 'recorder';

/** What was recorded of one text. */
export interface RecordedFeatures {
  /** [tokens, embedding], after the output norm. */
  readonly hidden: Float32Array;
  /** [tokens, taps * embedding]. */
  readonly taps: Float32Array;
}

/**
 * @param taps as in `DrafterNeeds`.
 * @returns a source for one text at a time, and what the last text was.
 */
export function recorderSource(taps: readonly number[]): DrafterSource & {
  take(): RecordedFeatures;
} {
  const needs: DrafterNeeds = { hidden: true, taps };
  let last: Recorder | undefined;
  return {
    name: recorderName,
    needs,
    maxDrafts: 1,
    open() {
      last = new Recorder(needs);
      return last;
    },
    take() {
      if (last === undefined) throw new PacelineError('internal', 'Nothing was recorded');
      return last.recorded();
    },
  };
}

class Recorder implements Drafter {
  readonly name = recorderName;
  readonly maxDrafts = 1;
  readonly needs: DrafterNeeds;
  length = 0;
  #hidden: Float32Array[] = [];
  #taps: Float32Array[] = [];

  constructor(needs: DrafterNeeds) {
    this.needs = needs;
  }

  get bytes(): number {
    return [...this.#hidden, ...this.#taps].reduce((sum, rows) => sum + rows.byteLength, 0);
  }

  observe({ position, tokens, hidden, taps }: Observation): void {
    if (position !== this.length) throw new PacelineError('internal', 'A gap in what is recorded');
    this.#hidden.push(rowsOf(hidden, tokens.length));
    this.#taps.push(rowsOf(taps, tokens.length));
    this.length += tokens.length;
  }

  propose(): Proposal {
    return { tokens: [] };
  }

  recorded(): RecordedFeatures {
    return { hidden: joined(this.#hidden), taps: joined(this.#taps) };
  }

  truncate(): boolean {
    return false;
  }

  snapshot(): Uint8Array {
    return new Uint8Array();
  }

  restore(): void {
    this.reset();
  }

  reset(): void {
    this.length = 0;
    this.#hidden = [];
    this.#taps = [];
  }

  fork(): Drafter {
    return new Recorder(this.needs);
  }

  dispose(): void {
    // What was recorded is taken after the text is gone.
  }
}

/** A copy, since the rows are only valid during the call. @throws `internal` where some are missing. */
function rowsOf(features: FeatureRows | undefined, tokens: number): Float32Array {
  if (features?.rows !== tokens) {
    throw new PacelineError('internal', `${features?.rows ?? 0} of ${tokens} rows were recorded`);
  }
  return features.data.slice(0, features.rows * features.width);
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
