/**
 * Whether to draft, with which drafter, and how far: for the most tokens a second, at a loss that
 * is bounded whatever the text.
 *
 * The bound is an account. Its unit is the time of one plain token. Every token of the text pays in
 * `allowance`; every step with a draft pays out what it took longer than plain decoding of the same
 * tokens (or pays in, when it was faster); the balance never exceeds `reserve`, so that old gains
 * cannot be spent. A step is drafted only if the balance covers it even when every guess fails. So
 * n tokens take at most n + reserve + allowance * n plain tokens' time, 2.4% more over 2,000, for any
 * text, as far as the costs of passes are estimated right: outliers (another process took the core)
 * are charged at a cap, so that they don't end drafting, and what exceeds it is not accounted for.
 * Texts of one model hand on the balance and what they learnt, so that many short ones lose no more
 * than one long one, and gain from their first tokens on.
 *
 * A pure policy: times come in as numbers, tokens as counts. Knows no model and no clock.
 */
import type { Plan, PlanInput, StepResult } from './controller-types.js';
import type { CostTable } from './costs.js';
import {
  chanceByConfidence,
  chancesOf,
  confidenceClass,
  DraftExperience,
  type DraftRecord,
  firstRivalInterval,
  seenPositions,
} from './draft-record.js';
import type { DraftChange, DraftReport } from './draft-report.js';
import type { Proposal } from './drafter.js';

const allowance = 0.02;
const reserve = 8;
/** A text that follows others begins with their balance, but with so much at least. */
const firstBalance = 1;
/** The balance falls no lower, whatever was measured; reached through outliers only. */
const deepest = -4;
/** A drafter must promise this much more tokens a second than plain decoding. */
const margin = 1.02;
/** A proposal this cheap (in plain tokens' time) is asked for first and weighed in hand. */
const freeCost = 0.01;
/** Trials of a drafter that fails become rarer, until they cost this share of all time. */
const trialShare = 0.003;
const rarestTrial = 2048;
/** Guesses of a trial: this many, or fewer where they would cost more plain tokens' time. */
const trialLength = 3;
const trialCost = 0.4;
/** Steps of the drafter in use before others are tried beside it: only then is it known. */
const rivalStart = 4;
/** How much faster than it another must be hoped to be. */
const rivalMargin = 1.05;
/** Tokens after which a drafter's failures count for so much less as one right guess would make. */
const forgetting = 128;
/** No guess is hoped to be right more often. */
const mostHope = 0.95;
/** Trials of a drafter beside the one in use before they become rarer. */
const rivalTrials = 4;
const rarestRival = 256;
/** What such a trial must leave of the account, so that it ends no drafting. */
const rivalReserve = 2;
/** Steps with a draft after which one without measures again what a plain pass costs. */
const remeasureEvery = 200;
/** Steps of a drafter after which it may try to guess further than its record says. */
const stretchEvery = 12;

interface Option {
  readonly arm: DraftRecord;
  readonly count: number;
  readonly rate: number;
  /** Expected tokens and milliseconds of the step. */
  readonly tokens: number;
  readonly ms: number;
}

export class DraftController {
  readonly passes: CostTable;
  readonly #arms: readonly DraftRecord[];
  readonly #experience: DraftExperience;
  #balance: number;
  #tokens = 0;
  #plainSteps = 0;
  #refused = 0;
  /** Steps since the last one without a draft. */
  #sinceMeasured = 0;
  #choice = '';
  readonly #changes: DraftChange[] = [];

