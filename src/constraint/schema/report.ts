/**
 * What happens to the parts of a schema that cannot be enforced: an error that points at them, or,
 * where the caller allows it, a warning. Nothing is dropped without one of the two.
 */
import { refused } from '../core/budget.js';
import type { ConstraintWarning } from '../spec.js';

export class Report {
  readonly warnings: ConstraintWarning[] = [];
  private readonly seen = new Set<string>();

  /** @param place where the schema stands in the request, as a JSON pointer */
  constructor(
    private readonly strict: boolean,
    private readonly place = '',
  ) {}

  /** @throws {PacelineError} `usage` when the caller asked to be strict. */
  unsupported(within: string, keyword: string, reason: string): void {
    const pointer = this.place + within;
    const message = `${keyword} at ${pointer || '#'} is not supported: ${reason}`;
    if (this.strict) throw schemaError(pointer, keyword, message);
    if (this.seen.has(pointer)) return;
    this.seen.add(pointer);
    this.warnings.push({ pointer, keyword, message });
  }
}

/** A schema that is wrong in itself. */
export function schemaError(pointer: string, keyword: string, message: string) {
  return refused(message, { pointer, keyword }, 'Correct the schema, or leave this keyword out.');
}
