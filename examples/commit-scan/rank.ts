/** From signals and the model's answer to one number, with what it is made of. */
import type { Commit } from './commit.js';
import type { Answer } from './prompt.js';
import { logOddsOf, type Signal } from './signals.js';

export interface Score {
  /** 0 to 1, of signals alone. */
  readonly signals: number;
  /** 0 to 1, of the model alone; undefined without an answer. */
  readonly model?: number;
  /** 0 to 1, of both. */
  readonly combined: number;
}

/** What the scan found out about one commit; a line of the journal. */
export interface Finding extends Pick<Commit, 'hash' | 'time' | 'author' | 'added' | 'removed'> {
  readonly subject: string;
  readonly files: readonly string[];
  readonly fileCount: number;
  readonly answer?: Answer;
  readonly failure?: string;
  readonly signals: readonly Signal[];
  /** What in the commit speaks to a model. */
  readonly injections: readonly string[];
  readonly cut: boolean;
  readonly oddEncoding: boolean;
  readonly score: Score;
}

/** A model that is sure moves the odds by this much (in log-odds) times its weight. */
const surest = 4;

/**
 * The score. Where a commit speaks to models, the answer can only raise it: a sentence in a message
 * must not be what hides a commit.
 * @param weight how much the model's answer counts, 0 to 1.
 */
export function scoreOf(
  signals: readonly Signal[],
  answer: Answer | undefined,
  { weight, injected }: { readonly weight: number; readonly injected: boolean },
): Score {
  const alone = logOddsOf(signals);
  if (answer === undefined) return { signals: share(alone), combined: share(alone) };
  const sure = answer.confidence / 100;
  const opinion = surest * (answer.fix ? sure : -sure);
  const moved = weight * (injected ? Math.max(0, opinion) : opinion);
  return { signals: share(alone), model: share(opinion), combined: share(alone + moved) };
}

function share(logOdds: number): number {
  return 1 / (1 + Math.exp(-logOdds));
}

/** The best of many, without keeping the rest. */
export class Top {
  readonly #limit: number;
  #findings: Finding[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Best first; of equals the newer first. */
  get findings(): readonly Finding[] {
    this.#shrink();
    return this.#findings;
  }

  add(finding: Finding): void {
    this.#findings.push(finding);
    if (this.#findings.length >= 2 * this.#limit) this.#shrink();
  }

  #shrink(): void {
    this.#findings.sort(
      (a, b) =>
        b.score.combined - a.score.combined || b.time - a.time || a.hash.localeCompare(b.hash),
    );
    this.#findings = this.#findings.slice(0, this.#limit);
  }
}
