/**
 * Colours and line patterns of drafters. Told apart by the colour-blind too: the hues are Okabe and
 * Ito's (jfly.uni-koeln.de/color), and every drafter has a pattern of its own under its tokens.
 */
import type { Run } from './runs.js';

export interface LegendEntry {
  /** The drafter, as the server calls it. */
  readonly drafter: string;
  readonly title: string;
  readonly explanation: string;
  /** How its tokens are underlined, in words. */
  readonly pattern: string;
}

export const legend: readonly LegendEntry[] = [
  {
    drafter: 'ngram',
    title: 'n-gram',
    explanation: 'looked up in what the text said before',
    pattern: 'solid line',
  },
  {
    drafter: 'mtp',
    title: 'MTP',
    explanation: 'guessed by the model’s own prediction block',
    pattern: 'dotted line',
  },
  {
    drafter: 'dflash',
    title: 'DFlash',
    explanation: 'guessed by a small diffusion model',
    pattern: 'dashed line',
  },
  {
    drafter: 'constraint',
    title: 'constraint',
    explanation: 'fixed by the format that the text must keep',
    pattern: 'double line',
  },
];

/** The class of a token's mark; undefined for tokens without one. */
export function runClass({ drafter, wrong, typed }: Run): string | undefined {
  if (typed) return 'run-typed';
  const known = legend.some((entry) => entry.drafter === drafter);
  const guessed = drafter === undefined ? undefined : `run-${known ? drafter : 'other'}`;
  return wrong === undefined ? guessed : [guessed, 'run-wrong'].filter(Boolean).join(' ');
}

/** What a token's mark means, for its tooltip. */
export function runTitle({ drafter, wrong }: Run): string | undefined {
  const name = (id: string): string => legend.find((entry) => entry.drafter === id)?.title ?? id;
  if (drafter !== undefined) return `guessed by ${name(drafter)}`;
  if (wrong === undefined) return undefined;
  return `${name(wrong.drafter)} guessed ${JSON.stringify(wrong.text)}, which was wrong`;
}
