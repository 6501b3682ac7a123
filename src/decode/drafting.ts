/**
 * The drafters of one sequence at work: asks the controller, the drafters, and the clock, so that
 * an engine calls `next` before a pass of the target and `settle` after it. Knows no drafter's kind.
 */
import { PacelineError } from '../base/errors.js';
import type { Accepted } from './accept.js';
import { DraftController } from './controller.js';
import type { Plan } from './controller-types.js';
import type { DraftExperience } from './draft-record.js';
import type { DraftReport } from './draft-report.js';
import {
  type DraftContext,
  type Drafter,
  type DrafterNeeds,
  joinNeeds,
  type Observation,
  type Proposal,
} from './drafter.js';
import { columnsOf, type FeatureRows } from './feature-rows.js';

export interface DraftingOptions {
  /** The drafters that this sequence may use; empty for none. */
  readonly drafters: readonly Drafter[];
  /** `auto` chooses; a drafter's name always uses that one; `none` never drafts. */
  readonly mode: string;
  /** Most guesses at once, below what each drafter allows. */
  readonly draftMax?: number | undefined;
  /** What other texts of the model have shown; share one between its sequences. */
  readonly experience?: DraftExperience | undefined;
  /** Milliseconds; injected for tests. */
  readonly now?: (() => number) | undefined;
}

/** What other texts put into the same pass. */
export interface PassNeighbours {
  readonly otherRows?: number | undefined;
  /** Tokens that they are sure to get of it. */
  readonly otherTokens?: number | undefined;
}

/** Rows of a text's end that pay for being computed again. */
const refillRows = 48;

/** The name under which tokens of text that a constraint fixes are counted as drafts. */
export const constraintDrafts = 'constraint';

export interface Draft {
  /** Guesses to append to the last token's row; may be empty. */
  readonly tokens: readonly number[];
  /** Whose they are. */
  readonly drafter: string | undefined;
}

export interface DraftStatistics {
  /** Passes of the target while decoding. */
  readonly steps: number;
  readonly drafted: number;
  readonly accepted: number;
  /** Guesses used by drafter. */
  readonly byDrafter: Readonly<Record<string, { drafted: number; accepted: number }>>;
  /** Drafters that were given up, and why; the text goes on without them. */
  readonly failed?: Readonly<Record<string, string>>;
  /** Only with `auto`. */
  readonly controller?: DraftReport;
}

export class Drafting {
  /** What the target's passes must show; the union over the drafters. */
  readonly needs: DrafterNeeds;
  readonly #drafters: readonly Drafter[];
  readonly #controller: DraftController | undefined;
  readonly #draftMax: number;
  readonly #now: () => number;
  #steps = 0;
  readonly #byDrafter: Record<string, { drafted: number; accepted: number }> = {};
  readonly #failed = new Map<string, string>();
  readonly #forced: boolean;
  #pending: { draft: Draft; proposals: Map<string, Proposal>; draftMs: number } | undefined;

