import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import type { Accepted } from '../../src/decode/accept.js';
import { Chooser } from '../../src/decode/chooser.js';
import { CostTable } from '../../src/decode/costs.js';
import { DraftExperience } from '../../src/decode/draft-record.js';
import type { DraftContext, Drafter, Proposal } from '../../src/decode/drafter.js';
import { Drafting } from '../../src/decode/drafting.js';
import { resolveSampling } from '../../src/decode/settings.js';

import { Random } from './support.js';

const settings = resolveSampling({ seed: 1 });

/** What a machine takes: milliseconds of a pass over so many rows. */
const machines = {
  /** Batches nearly free, as with kernels that read the weights once. */
  wide: (rows: number) => 20 * (1 + 0.03 * (rows - 1)),
  /** Rows cost nearly as much each as the first: drafting hardly ever pays. */
  flat: (rows: number) => 2 + 18 * rows,
  /** A tiny model, where even the n-gram look-up is not for nothing. */
  tiny: (rows: number) => 0.5 * (1 + 0.12 * (rows - 1)),
} as const;

interface Skill {
  /** Chance that a guess is right at this token of the text, given those before. */
  readonly chance: (token: number) => number;
  /** Milliseconds for so many guesses. */
  readonly cost: (guesses: number) => number;
  /** How sure it says it is, whatever is true. */
  readonly boast?: number;
  /** Share of steps in which it has something to say. */
  readonly coverage?: number;
}

interface Simulation {
  readonly machine: (rows: number) => number;
  readonly skills: Readonly<Record<string, Skill>>;
  readonly tokens: number;
  readonly mode?: string;
  readonly seed?: number;
  readonly draftMax?: number;
  /** Share of measurements that come out 30 times too long. */
  readonly stalls?: number;
  /** Share of measurements that other programs stretch, by up to four times. */
  readonly busy?: number;
  readonly experience?: DraftExperience;
}

/**
 * Drives `Drafting` with a clock that only the simulation moves. In the text every token is 0; a
 * guess of 1 is wrong. The controller sees times with noise and outliers; the result counts what
 * the machine really takes.
 */
async function simulate(options: Simulation) {
  const random = new Random(options.seed ?? 1);
  const { experience = new DraftExperience() } = options;
  let clock = 0;
  let real = 0;
  let token = 0;
  const noisy = (ms: number) =>
    ms *
    (1 + 0.05 * random.normal()) *
    (random.uniform() < 0.005 ? 4 : 1) *
    (random.uniform() < (options.stalls ?? 0) ? 30 : 1) *
    (random.uniform() < (options.busy ?? 0) ? 1 + 3 * random.uniform() : 1);
  const drafters = Object.entries(options.skills).map(([name, skill]) =>
    stub(name, ({ limit }) => {
      const ms = skill.cost(limit);
      real += ms;
      clock += Math.max(0, noisy(ms));
      if (random.uniform() >= (skill.coverage ?? 1)) return { tokens: [] };
      const tokens = Array.from({ length: limit }, () =>
        random.uniform() < skill.chance(token) ? 0 : 1,
      );
      const { boast } = skill;
      return boast === undefined ? { tokens } : { tokens, confidence: tokens.map(() => boast) };
    }),
  );
  const drafting = new Drafting({
    drafters,
    mode: options.mode ?? 'auto',
    now: () => clock,
    draftMax: options.draftMax,
    experience,
  });
  const chooser = new Chooser({ settings, tokens: [0] });
  const plain = options.machine(1);
  /** Real time when so many tokens were there. */
  const times: number[] = [0];
  while (token < options.tokens) {
    const draft = await drafting.next({ chooser, limit: 15 });
    const wrong = draft.tokens.indexOf(1);
    const accepted = wrong < 0 ? draft.tokens.length : wrong;
    const ms = options.machine(1 + draft.tokens.length);
    real += ms;
    const passMs = Math.max(0, noisy(ms));
    clock += passMs;
    const tokens = Array.from({ length: accepted + 1 }, (_, i) => ({
      token: 0,
      text: '',
      keep: true,
      drafted: i < accepted,
    }));
    drafting.settle({ tokens, accepted } satisfies Accepted, passMs);
    experience.passes.record(1 + draft.tokens.length, passMs);
    for (let i = 0; i <= accepted; i++) times.push(real);
    token += accepted + 1;
  }
  const slowest = (window: number) => {
    let worst = 0;
    for (let i = window; i < times.length; i++) {
      worst = Math.max(worst, ((times[i] as number) - (times[i - window] as number)) / window);
    }
    return worst / plain;
  };
  return {
    drafting,
    /** Time against plain decoding: below 1 is faster. */
    ratio: real / (token * plain),
    /** The same for the slowest 2,000 tokens in a row. */
    worst: slowest(2000),
  };
}

