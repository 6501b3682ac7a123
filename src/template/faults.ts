/**
 * What goes wrong inside a template, by the name that Python gives it: filters decide by the kind
 * (`int` falls back on a `ValueError`), so kinds matter. Never leaves this folder: `Template` turns
 * a fault into a `PacelineError` with line and column.
 */

export type FaultKind =
  | 'AssertionError'
  | 'FilterArgumentError'
  | 'IndexError'
  | 'KeyError'
  | 'OverflowError'
  | 'RecursionError'
  | 'RuntimeError'
  | 'SecurityError'
  | 'TemplateError'
  | 'TemplateRuntimeError'
  | 'TypeError'
  | 'UndefinedError'
  | 'ValueError'
  | 'ZeroDivisionError';

/** A failure while rendering. */
export class Fault extends Error {
  constructor(
    readonly kind: FaultKind,
    message: string,
  ) {
    super(message);
  }
}

/** A template that needs more steps, memory or output than it may; nothing may catch and go on. */
export class BudgetFault extends Error {}

/** A template that cannot be parsed. */
export class SyntaxFault extends Error {
  /** @param at offset in the source with normalised line ends */
  constructor(
    message: string,
    readonly at: number,
  ) {
    super(message);
  }
}

export const typeFault = (message: string): Fault => new Fault('TypeError', message);
export const valueFault = (message: string): Fault => new Fault('ValueError', message);

/** Whether an error is a fault of one of these kinds. */
export function isFault(error: unknown, ...kinds: readonly FaultKind[]): error is Fault {
  return error instanceof Fault && kinds.includes(error.kind);
}
