/** The filters and tests by name; filled once, before the first template is compiled. */
import type { Filter } from './runtime.js';

const filters = new Map<string, Filter>();
const tests = new Map<string, Filter>();

export const findFilter = (name: string): Filter | undefined => filters.get(name);
export const findTest = (name: string): Filter | undefined => tests.get(name);

/** Fills both tables. */
export function fillRegistry(fill: (tables: Tables) => void): void {
  fill({ filters, tests });
}

export interface Tables {
  readonly filters: Map<string, Filter>;
  readonly tests: Map<string, Filter>;
}
