/**
 * What controllers remember: of one drafter how often it was right and what it cost, and of all texts
 * together what a new one begins with.
 */
import { CostTable } from './costs.js';

const confidenceClasses = 16;
/** What other texts have shown counts like so many tries in this one. */
const inheritedTries = 3;
/** Tokens before the first trial of a drafter that is known from other texts. */
const knownInterval = 16;
/** Tries that count, by position and by confidence. */
const positionMemory = 14;
const classMemory = 40;
/** Positions beyond this are not told apart. */
const mostPositions = 64;

/** Share of right guesses, given that those before were right; recent ones weigh more. */
class Rate {
  hits = 0;
  tries = 0;

  /**
   * @param memory tries that count.
   * @param all what was seen in all texts: begins with it, as if it were a few tries, and adds to it.
   */
  constructor(
    readonly memory: number,
    readonly all?: Rate | undefined,
  ) {
    if (all === undefined || all.tries === 0) return;
    this.tries = Math.min(all.tries, inheritedTries);
    this.hits = (all.hits / all.tries) * this.tries;
  }

  add(hit: boolean): void {
    this.all?.add(hit);
    const keep = 1 - 1 / this.memory;
    this.hits = this.hits * keep + (hit ? 1 : 0);
    this.tries = this.tries * keep + 1;
  }

  /** Estimate that leans on `prior` as on one more try, or on so many. */
  given(prior: number, weight = 1): number {
    return (this.hits + weight * prior) / (this.tries + weight);
  }
}

/** A drafter is tried beside the one in use after so many tokens at first. */
export const firstRivalInterval = 4;

export interface DraftRecord {
  readonly name: string;
  readonly maxDrafts: number;
  readonly positions: Rate[];
  readonly classes: Rate[];
  readonly costs: CostTable;
  steps: number;
  trials: number;
  drafted: number;
  accepted: number;
  /** Tokens between trials, and tokens since this drafter was last tried or used. */
  trialInterval: number;
  idle: number;
  /** Tokens between trials while another drafter is in use. */
  rivalInterval: number;
  /** Steps since its length was stretched. */
  unstretched: number;
}

/**
 * @param idle tokens that count as waited already, so that first trials take turns.
 * @param all the record of all texts, which a new text begins with and adds to.
 */
export function newRecord(
  name: string,
  maxDrafts: number,
  idle: number,
  all?: DraftRecord,
): DraftRecord {
  const known = all !== undefined && all.costs.measurements > 0;
  const positions = Math.min(maxDrafts, mostPositions);
  return {
    name,
    maxDrafts: positions,
    positions: Array.from(
      { length: positions },
      (_, at) => new Rate(positionMemory, all?.positions[at]),
    ),
    classes: Array.from(
      { length: confidenceClasses },
      (_, at) => new Rate(classMemory, all?.classes[at]),
    ),
    costs: all?.costs ?? new CostTable(),
    steps: 0,
    trials: 0,
    drafted: 0,
    accepted: 0,
    trialInterval: known ? knownInterval : 1,
    idle,
    rivalInterval: firstRivalInterval,
    unstretched: 0,
  };
}

/** Guesses of about the same confidence share one record. */
export function confidenceClass(confidence: number): number {
  return Math.max(0, Math.min(confidenceClasses - 1, Math.floor(confidence * confidenceClasses)));
}

/** Positions for which there is evidence. */
export function seenPositions(record: DraftRecord): number {
  return record.positions.findLastIndex((rate) => rate.tries > 0.5) + 1;
}

/** Chance of each guess by position: the next one is about as good as the one before. */
export function chancesOf(record: DraftRecord, count: number): number[] {
  const chances: number[] = [];
  let prior = 0.6;
  for (let i = 0; i < count; i++) {
    const chance = record.positions[i]?.given(prior) ?? 0;
    chances.push(chance);
    prior = chance * 0.97;
  }
  return chances;
}

/** Chance of a guess of which the drafter is so sure. */
export function chanceByConfidence(record: DraftRecord, sure = 0.5): number {
  return record.classes[confidenceClass(sure)]?.given(sure) ?? sure;
}

/** What all texts of a model have shown, for as long as it is loaded. */
export class DraftExperience {
  /** Times of target passes by rows. */
  readonly passes = new CostTable();
  readonly #records = new Map<string, DraftRecord>();
  /** Balance of the account at the end of the last step; undefined before the first. */
  balance: number | undefined;

  /** The record that a new text begins with. */
  recordFor(name: string, maxDrafts: number, index: number): DraftRecord {
    let all = this.#records.get(name);
    if (all === undefined || all.maxDrafts < Math.min(maxDrafts, mostPositions)) {
      all = newRecord(name, maxDrafts, 0);
      this.#records.set(name, all);
    }
    return newRecord(name, maxDrafts, index, all);
  }
}
