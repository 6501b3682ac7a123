/**
 * What one rendering may use. Templates come from strangers' files, so steps, memory and output are
 * counted, and depth too; the counts depend on the template and its variables alone, never on the
 * clock, so that a template is refused on every machine or on none. Rendering is synchronous and
 * never nested, which is why one meter at a time suffices.
 */
import { BudgetFault, Fault } from './faults.js';

export interface Limits {
  /** Evaluated expressions, and the work of long operations in units of about that cost. */
  readonly steps: number;
  /** Characters and items created by all operations together. */
  readonly memory: number;
  /** Characters of the result, and of any text. */
  readonly output: number;
  /** Calls within calls: macros, recursive loops, values within values. */
  readonly depth: number;
}

/**
 * What a rendering may use whatever it is given: some tenths of a second at most, since nothing else
 * happens meanwhile. Measured with a hundred ways of using all of it up.
 */
const always: Limits = { steps: 300_000, memory: 2 ** 23, output: 2 ** 25, depth: 200 };

/** No rendering may use more. */
const most: Limits = { steps: 10_000_000, memory: 2 ** 27, output: 2 ** 25, depth: 200 };

/** What a rendering may use besides for each value that it is given, and for each 64 characters. */
const each = { steps: 300, memory: 4096 };

/**
 * What a rendering may use that is given so many values, and characters in units of 64. Real templates
 * need 30 steps a value for a chat of 100 messages with 10 tools, and as some of them look through all
 * messages again for each, up to 265 for 1,000 messages with 100 tools.
 */
export function limitsFor(given: number): Limits {
  return {
    ...most,
    steps: Math.min(most.steps, Math.ceil(always.steps + each.steps * given)),
    memory: Math.min(most.memory, Math.ceil(always.memory + each.memory * given)),
  };
}

/** Elements of one list. */
const MAX_ITEMS = 2 ** 22;

class Meter {
  steps = 0;
  memory = 0;
  depth = 0;
  constructor(readonly limits: Limits) {}
}

let meter = new Meter(most);

/** Runs with a fresh count. */
export function withBudget<T>(limits: Limits, run: () => T): T {
  const before = meter;
  meter = new Meter(limits);
  try {
    return run();
  } finally {
    meter = before;
  }
}

/** What the rendering that runs has used so far. */
export function used(): { readonly steps: number; readonly memory: number } {
  return { steps: meter.steps, memory: meter.memory };
}

/** Counts steps. @throws {BudgetFault} when they are used up */
export function spend(steps = 1): void {
  meter.steps += steps;
  if (meter.steps > meter.limits.steps) {
    throw new BudgetFault(`it needs more than ${meter.limits.steps} steps`);
  }
}

/** Counts the characters of a text about to be made, and the time that takes. */
export function spendText(length: number): void {
  if (length > meter.limits.output) {
    throw new BudgetFault(`it makes a text of more than ${meter.limits.output} characters`);
  }
  allocate(length);
  spend(length / 64);
}

/** Checks the length of a text that shares its parts with others, so that it costs no memory. */
export function checkLength(length: number): void {
  if (length > meter.limits.output) {
    throw new BudgetFault(`it makes a text of more than ${meter.limits.output} characters`);
  }
}

/** Counts the items of a list about to be made. */
export function spendItems(count: number): void {
  if (count > MAX_ITEMS) throw new BudgetFault(`it makes a list of more than ${MAX_ITEMS} items`);
  allocate(count * 8);
  spend(count / 4);
}

function allocate(units: number): void {
  meter.memory += units;
  if (meter.memory > meter.limits.memory) {
    throw new BudgetFault(`it needs more than ${meter.limits.memory} units of memory`);
  }
}

/** Runs one level deeper. @throws {Fault} `RecursionError` */
export function deeper<T>(run: () => T): T {
  // A level costs about as much as a few expressions.
  spend(4);
  if (++meter.depth > meter.limits.depth) {
    meter.depth--;
    throw new Fault('RecursionError', 'maximum recursion depth exceeded');
  }
  try {
    return run();
  } finally {
    meter.depth--;
  }
}
