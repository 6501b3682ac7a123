/**
 * A Jinja template as the transformers library runs it: compiled once, rendered any number of
 * times, from a stranger's file. It can compute but reaches nothing outside its variables, and each
 * rendering has a budget of steps, memory and output. Every failure is a `PacelineError` with line
 * and column. Knows nothing of chats.
 */
import { PacelineError } from '../base/errors.js';
import { type Limits, limitsFor, withBudget } from './budget.js';
import { compileTemplate, type Program } from './compile-statement.js';
import { BudgetFault, Fault, SyntaxFault } from './faults.js';
import { addSequenceFilters } from './filters/sequence-filters.js';
import { addTextFilters } from './filters/text-filters.js';
import { addValueFilters } from './filters/value-filters.js';
import { globalNames, RaisedFault } from './globals.js';
import { normalizeSource, positionOf } from './lexer.js';
import { parseTemplate } from './parser.js';
import { fillRegistry } from './registry.js';
import { Context, type Runtime } from './runtime.js';
import { addTests } from './tests.js';
import { Dict, type Value } from './values.js';

export type { Limits } from './budget.js';
export { mapTexts, toValue } from './convert.js';
export { RawJson, rawJson } from './raw-json.js';
export { Dict, type Value } from './values.js';

fillRegistry(({ filters, tests }) => {
  addTextFilters(filters);
  addValueFilters(filters);
  addSequenceFilters(filters);
  addTests(tests);
});

export interface RenderSettings {
  /** What `strftime_now` formats. Default: the present. */
  readonly now?: Date;
  /** What the rendering may use. Default: the more, the more it is given (`limitsFor`). */
  readonly limits?: Partial<Limits>;
}

/** Characters of a template; the longest known has some twenty thousand. */
const MAX_SOURCE = 2 ** 17;

export class Template {
  private readonly text: string;
  private readonly program: Program;

  /** @throws {PacelineError} `broken-file` when the template cannot be parsed */
  constructor(readonly source: string) {
    this.text = normalizeSource(source);
    try {
      if (source.length > MAX_SOURCE) {
        throw new SyntaxFault(`it has more than ${MAX_SOURCE} characters`, 0);
      }
      this.program = compileTemplate(parseTemplate(this.text));
    } catch (error) {
      throw this.failure(error, error instanceof SyntaxFault ? error.at : 0, 'parse');
    }
  }

  /**
   * The rendered text.
   * @throws {PacelineError} `usage` with what the template said, or what failed in it, or that it
   *   needs more than its budget
   */
  render(variables: Iterable<readonly [string, Value]>, settings: RenderSettings = {}): string {
    const { now = new Date(), limits } = settings;
    const given = new Map(variables);
    const context = new Context(new Map([...globalNames(now), ...given]));
    const blocks = new Map<string, (context: Context) => string>();
    const runtime: Runtime = { context, autoescape: false, at: 0, blocks };
    for (const [name, run] of this.program.blocks) {
      blocks.set(name, (inner) => {
        const before = runtime.context;
        runtime.context = inner;
        try {
          return run(runtime);
        } finally {
          runtime.context = before;
        }
      });
    }
    try {
      const allowed = { ...limitsFor(sizeOf(given.values())), ...limits };
      return withBudget(allowed, () => this.program.main(runtime));
    } catch (error) {
      throw this.failure(error, runtime.at, 'render');
    }
  }

  private failure(error: unknown, at: number, task: 'parse' | 'render'): PacelineError {
    if (PacelineError.is(error)) return error;
    const { line, column } = positionOf(this.text, at);
    const text = this.text.split('\n')[line - 1]?.trim().slice(0, 200);
    const details = { line, column, ...(text ? { text } : {}) };
    const where = `line ${line}, column ${column}`;
    if (task === 'parse') {
      return new PacelineError(
        'broken-file',
        `The chat template cannot be parsed (${where}): ${messageOf(error)}`,
        {
          hint: 'Give another template with the option for it, or get another file of this model.',
          details,
          cause: error,
        },
      );
    }
    const raised = error instanceof RaisedFault;
    const what = raised ? 'The chat template refuses the messages' : 'The chat template failed';
    return new PacelineError('usage', `${what} (${where}): ${messageOf(error)}`, {
      hint:
        error instanceof BudgetFault
          ? 'Give fewer messages, or another template with the option for it.'
          : 'Change the messages, or give another template with the option for it.',
      details,
      cause: error,
    });
  }
}

/** How much a caller gave: values, those inside others too, and characters in units of 64. */
function sizeOf(values: Iterable<Value>): number {
  let size = 0;
  const open = [...values];
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    size++;
    if (typeof value === 'string') size += value.length / 64;
    else if (Array.isArray(value)) for (const item of value) open.push(item);
    else if (value instanceof Dict) for (const [key, item] of value.pairs()) open.push(key, item);
  }
  return size;
}

function messageOf(error: unknown): string {
  if (error instanceof RaisedFault) return error.message;
  if (error instanceof Fault) return `${error.kind}: ${error.message}`;
  // The engine's own stack ends before a template's budget does.
  if (error instanceof RangeError && /stack/.test(error.message)) return 'it is nested too deeply';
  return error instanceof Error ? error.message : String(error);
}