function stub(name: string, propose: (context: DraftContext) => Proposal): Drafter {
  const drafter: Drafter = {
    name,
    needs: {},
    maxDrafts: 15,
    length: 0,
    bytes: 0,
    observe: () => {},
    propose,
    truncate: () => true,
    snapshot: () => new Uint8Array(),
    restore: () => {},
    reset: () => {},
    fork: () => drafter,
    dispose: () => {},
  };
  return drafter;
}

function drafters(
  machine: (rows: number) => number,
  chances: {
    ngram?: (token: number) => number;
    mtp?: (token: number) => number;
    dflash?: (token: number) => number;
  },
): Record<string, Skill> {
  const plain = machine(1);
  const never = () => 0;
  return {
    ngram: { chance: chances.ngram ?? never, cost: () => 0.002, boast: 0.8, coverage: 0.7 },
    mtp: { chance: chances.mtp ?? never, cost: (n) => 0.05 * plain * n },
    dflash: { chance: chances.dflash ?? never, cost: () => 0.12 * plain },
  };
}

test('text on which every draft fails: at most 3% slower over any 2,000 tokens', async () => {
  for (const [name, machine] of Object.entries(machines)) {
    for (const seed of [1, 2, 3]) {
      const run = await simulate({ machine, skills: drafters(machine, {}), tokens: 12_000, seed });
      assert.ok(run.worst <= 1.03, `${name}: ${run.worst}`);
      assert.ok(run.ratio <= 1.02, `${name}: ${run.ratio} over all`);
    }
  }
});

test('text that lures and then fails is no way around the bound', async () => {
  const lures: Record<string, (token: number) => number> = {
    bursts: (token) => (token % 400 < 40 ? 1 : 0),
    often: (token) => (token % 30 < 6 ? 1 : 0),
    once: (token) => (token < 3000 ? 0.95 : 0),
    half: (token) => Math.floor(token / 7) % 2,
    poor: () => 0.15,
  };
  for (const [lure, chance] of Object.entries(lures)) {
    for (const [name, machine] of Object.entries(machines)) {
      const skills = drafters(machine, { ngram: chance, mtp: chance, dflash: chance });
      const run = await simulate({ machine, skills, tokens: 12_000 });
      assert.ok(run.worst <= 1.03, `${lure} on ${name}: ${run.worst}`);
    }
  }
});

/** The best that one drafter always used at one length would do. */
async function bestFixed(machine: (rows: number) => number, skills: Record<string, Skill>) {
  let best = 1;
  for (const mode of Object.keys(skills)) {
    for (const draftMax of [1, 2, 3, 4, 6, 8, 11, 15]) {
      const run = await simulate({ machine, skills, tokens: 4000, mode, draftMax });
      best = Math.min(best, run.ratio);
    }
  }
  return best;
}

test('on friendly text it comes close to the best fixed choice, whichever that is', async () => {
  const machine = machines.wide;
  const texts = {
    'all good': { ngram: () => 0.5, mtp: () => 0.8, dflash: () => 0.75 },
    'only mtp': { mtp: () => 0.8 },
    'only dflash': { dflash: () => 0.85 },
    'only ngram': { ngram: () => 0.95 },
    'very predictable': { dflash: () => 0.97 },
  };
  for (const [name, chances] of Object.entries(texts)) {
    const skills = drafters(machine, chances);
    const run = await simulate({ machine, skills, tokens: 6000 });
    const fixed = await bestFixed(machine, skills);
    assert.ok(run.ratio <= 1.12 * fixed, `${name}: ${run.ratio} against ${fixed}`);
    assert.ok(run.worst <= 1.03);
  }
});

/** As measured: rows cost a sixth of a plain pass each, and n-gram look-up nothing. */
const dear = (rows: number) => 11 * (1 + 0.16 * (rows - 1));

