/** The answer or continuation whose numbers are looked at. */
import type { Run } from '../lib/runs.js';
import type { TurnReport } from '../lib/tree.js';
import type { LiveAnswer } from '../state/live.js';
import { current, lives, watchedTurn } from '../state/store.js';

export interface Watched {
  readonly report: TurnReport;
  readonly runs: readonly Run[];
  readonly live: LiveAnswer | undefined;
}

/** Read while something is drawn, so that it is drawn again when this changes. */
export function watched(): Watched | undefined {
  const conversation = current.value;
  if (conversation === undefined) return undefined;
  const { kind, id, draft } = conversation;
  const turn = kind === 'chat' ? watchedTurn.value : undefined;
  const live = lives.value.get(kind === 'chat' ? (turn?.id ?? '') : id);
  live?.frame.value;
  const stored = kind === 'chat' ? turn : draft;
  const report = live?.report ?? stored?.report;
  if (report === undefined) return undefined;
  return { report, runs: live?.runs.runs ?? stored?.runs ?? [], live };
}
