/** Guessing token after token: each follows from the logits that the one before leads to. */
import type { Chooser } from './chooser.js';
import type { Proposal } from './drafter.js';
import { type Logits, probabilityOf } from './top-row.js';

export interface TurnOptions {
  /** Of the text; a fork of it chooses, as the target will. */
  readonly chooser: Chooser;
  /** Most guesses. */
  readonly most: number;
  /** Logits of the first guess. */
  readonly logits: Logits;
  /** Logits of what follows the guess at this position. */
  readonly next: (token: number, position: number) => Promise<Logits>;
}

/** Guessing ends when all guesses together are less likely to be right than this. */
const leastChance = 0.1;

/** At most `most` guesses; fewer when they become unlikely, or nothing may follow. */
export async function guessInTurn({ chooser, most, logits, next }: TurnOptions): Promise<Proposal> {
  const ahead = chooser.fork();
  const tokens: number[] = [];
  const confidence: number[] = [];
  let chance = 1;
  for (let row = logits; ; ) {
    const position = ahead.length;
    const token = ahead.guess(row);
    if (token === undefined) break;
    const sure = probabilityOf(row, token);
    tokens.push(token);
    confidence.push(sure);
    ahead.accept(token);
    chance *= sure;
    if (tokens.length >= most || chance < leastChance) break;
    row = await next(token, position);
  }
  return { tokens, confidence };
}