function dearSkills(ngram: number, mtp: number, dflash: number): Record<string, Skill> {
  return {
    ngram: { chance: () => ngram, cost: () => 0.02, boast: 0.95 },
    mtp: { chance: () => mtp, cost: (guesses) => 0.3 + 0.4 * guesses },
    dflash: { chance: () => dflash, cost: () => 1.5 },
  };
}

async function mean(options: Omit<Simulation, 'seed'>): Promise<number> {
  let sum = 0;
  for (const seed of [1, 2, 3, 4]) sum += (await simulate({ ...options, seed })).ratio / 4;
  return sum;
}

test('a better drafter is found beside one that is good enough', async () => {
  const skills = dearSkills(0.6, 0.8, 0.3);
  const fixed = await mean({ machine: dear, skills, tokens: 4000, mode: 'mtp', draftMax: 4 });
  const [short, long] = [500, 4000].map((tokens) => ({ machine: dear, skills, tokens }));
  assert.ok(short && long);
  const ratios = [await mean(short), await mean(long)];
  assert.ok((ratios[0] ?? 9) <= 1.15 * fixed, `500 tokens: ${ratios[0]} against ${fixed}`);
  assert.ok((ratios[1] ?? 9) <= 1.1 * fixed, `4000 tokens: ${ratios[1]} against ${fixed}`);
});

test('looking for a better one costs little where one guesses nearly all', async () => {
  const skills = dearSkills(0.97, 0.6, 0.2);
  for (const [tokens, most] of [
    [128, 1.25],
    [2000, 1.08],
  ] as const) {
    const fixed = await mean({ machine: dear, skills, tokens, mode: 'ngram' });
    const found = await mean({ machine: dear, skills, tokens });
    assert.ok(found <= most * fixed, `${tokens} tokens: ${found} against ${fixed}`);
  }
});

/** Time against plain decoding of short texts, one after another in one process. */
async function series(skills: Record<string, Skill>, texts: number, mode = 'auto') {
  const experience = new DraftExperience();
  const ratios: number[] = [];
  for (let seed = 1; seed <= texts; seed++) {
    const options = { machine: dear, skills, tokens: 64, mode, seed, experience };
    ratios.push((await simulate(options)).ratio);
  }
  return { experience, ratios, mean: ratios.reduce((a, b) => a + b, 0) / texts };
}

test('many short bad texts lose no more than one long one', async () => {
  const skills = dearSkills(0, 0, 0);
  const { ratios, mean: all } = await series(skills, 40);
  assert.ok(all <= 1.03, `${all}`);
  // Each by itself, knowing nothing of the others, would.
  let alone = 0;
  for (let seed = 1; seed <= 10; seed++) {
    alone += (await simulate({ machine: dear, skills, tokens: 64, seed })).ratio / 10;
  }
  assert.ok(alone > 1.03, `${alone}`);
  assert.ok(Math.max(...ratios.slice(5)) <= 1.06, ratios.join());
});

test('short texts gain from what earlier ones have shown', async () => {
  for (const [skills, mode] of [
    [dearSkills(0.97, 0.6, 0.2), 'ngram'],
    [dearSkills(0.1, 0.85, 0.2), 'mtp'],
  ] as const) {
    const { ratios } = await series(skills, 20);
    const fixed = await series(skills, 20, mode);
    const later = ratios.slice(4).reduce((a, b) => a + b, 0) / 16;
    assert.ok(later <= 1.1 * fixed.mean, `${mode}: ${later} against ${fixed.mean}`);
  }
});

test('what earlier texts have shown costs little when it is wrong', async () => {
  const { experience } = await series(dearSkills(0.97, 0.9, 0.9), 10);
  const skills = dearSkills(0, 0, 0);
  const run = await simulate({ machine: dear, skills, tokens: 2000, experience });
  assert.ok(run.worst <= 1.03, `${run.worst}`);
});

test('where a draft cannot pay it stays at plain decoding', async () => {
  const machine = machines.flat;
  const run = await simulate({
    machine,
    skills: drafters(machine, { mtp: () => 0.5 }),
    tokens: 6000,
  });
  assert.ok(run.ratio <= 1.02, String(run.ratio));
});