  /** @param experience of other texts; shared by all sequences of a model. */
  constructor(
    drafters: readonly { readonly name: string; readonly maxDrafts: number }[],
    experience: DraftExperience = new DraftExperience(),
  ) {
    this.#experience = experience;
    this.passes = experience.passes;
    this.#balance = Math.max(firstBalance, Math.min(reserve, experience.balance ?? reserve));
    this.#arms = drafters.map(({ name, maxDrafts }, index) =>
      experience.recordFor(name, maxDrafts, index),
    );
  }

  /** Drafters whose proposals cost next to nothing: to be asked before every plan. */
  askFirst(): readonly string[] {
    const plain = this.passes.estimate(1, 1);
    if (plain === undefined || this.#balance < 0.5) return [];
    return this.#arms.filter((arm) => this.#isFree(arm, plain)).map((arm) => arm.name);
  }

  plan(input: PlanInput): Plan {
    const others = input.otherRows ?? 0;
    const plain = this.passes.estimate(others + 1, 1);
    const unknown = plain === undefined || (others === 0 && this.passes.samples(1) < 2);
    if (unknown || this.#sinceMeasured >= remeasureEvery) {
      return this.#decide(undefined, 0, 'measuring');
    }
    if (input.limit <= 0) return this.#decide(undefined, 0, 'plain');
    const sure = input.otherTokens ?? 0;
    let best: Option | undefined;
    for (const arm of this.#arms) {
      const option = this.#bestOf(arm, input, plain);
      if (option !== undefined && option.rate > (best?.rate ?? 0)) best = option;
    }
    const promising = best !== undefined && best.rate > (margin * (1 + sure)) / plain;
    if (best !== undefined && promising && this.#covered(best.arm, best.count, plain, others)) {
      return this.#rivalDue(best, input, plain) ?? this.#use(best, input, plain);
    }
    const trial = this.#trialDue(input, plain);
    if (trial !== undefined) return trial;
    if (promising) this.#refused += 1;
    return this.#decide(undefined, 0, promising ? 'account' : 'plain');
  }

  /**
   * How many guesses of a proposal that was asked for by a plan are worth their rows, now that
   * the drafter has said how sure it is of each.
   */
  trim(plan: Plan, proposal: Proposal, input: PlanInput): number {
    const arm = this.#arms.find(({ name }) => name === plan.drafter);
    const count = Math.min(plan.count, proposal.tokens.length);
    const plain = this.passes.estimate((input.otherRows ?? 0) + 1, 1);
    if (arm === undefined || plain === undefined || proposal.confidence === undefined) return count;
    if (plan.why === 'trial' || plan.why === 'stretch') return count;
    let product = 1;
    let tokens = 1 + (input.otherTokens ?? 0);
    let bestCount = 0;
    let bestRate = tokens / plain;
    for (let i = 0; i < count; i++) {
      product *= chanceByConfidence(arm, proposal.confidence[i]);
      tokens += product;
      const rate = tokens / this.#passMs((input.otherRows ?? 0) + 2 + i, plain, 0.1);
      if (rate > bestRate) {
        bestRate = rate;
        bestCount = i + 1;
      }
    }
    return bestCount;
  }

  /** Notes how long a drafter took to propose so many tokens (the number asked for). */
  noteProposal(name: string, asked: number, ms: number): void {
    this.#arms.find((arm) => arm.name === name)?.costs.record(asked, ms);
  }

  /** Takes the outcome of a step: times, acceptance, and the account. */
  settle(result: StepResult): void {
    const { drafted, accepted, emitted, passMs, draftMs } = result;
    const others = result.otherRows ?? 0;
    const rows = others + 1 + drafted;
    // What other programs take away is not the draft's fault: a pass is charged what is usual for its
    // size, and the first ones of a size no more than the smaller sizes let expect.
    const young = this.passes.samples(rows) < 3;
    const usual = this.passes.estimate(rows, young ? 0.1 : 1);
    const plain = this.passes.estimate(others + 1, 1) ?? passMs;
    const measured = Math.min(passMs, 1.5 * (usual ?? Infinity), 1.5 * rows * plain);
    const pass = young || usual === undefined ? measured : usual;
    this.#tokens += emitted.length;
    this.#balance += allowance * emitted.length;
    if (drafted > 0) this.#balance += emitted.length - pass / plain;
    this.#balance -= Math.min(draftMs / plain, reserve);
    this.#balance = Math.max(deepest, Math.min(reserve, this.#balance));
    this.#experience.balance = this.#balance;
    for (const arm of this.#arms) {
      const used = arm.name === result.drafter && drafted > 0;
      const proposal = result.proposals.get(arm.name);
      if (proposal !== undefined) this.#learn(arm, proposal, emitted);
      if (!used) {
        arm.idle += emitted.length;
        if (arm.name === result.drafter && !this.#isFree(arm, plain))
          this.#discourage(arm, draftMs / plain);
        continue;
      }
      arm.steps += 1;
      arm.drafted += drafted;
      arm.accepted += accepted;
      arm.idle = 0;
      const won = emitted.length - (pass + draftMs) / plain;
      if (won > 0) arm.trialInterval = Math.max(2, arm.trialInterval / 4);
      else this.#discourage(arm, -won);
    }
    this.#sinceMeasured = drafted === 0 ? 0 : this.#sinceMeasured + 1;
    if (drafted === 0) this.#plainSteps += 1;
  }

  /** What was measured, tried and chosen, and why. */
  report(): DraftReport {
    return {
      passMs: this.passes.toJSON(),
      plainSteps: this.#plainSteps,
      refusedSteps: this.#refused,
      balance: Number(this.#balance.toFixed(3)),
      drafters: this.#arms.map((arm) => ({
        name: arm.name,
        steps: arm.steps,
        trials: arm.trials,
        drafted: arm.drafted,
        accepted: arm.accepted,
        acceptance: chancesOf(arm, seenPositions(arm)).map((chance) => Number(chance.toFixed(3))),
        draftMs: arm.costs.toJSON(),
      })),
      changes: [...this.#changes],
    };
  }

  /** Makes trials rarer after one that lost so many plain tokens' time. */
  #discourage(arm: DraftRecord, lost: number): void {
    // The first times are often too long, and a few guesses may fail by chance.
    const young = arm.costs.measurements < 4;
    const rarest = young ? 8 : Math.max(64, Math.min(rarestTrial, lost / trialShare));
    arm.trialInterval = Math.min(rarest, arm.trialInterval * 4);
  }

  #isFree(arm: DraftRecord, plain: number): boolean {
    const cost = arm.costs.estimate(arm.maxDrafts, 0.1);
    return cost !== undefined && cost < freeCost * plain;
  }

  #passMs(rows: number, plain: number, slope: number): number {
    return Math.max(plain, this.passes.estimate(rows, slope) ?? plain * rows);
  }

  /** Costs are learnt from below: guesses for never more than twice the rows ever measured. */
  #known(others: number): number {
    return 2 * this.passes.largest - others - 1;
  }

  /** The number of guesses with the most tokens a second; undefined if there is nothing to use. */
  #bestOf(arm: DraftRecord, input: PlanInput, plain: number): Option | undefined {
    const offer = input.offers?.get(arm.name);
    const others = input.otherRows ?? 0;
    let longest = Math.min(input.limit, arm.maxDrafts, this.#known(others));
    let chances: number[];
    if (offer !== undefined) {
      longest = Math.min(longest, offer.tokens.length);
      chances = Array.from({ length: longest }, (_, i) =>
        chanceByConfidence(arm, offer.confidence?.[i]),
      );
      if (offer.confidence === undefined) chances = chancesOf(arm, longest);
    } else {
      if (this.#isFree(arm, plain) && input.offers !== undefined) return undefined;
      if (arm.costs.largest === 0) return undefined; // never asked: only a trial may do that
      chances = chancesOf(arm, longest);
    }
    return this.#fastest(arm, chances, input, plain, offer !== undefined);
  }

  /**
   * The same for a drafter that has not been asked, if every doubt about it were in its favour. The
   * longer ago it was tried, the less its failures count: they were bad luck, or the text has changed.
   */
  #hopeOf(arm: DraftRecord, input: PlanInput, plain: number): Option | undefined {
    const longest = Math.min(input.limit, arm.maxDrafts, this.#known(input.otherRows ?? 0));
    const chances = arm.positions
      .slice(0, Math.max(0, longest))
      .map((rate) => Math.min(mostHope, rate.given(1, 1 + arm.idle / forgetting)));
    return this.#fastest(arm, chances, input, plain, false);
  }

  #fastest(
    arm: DraftRecord,
    chances: readonly number[],
    input: PlanInput,
    plain: number,
    offered: boolean,
  ): Option | undefined {
    const others = input.otherRows ?? 0;
    let product = 1;
    let tokens = 1 + (input.otherTokens ?? 0);
    let best: Option | undefined;
    for (const [index, chance] of chances.entries()) {
      const count = index + 1;
      product *= chance;
      tokens += product;
      const draftMs = offered ? 0 : (arm.costs.estimate(count, 0.5) ?? 0);
      const ms = draftMs + this.#passMs(others + 1 + count, plain, 0.1);
      const rate = tokens / ms;
      if (best === undefined || rate > best.rate) best = { arm, count, rate, tokens, ms };
    }
    return best;
  }

  /** What the step loses if every guess fails, in plain tokens' time. */
  #worst(arm: DraftRecord, count: number, plain: number, others: number): number {
    const free = this.#isFree(arm, plain);
    const draftMs = free ? 0 : (arm.costs.estimate(count, 1) ?? plain);
    return (this.#passMs(others + 1 + count, plain, 1) + draftMs) / plain - 1;
  }

  /** Whether the account covers that. */
  #covered(arm: DraftRecord, count: number, plain: number, others: number): boolean {
    return this.#worst(arm, count, plain, others) <= this.#balance;
  }

  #use(best: Option, input: PlanInput, plain: number): Plan {
    const { arm } = best;
    arm.rivalInterval = firstRivalInterval;
    let { count } = best;
    let why: Plan['why'] = 'best';
    arm.unstretched += 1;
    const offer = input.offers?.get(arm.name);
    const longest = Math.min(input.limit, arm.maxDrafts, offer?.tokens.length ?? Infinity);
    if (arm.unstretched >= stretchEvery && count < longest) {
      const further = Math.min(longest, Math.max(count + 1, Math.ceil(count * 1.5)));
      if (this.#covered(arm, further, plain, input.otherRows ?? 0)) {
        count = further;
        why = 'stretch';
        arm.unstretched = 0;
      }
    }
    return this.#decide(arm, count, why, best);
  }

  /**
   * A trial of another drafter than the best, if it might be better still for all that is known: some
   * at once, then at ever longer distances, as long as it is not chosen for what it has shown.
   */
  #rivalDue(best: Option, input: PlanInput, plain: number): Plan | undefined {
    const others = input.otherRows ?? 0;
    if (best.arm.steps < rivalStart) return undefined;
    for (const arm of this.#arms) {
      if (arm === best.arm || arm.idle < arm.rivalInterval) continue;
      // A free drafter is judged by its offers.
      if (this.#isFree(arm, plain) && input.offers !== undefined) continue;
      const hoped = this.#hopeOf(arm, input, plain);
      if (hoped === undefined || hoped.rate < rivalMargin * best.rate) continue;
      const count = Math.min(hoped.count, trialLength);
      if (this.#worst(arm, count, plain, others) > this.#balance - rivalReserve) continue;
      if (arm.trials >= rivalTrials) {
        arm.rivalInterval = Math.min(rarestRival, arm.rivalInterval * 2);
      }
      arm.trials += 1;
      arm.idle = 0;
      return this.#decide(arm, count, 'trial');
    }
    return undefined;
  }

  #trialDue(input: PlanInput, plain: number): Plan | undefined {
    const others = input.otherRows ?? 0;
    for (const arm of this.#arms) {
      if (arm.idle < arm.trialInterval) continue;
      const offer = input.offers?.get(arm.name);
      // A free drafter is judged by its offers, whether they are used or not.
      if (offer !== undefined || (this.#isFree(arm, plain) && input.offers !== undefined)) continue;
      let count = Math.min(
        trialLength,
        input.limit,
        arm.maxDrafts,
        Math.max(1, this.#known(others)),
      );
      while (count > 1 && this.#worst(arm, count, plain, others) > trialCost) count -= 1;
      if (!this.#covered(arm, count, plain, others)) continue;
      arm.trials += 1;
      arm.idle = 0;
      return this.#decide(arm, count, 'trial');
    }
    return undefined;
  }

  /** Guesses up to the first wrong one are evidence, as far as the text tells. */
  #learn(arm: DraftRecord, proposal: Proposal, emitted: readonly number[]): void {
    const count = Math.min(proposal.tokens.length, emitted.length);
    for (let i = 0; i < count; i++) {
      const hit = proposal.tokens[i] === emitted[i];
      arm.positions[i]?.add(hit);
      const sure = proposal.confidence?.[i];
      if (sure !== undefined) arm.classes[confidenceClass(sure)]?.add(hit);
      if (!hit) break;
    }
  }

  #decide(arm: DraftRecord | undefined, count: number, why: Plan['why'], option?: Option): Plan {
    if (why !== 'trial' && why !== 'stretch') this.#noteChange(arm, why, option);
    return { drafter: arm?.name, count, why };
  }

  #noteChange(arm: DraftRecord | undefined, why: Plan['why'], option: Option | undefined): void {
    const choice = arm?.name ?? 'none';
    if (choice === this.#choice) return;
    this.#choice = choice;
    const reasons = {
      best:
        option === undefined
          ? ''
          : `expects ${option.tokens.toFixed(2)} tokens in ${option.ms.toFixed(2)} ms`,
      trial: 'trial',
      stretch: 'guesses further than its record says',
      measuring: 'the cost of a plain pass is not known yet',
      plain: 'no drafter promises more tokens a second',
      account: 'a draft might gain, but too much was lost on drafts lately',
    } as const;
    this.#changes.push({ token: this.#tokens, choice, why: reasons[why] });
    if (this.#changes.length > 32) this.#changes.shift();
  }
}
