/** Which drafters can be asked for; by itself, for flags that need the names and nothing else. */
import type { DraftKind } from './types.js';

/** The values of the option `draft`. */
export const draftKinds = [
  'auto',
  'none',
  'ngram',
  'mtp',
  'dflash',
] as const satisfies readonly DraftKind[];