test('changing text: it follows, winning in good stretches and losing little in bad ones', async () => {
  const machine = machines.wide;
  const good = (token: number) => Math.floor(token / 1500) % 2 === 1;
  const skills = drafters(machine, { dflash: (token) => (good(token) ? 0.85 : 0) });
  const run = await simulate({ machine, skills, tokens: 15_000 });
  // Half of the text could take about a third of the time.
  assert.ok(run.ratio < 0.72, String(run.ratio));
  assert.ok(run.worst <= 1.03, String(run.worst));
});

test('a machine that stalls now and then does not forbid drafts for long', async () => {
  const machine = machines.wide;
  const skills = drafters(machine, { dflash: () => 0.85 });
  for (const seed of [1, 2, 3, 4, 5, 6]) {
    const run = await simulate({ machine, skills, tokens: 1000, seed, stalls: 0.1 });
    assert.ok(run.ratio < 0.6, `seed ${seed}: ${run.ratio}`);
  }
});

test('on a machine that others use, drafts that pay are used, and those that fail cost little', async () => {
  for (const busy of [0.3, 0.6]) {
    for (const [name, machine] of Object.entries({ wide: machines.wide, tiny: machines.tiny })) {
      const skills = drafters(machine, { ngram: () => 0.95 });
      const common = { machine, tokens: 3000, busy } as const;
      const fixed = await simulate({ ...common, skills, mode: 'ngram' });
      for (const seed of [1, 2, 3]) {
        const run = await simulate({ ...common, skills, seed });
        const said = `${busy} on ${name}: ${run.ratio} against ${fixed.ratio}`;
        assert.ok(run.ratio <= 1.3 * fixed.ratio, said);
      }
      const failing = await simulate({ ...common, skills: drafters(machine, {}) });
      assert.ok(failing.worst <= 1.03, `${busy} on ${name}: ${failing.worst}`);
    }
  }
});

test('it explains itself', async () => {
  const machine = machines.wide;
  const run = await simulate({
    machine,
    skills: drafters(machine, { mtp: () => 0.85 }),
    tokens: 2000,
  });
  const report = run.drafting.statistics().controller;
  assert.ok(report);
  const mtp = report.drafters.find(({ name }) => name === 'mtp');
  assert.ok(mtp && mtp.steps > 100 && mtp.trials >= 1);
  assert.ok(Math.abs((mtp.acceptance[0] ?? 0) - 0.85) < 0.15);
  assert.ok(Math.abs((report.passMs['1'] ?? 0) - 20) < 3);
  assert.ok(
    report.changes.some(({ choice, why }) => choice === 'mtp' && why.includes('tokens in')),
  );
  assert.ok(JSON.stringify(report).length < 10_000);
});

test('a fixed drafter always drafts, none never does, an unknown one is refused', async () => {
  const machine = machines.flat;
  const skills = drafters(machine, {});
  const fixed = await simulate({ machine, skills, tokens: 200, mode: 'mtp', draftMax: 2 });
  const { drafted, steps, byDrafter } = fixed.drafting.statistics();
  assert.equal(drafted, 2 * steps);
  assert.deepEqual(byDrafter, { mtp: { drafted, accepted: 0 } });
  const none = await simulate({ machine, skills, tokens: 200, mode: 'none' });
  assert.equal(none.drafting.statistics().drafted, 0);
  assert.equal(none.ratio, 1);
  assert.throws(
    () => new Drafting({ drafters: [], mode: 'mtp' }),
    (error) => PacelineError.is(error) && error.code === 'usage' && error.details.field === 'draft',
  );
});

test('costs: the least of the first, clipped outliers, straight lines between', () => {
  const costs = new CostTable();
  assert.equal(costs.estimate(1, 1), undefined);
  costs.record(1, 50);
  costs.record(1, 10);
  assert.equal(costs.estimate(1, 1), 10);
  assert.equal(costs.estimate(3, 0.1), 12);
  assert.equal(costs.estimate(3, 1), 30);
  costs.record(5, 18);
  assert.equal(costs.estimate(3, 1), 14);
  assert.equal(costs.largest, 5);
  for (let i = 0; i < 5; i++) costs.record(1, 10);
  costs.record(1, 1000);
  assert.ok((costs.estimate(1, 1) ?? 0) < 12);
  costs.record(2, Number.NaN);
  assert.equal(costs.samples(2), 0);
});