  /** @throws {PacelineError} `usage` when `mode` names a drafter that is not there. */
  constructor(options: DraftingOptions) {
    const { mode, drafters } = options;
    const auto = mode === 'auto';
    this.#forced = mode !== 'none';
    this.#drafters =
      mode === 'none' ? [] : drafters.filter((drafter) => auto || drafter.name === mode);
    if (!auto && mode !== 'none' && this.#drafters.length === 0) {
      const names = ['auto', 'none', ...drafters.map((drafter) => drafter.name)];
      throw new PacelineError('usage', `This model has no drafter "${mode}"`, {
        hint: `Choose one of ${names.join(', ')}, or give a draft model.`,
        details: { field: 'draft', available: names },
      });
    }
    this.needs = joinNeeds(this.#drafters.map((drafter) => drafter.needs));
    const { draftMax = Number.POSITIVE_INFINITY } = options;
    if (
      !(draftMax === Number.POSITIVE_INFINITY || Number.isSafeInteger(draftMax)) ||
      draftMax < 0
    ) {
      throw new PacelineError('usage', `draftMax must be a whole number, not ${draftMax}`, {
        hint: 'Give the most guesses at once, or leave it out.',
        details: { field: 'draftMax' },
      });
    }
    this.#draftMax = draftMax;
    this.#now = options.now ?? (() => performance.now());
    if (auto && this.#drafters.length > 0) {
      this.#controller = new DraftController(this.#drafters, options.experience);
    }
  }

  /** Tokens that every drafter has observed; they are always told the same. */
  get length(): number {
    return this.#drafters[0]?.length ?? 0;
  }

  get bytes(): number {
    return this.#drafters.reduce((sum, drafter) => sum + drafter.bytes, 0);
  }

  /**
   * Guesses for the next pass. `context.limit` is the most that are of use: token limit and
   * context left; the largest batch of the target.
   */
  async next(context: DraftContext, neighbours: PassNeighbours = {}): Promise<Draft> {
    const limit = Math.max(0, Math.min(context.limit, this.#draftMax));
    const proposals = new Map<string, Proposal>();
    const start = this.#now();
    const draft = await this.#choose({ ...context, limit }, neighbours, proposals);
    this.#pending = { draft, proposals, draftMs: this.#now() - start };
    return draft;
  }

  /**
   * Tells the outcome of the pass that the last `next` was for.
   * @param passMs duration of the target's pass alone.
   */
  settle(outcome: Accepted, passMs: number, neighbours: PassNeighbours = {}): void {
    const { draft, proposals, draftMs } = this.#pending ?? {
      draft: { tokens: [], drafter: undefined },
      proposals: new Map<string, Proposal>(),
      draftMs: 0,
    };
    this.#pending = undefined;
    const drafted = draft.tokens.length;
    this.#steps += 1;
    if (draft.drafter !== undefined && drafted > 0) {
      const sums = this.#byDrafter[draft.drafter] ?? { drafted: 0, accepted: 0 };
      this.#byDrafter[draft.drafter] = sums;
      sums.drafted += drafted;
      sums.accepted += outcome.accepted;
    }
    this.#controller?.settle({
      drafter: draft.drafter,
      drafted,
      accepted: outcome.accepted,
      emitted: outcome.tokens.map(({ token }) => token),
      passMs,
      draftMs,
      proposals,
      ...neighbours,
    });
  }

