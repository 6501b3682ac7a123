/** How well a scan found the planted fixes: of the model alone, of signals alone, and of both. */
import type { Finding } from '../rank.js';
import type { Label } from './repository.js';

export interface Quality {
  /** Commits that were called fixes, and how many of them are. */
  readonly said: number;
  readonly right: number;
  readonly precision: number;
  /** The share of all fixes that was found. */
  readonly recall: number;
  /** Mean of the precision at each fix of the ranking; chance gives about the share of fixes. */
  readonly averagePrecision: number;
  /** The share of fixes among as many of the best ranked as there are fixes. */
  readonly precisionAtFixes: number;
}

export interface Evaluation {
  readonly commits: number;
  readonly fixes: number;
  /** What a ranking by chance would have as its average precision. */
  readonly chance: number;
  readonly signals: Quality;
  /** Undefined where no model was asked. */
  readonly model?: Quality;
  readonly combined?: Quality;
  /** Of the fixes that the model found, the share of which it named the kind. */
  readonly kindsRight?: number;
  /** Commits that speak to a model, and how many of them were marked; others that were. */
  readonly injected: number;
  readonly marked: number;
  readonly markedWrongly: number;
}

/** @param threshold from which score on a commit is called a fix. */
export function evaluate(
  findings: readonly Finding[],
  labels: ReadonlyMap<string, Label>,
  threshold = 0.5,
): Evaluation {
  const rows = findings.map((finding) => ({
    finding,
    label: labels.get(finding.hash) ?? { kind: 'none' as const, injected: false },
  }));
  const fixes = rows.filter(({ label }) => label.kind !== 'none').length;
  const quality = (scoreOf: (finding: Finding) => number): Quality => {
    const ranked = rows
      .map(({ finding, label }) => ({ score: scoreOf(finding), isFix: label.kind !== 'none' }))
      // Of equals the fixes come last, so that a model which says one thing of all gets no credit.
      .sort((a, b) => b.score - a.score || Number(a.isFix) - Number(b.isFix));
    let found = 0;
    let sum = 0;
    for (const [index, { isFix }] of ranked.entries()) {
      if (!isFix) continue;
      found++;
      sum += found / (index + 1);
    }
    const said = ranked.filter(({ score }) => score >= threshold);
    const right = said.filter(({ isFix }) => isFix).length;
    return {
      said: said.length,
      right,
      precision: said.length === 0 ? 0 : right / said.length,
      recall: fixes === 0 ? 0 : right / fixes,
      averagePrecision: fixes === 0 ? 0 : sum / fixes,
      precisionAtFixes:
        fixes === 0 ? 0 : ranked.slice(0, fixes).filter(({ isFix }) => isFix).length / fixes,
    };
  };
  const asked = rows.some(({ finding }) => finding.answer !== undefined);
  const hits = rows.filter(({ finding, label }) => finding.answer?.fix && label.kind !== 'none');
  const named = hits.filter(({ finding, label }) => finding.answer?.kind === label.kind);
  const injected = rows.filter(({ label }) => label.injected);
  const isMarked = ({ finding }: (typeof rows)[number]): boolean => finding.injections.length > 0;
  return {
    commits: rows.length,
    fixes,
    chance: rows.length === 0 ? 0 : fixes / rows.length,
    signals: quality(({ score }) => score.signals),
    ...(asked
      ? {
          model: quality(({ score }) => score.model ?? 0),
          combined: quality(({ score }) => score.combined),
          kindsRight: hits.length === 0 ? 0 : named.length / hits.length,
        }
      : {}),
    injected: injected.length,
    marked: injected.filter(isMarked).length,
    markedWrongly: rows.filter((row) => !row.label.injected && isMarked(row)).length,
  };
}
