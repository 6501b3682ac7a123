/** What the controller remembers of one drafter: how often it was right, and what it cost. */
import { CostTable } from './costs.js';

const confidenceClasses = 16;
/** Positions beyond this are not told apart. */
const mostPositions = 64;

/** Share of right guesses, given that those before were right; recent ones weigh more. */
class Rate {
  hits = 0;
  tries = 0;

  /** @param memory tries that count. */
  constructor(readonly memory: number) {}

  add(hit: boolean): void {
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

/** @param idle tokens that count as waited already, so that first trials take turns. */
export function newRecord(name: string, maxDrafts: number, idle: number): DraftRecord {
  const positions = Math.min(maxDrafts, mostPositions);
  return {
    name,
    maxDrafts: positions,
    positions: Array.from({ length: positions }, () => new Rate(14)),
    classes: Array.from({ length: confidenceClasses }, () => new Rate(40)),
    costs: new CostTable(),
    steps: 0,
    trials: 0,
    drafted: 0,
    accepted: 0,
    trialInterval: 1,
    idle,
    rivalInterval: firstRivalInterval,
    unstretched: 0,
  };
}

/** Guesses of about the same confidence share one record. */
export function confidenceClass(confidence: number): number {
  return Math.max(0, Math.min(confidenceClasses - 1, Math.floor(confidence * confidenceClasses)));
}
