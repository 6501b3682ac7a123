/**
 * What a draft model may have been trained on in place of what it is shown here: rows a layer off, or rows
 * before the output norm. Each is tried, since a drafter that guesses better with other rows says by
 * that what it knows.
 */
import type { DrafterNeeds, DrafterSource, Observation } from '../../decode/drafter.js';
import type { Disguise } from './meter.js';

/** A likely mistake, and how to show the drafter what it would then expect. */
export interface Suspect {
  readonly name: 'taps-one-early' | 'taps-one-late' | 'before-output-norm';
  /** What it means when guesses are better with it. */
  readonly meaning: string;
  readonly hint: string;
  readonly disguise: Disguise;
}

/** Suspects for a drafter of a target with so many layers. */
export function suspectsFor({ needs }: DrafterSource, layers: number): Suspect[] {
  if (needs.taps !== undefined) {
    return [shifted(needs, -1, layers), shifted(needs, 1, layers)].filter(
      (suspect) => suspect !== undefined,
    );
  }
  if (needs.hidden !== true) return [];
  const { hidden: _, hiddenRows, ...rest } = needs;
  const window = hiddenRows ?? rest.window;
  return [
    {
      name: 'before-output-norm',
      meaning:
        'it was trained on rows before the target’s output norm, and is shown those after it',
      hint: 'Train on the rows that enter the head, as `paceline features` records them.',
      disguise: {
        needs: { ...rest, taps: [layers], ...(window === undefined ? {} : { window }) },
        show({ taps, ...observation }: Observation): Observation {
          return taps === undefined ? observation : { ...observation, hidden: taps };
        },
      },
    },
  ];
}

function shifted(needs: DrafterNeeds, by: 1 | -1, layers: number): Suspect | undefined {
  const taps = (needs.taps ?? []).map((tap) => tap + by);
  if (taps.some((tap) => tap < 1 || tap > layers)) return undefined;
  const [side, name] =
    by < 0 ? (['early', 'taps-one-early'] as const) : (['late', 'taps-one-late'] as const);
  return {
    name,
    meaning: `its taps are a layer too ${by < 0 ? 'high' : 'low'}: it knows the rows one layer ${side}`,
    hint: `Set dflash.target_layers to ${taps.join(', ')}: entry n is what layer n is given, counted from 0.`,
    disguise: { needs: { ...needs, taps }, show: (observation) => observation },
  };
}
