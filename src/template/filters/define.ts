/** How filters and tests are declared: by name, with a Python signature, in one table. */
import { bind, signature } from '../arguments.js';
import type { Filter, Runtime } from '../runtime.js';
import type { Value } from '../values.js';

export type Table = Map<string, Filter>;

/** Adds a filter whose arguments are bound to a signature, the value being the first of them. */
export function define(
  table: Table,
  name: string,
  parameters: string,
  run: (runtime: Runtime, ...values: Value[]) => Value,
): void {
  const target = signature(name, parameters);
  table.set(name, (runtime, args, keywords) => run(runtime, ...bind(target, args, keywords)));
}
