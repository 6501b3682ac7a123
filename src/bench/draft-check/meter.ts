/**
 * Counts how often a drafter's guesses are right, by position, and how large the rows are that it is
 * shown; and shows a drafter other rows than it asks for, to find out what it was trained on.
 */
import type {
  Drafter,
  DrafterNeeds,
  DrafterSource,
  Observation,
  Proposal,
} from '../../decode/drafter.js';
import type { FeatureRows } from '../../decode/feature-rows.js';

/** What was seen of one drafter over all texts. */
export class DraftMeter {
  /** By position: guesses whose predecessors were right, and those of them that were right too. */
  readonly tries: number[] = [];
  readonly hits: number[] = [];
  /** Times that guesses were asked for; to say nothing counts as a wrong first guess. */
  proposals = 0;
  #squares = 0;
  #values = 0;

  /** Of the rows shown; undefined where none were. */
  get rootMeanSquare(): number | undefined {
    return this.#values === 0 ? undefined : Math.sqrt(this.#squares / this.#values);
  }

  /** Share of right guesses by position, given that those before were right. */
  get acceptance(): number[] {
    return this.tries.map((tries, at) => (this.hits[at] ?? 0) / tries);
  }

  /** Right guesses of a proposal, on average. */
  get rightInARow(): number {
    const right = this.hits.reduce((sum, hits) => sum + hits, 0);
    return this.proposals === 0 ? 0 : right / this.proposals;
  }

  settle(guesses: number, right: number): void {
    this.proposals++;
    for (let at = 0; at < Math.min(Math.max(1, guesses), right + 1); at++) {
      this.tries[at] = (this.tries[at] ?? 0) + 1;
      this.hits[at] = (this.hits[at] ?? 0) + (at < right ? 1 : 0);
    }
  }

  look(rows: FeatureRows | undefined): void {
    if (rows === undefined) return;
    const values = rows.data.subarray(0, rows.rows * rows.width);
    for (const value of values) this.#squares += value * value;
    this.#values += values.length;
  }
}

/** How a drafter is misled: what is asked for in its name, and what it is told. */
export interface Disguise {
  readonly needs: DrafterNeeds;
  show(observation: Observation): Observation;
}

/** `source`, metered, and perhaps shown other rows. */
export function metered(
  source: DrafterSource,
  meter: DraftMeter,
  disguise?: Disguise,
): DrafterSource {
  const needs = disguise?.needs ?? source.needs;
  const { name, maxDrafts } = source;
  return { name, maxDrafts, needs, open: () => new Metered(source.open(), meter, needs, disguise) };
}

class Metered implements Drafter {
  /** Of the last proposal, until its outcome is known. */
  #guessed: number | undefined;

  constructor(
    private readonly inner: Drafter,
    private readonly meter: DraftMeter,
    readonly needs: DrafterNeeds,
    private readonly disguise: Disguise | undefined,
  ) {}

  get name(): string {
    return this.inner.name;
  }

  get maxDrafts(): number {
    return this.inner.maxDrafts;
  }

  get length(): number {
    return this.inner.length;
  }

  get bytes(): number {
    return this.inner.bytes;
  }

  observe(observation: Observation): void {
    if (this.#guessed !== undefined) {
      // The last token of the text, and the guesses that were right.
      this.meter.settle(this.#guessed, Math.min(this.#guessed, observation.tokens.length - 1));
      this.#guessed = undefined;
    }
    const shown = this.disguise?.show(observation) ?? observation;
    this.meter.look(shown.hidden ?? shown.taps);
    this.inner.observe(shown);
  }

  async propose(context: Parameters<Drafter['propose']>[0]): Promise<Proposal> {
    const proposal = await this.inner.propose(context);
    if (context.limit > 0) this.#guessed = proposal.tokens.length;
    return proposal;
  }

  truncate(length: number): boolean {
    return this.inner.truncate(length);
  }

  snapshot(): Uint8Array {
    return this.inner.snapshot();
  }

  restore(bytes: Uint8Array): void {
    this.inner.restore(bytes);
  }

  reset(): void {
    this.inner.reset();
  }

  fork(): Drafter {
    return new Metered(this.inner.fork(), this.meter, this.needs, this.disguise);
  }

  dispose(): void {
    this.inner.dispose();
  }
}
