/** What a scan says at its end, as JSON: the ranking, and what it cost. */
import type { Finding } from './rank.js';
import type { Scan } from './scan.js';

/** Of 1,000 commits. */
export interface Cost {
  /** Undefined: nothing was new in this run. */
  readonly seconds?: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly answerTokens: number;
}

export interface Report extends Pick<Scan, 'model'> {
  readonly repository: string;
  readonly range: string;
  readonly commits: number;
  readonly answered: number;
  readonly failed: number;
  readonly injected: number;
  readonly cut: number;
  /** Of guessed tokens, the share that was right; undefined where nothing was guessed. */
  readonly acceptedShare?: number;
  readonly per1000Commits: Cost;
  /** Best first. */
  readonly findings: readonly Finding[];
}

/** The report of a scan. */
export function reportOf(
  { model, totals, findings }: Scan,
  { repository, range }: { readonly repository: string; readonly range: string },
): Report {
  const { commits, answered, failed, injected, cut, resumed, tokens, ms } = totals;
  const per1000 = (value: number, count: number): number => Math.round((1000 * value) / count);
  const fresh = commits - resumed;
  const counted = Math.max(1, commits);
  return {
    ...{ repository, range, model, commits, answered, failed, injected, cut },
    ...(tokens.drafted > 0 ? { acceptedShare: tokens.accepted / tokens.drafted } : {}),
    per1000Commits: {
      ...(fresh > 0 ? { seconds: per1000(ms / 1000, fresh) } : {}),
      promptTokens: per1000(tokens.prompt, counted),
      cachedTokens: per1000(tokens.cached, counted),
      answerTokens: per1000(tokens.answer, counted),
    },
    findings,
  };
}