  /**
   * Tells every drafter what the target has run. With several drafters that read taps, `taps` has
   * the columns of `needs.taps`, and each drafter is given its own.
   */
  observe(observation: Observation): void {
    for (const drafter of this.#drafters) {
      drafter.observe(this.#shareOf(drafter.needs, observation));
    }
  }

  /**
   * Makes every drafter have observed exactly the first `length` tokens: cuts it back, or starts it
   * over where it cannot go back, and tells it what it missed, without hidden states.
   */
  align(tokens: ArrayLike<number>, length: number): void {
    for (const drafter of this.#drafters) {
      if (drafter.length > length && !drafter.truncate(length)) drafter.reset();
      const position = drafter.length;
      if (position === length) continue;
      drafter.observe({ position, tokens: Array.from(tokens).slice(position, length) });
    }
  }

  /**
   * How many of the last `length` tokens are worth computing again before `coming` others, since a
   * drafter was not there when they were: without their rows it guesses badly for as long as it looks
   * back.
   */
  missing(length: number, coming: number): number {
    const gaps = this.#drafters.map(({ needs, knownRows, length: seen }) => {
      if (knownRows === undefined) return 0;
      const most = Math.min(needs.hiddenRows ?? needs.window ?? refillRows, refillRows);
      const worth = Math.max(0, Math.min(most - coming, length));
      // What it has seen of a longer text does not count.
      const known = Math.max(0, Math.min(knownRows - Math.max(0, seen - length), length));
      return seen < length || known < worth / 2 ? worth : 0;
    });
    return Math.max(0, ...gaps);
  }

  reset(): void {
    for (const drafter of this.#drafters) drafter.reset();
  }

  dispose(): void {
    for (const drafter of this.#drafters) drafter.dispose();
  }

  statistics(): DraftStatistics {
    const sums = Object.values(this.#byDrafter);
    return {
      steps: this.#steps,
      drafted: sums.reduce((sum, { drafted }) => sum + drafted, 0),
      accepted: sums.reduce((sum, { accepted }) => sum + accepted, 0),
      byDrafter: structuredClone(this.#byDrafter),
      ...(this.#failed.size === 0 ? {} : { failed: Object.fromEntries(this.#failed) }),
      ...(this.#controller === undefined ? {} : { controller: this.#controller.report() }),
    };
  }

  async #choose(
    context: DraftContext,
    neighbours: PassNeighbours,
    proposals: Map<string, Proposal>,
  ): Promise<Draft> {
    const { chooser, limit } = context;
    if (this.#forced) {
      const forced = chooser.forced(limit);
      const known = forced.length > 0 ? forced : chooser.likely(limit);
      if (known.length > 0) return { tokens: known, drafter: constraintDrafts };
    }
    const draft = await this.#propose(context, neighbours, proposals);
    // A guess outside of the text's language costs a row and cannot be right.
    const count = chooser.allowed(draft.tokens);
    return count === draft.tokens.length
      ? draft
      : { ...draft, tokens: draft.tokens.slice(0, count) };
  }

  async #propose(
    context: DraftContext,
    neighbours: PassNeighbours,
    proposals: Map<string, Proposal>,
  ): Promise<Draft> {
    const controller = this.#controller;
    if (controller === undefined) {
      const drafter = this.#drafters[0];
      if (drafter === undefined) return { tokens: [], drafter: undefined };
      const { tokens } = await this.#guess(drafter, context);
      return { tokens, drafter: drafter.name };
    }
    const offers = new Map<string, Proposal>();
    for (const name of context.limit > 0 ? controller.askFirst() : []) {
      offers.set(name, await this.#ask(name, context, proposals));
    }
    const input = { limit: context.limit, offers, ...neighbours };
    const plan: Plan = controller.plan(input);
    if (plan.drafter === undefined) return { tokens: [], drafter: undefined };
    const offer = offers.get(plan.drafter);
    if (offer !== undefined) {
      return { tokens: offer.tokens.slice(0, plan.count), drafter: plan.drafter };
    }
    const proposal = await this.#ask(plan.drafter, { ...context, limit: plan.count }, proposals);
    const count = controller.trim(plan, proposal, input);
    return { tokens: proposal.tokens.slice(0, count), drafter: plan.drafter };
  }

  async #ask(
    name: string,
    context: DraftContext,
    proposals: Map<string, Proposal>,
  ): Promise<Proposal> {
    const drafter = this.#drafters.find((candidate) => candidate.name === name);
    if (drafter === undefined) throw new PacelineError('internal', `No drafter ${name}`);
    const start = this.#now();
    const proposal = await this.#guess(drafter, context);
    const asked = Math.min(context.limit, drafter.maxDrafts);
    this.#controller?.noteProposal(name, asked, this.#now() - start);
    proposals.set(name, proposal);
    return proposal;
  }

  /**
   * A drafter whose own logits are no numbers is given up: what it says is of no use, and never the
   * text's fault.
   */
  async #guess(drafter: Drafter, context: DraftContext): Promise<Proposal> {
    if (this.#failed.has(drafter.name)) return { tokens: [] };
    try {
      const answer = drafter.propose(context);
      return answer instanceof Promise ? await answer : answer;
    } catch (error) {
      if (!PacelineError.is(error) || error.code !== 'bad-weights') throw error;
      this.#failed.set(drafter.name, error.message);
      return { tokens: [] };
    }
  }

  #shareOf(needs: DrafterNeeds, observation: Observation): Observation {
    const { hidden, taps, ...rest } = observation;
    const columns = needs.taps === undefined ? undefined : this.#columns(needs.taps, taps);
    return {
      ...rest,
      ...(needs.hidden === true && hidden !== undefined ? { hidden } : {}),
      ...(columns === undefined ? {} : { taps: columns }),
    };
  }

  #columns(wanted: readonly number[], taps: FeatureRows | undefined): FeatureRows | undefined {
    const all = this.needs.taps ?? [];
    if (taps === undefined || all.join() === wanted.join()) return taps;
    return columnsOf(
      taps,
      wanted.map((tap) => all.indexOf(tap)),
      all.length,
    );
  }
}
