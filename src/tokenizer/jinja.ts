/**
 * Runs a Jinja template as the transformers library does (trimmed blocks, `tojson` without escapes,
 * `raise_exception`, `strftime_now`). Every failure is an error that names the template's line
 * where it can be told. Templates come from model files: they can compute, but reach nothing
 * outside their variables. Knows nothing of chats.
 */
import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja';
import { PacelineError } from '../base/errors.js';
import { extraFilters, rewriteProgram } from './jinja-rewrite.js';
import { strftime } from './strftime.js';

type Program = ReturnType<typeof parse>;

/** Longest result of `range()`, as in Jinja's own sandbox. */
const MAX_RANGE = 100_000;

export class JinjaTemplate {
  private readonly program: Program;

  /** @throws {PacelineError} `broken-file` when the template cannot be parsed. */
  constructor(readonly source: string) {
    try {
      this.program = parseTemplate(source);
    } catch (error) {
      throw failure('broken-file', 'The chat template cannot be parsed', error, {
        source,
        line: syntaxErrorLine(source, messageOf(error)),
      });
    }
  }

  /**
   * The rendered text.
   * @param now the time that `strftime_now` formats
   * @throws {PacelineError} `usage` with what the template said, or what failed in it
   */
  render(variables: Readonly<Record<string, unknown>>, now: Date): string {
    const environment = new Environment();
    const globals: Record<string, unknown> = {
      ...{ true: true, false: false, none: null, True: true, False: false, None: null },
      raise_exception: (message: unknown) => {
        throw new RaisedError(String(message));
      },
      range: (first: number, stop?: number, step = 1) => range(first, stop, step),
      strftime_now: (format: unknown) => strftime(now, String(format)),
      ...extraFilters,
      ...variables,
    };
    for (const [name, value] of Object.entries(globals)) {
      if (value !== undefined) environment.set(name, value);
    }
    try {
      const result: { value: unknown } = new Interpreter(environment).run(this.program);
      return String(result.value);
    } catch (error) {
      const said = error instanceof RaisedError;
      const what = said ? 'The chat template refuses the messages' : 'The chat template failed';
      throw failure('usage', what, error, {
        source: this.source,
        line: said ? literalLine(this.source, error.message) : undefined,
      });
    }
  }
}

/** What a template says with `raise_exception`. */
class RaisedError extends Error {}

function range(first: number, stop: number | undefined, step: number): number[] {
  const [start, end] = stop === undefined ? [0, first] : [first, stop];
  const result: number[] = [];
  if (!step) throw new Error('range() needs a step other than zero');
  for (let value = start; step > 0 ? value < end : value > end; value += step) {
    if (result.length >= MAX_RANGE) throw new Error(`range() of more than ${MAX_RANGE} numbers`);
    result.push(value);
  }
  return result;
}

function parseTemplate(source: string): Program {
  const program = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
  rewriteProgram(program);
  return program;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function failure(
  code: 'usage' | 'broken-file',
  what: string,
  error: unknown,
  { source, line }: { source: string; line: number | undefined },
): PacelineError {
  const where = line === undefined ? '' : ` (line ${line})`;
  const text = line === undefined ? undefined : source.split('\n')[line - 1]?.trim();
  return new PacelineError(code, `${what}${where}: ${messageOf(error)}`, {
    hint:
      code === 'usage'
        ? 'Change the messages, or give another template with the option for it.'
        : 'Give another template with the option for it, or get another file of this model.',
    details: { ...(line === undefined ? {} : { line }), ...(text ? { text } : {}) },
    cause: error,
  });
}

/** The line of the template that holds what it said, when that is a literal. */
function literalLine(source: string, message: string): number | undefined {
  const at = message ? source.indexOf(message) : -1;
  return at < 0 ? undefined : source.slice(0, at).split('\n').length;
}

/**
 * The engine's errors have no position. Every longer beginning of the template fails with the same
 * message from the line on that is wrong; before it, other things fail or nothing does.
 */
function syntaxErrorLine(source: string, message: string): number | undefined {
  const lines = source.split('\n');
  const fails = (count: number): boolean => {
    try {
      parseTemplate(lines.slice(0, count).join('\n'));
      return false;
    } catch (error) {
      return messageOf(error) === message;
    }
  };
  let [low, high] = [1, lines.length];
  if (!fails(high)) return undefined;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (fails(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
