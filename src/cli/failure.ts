/**
 * How the command line fails: one message with a hint on stderr, the same as JSON on stdout where
 * the caller asked for JSON, and the exit code of the contract.
 */
import { CommanderError } from 'commander';
import { errorCodes, PacelineError } from '../base/errors.js';
import { inFlags } from './flag-names.js';
import { note, printJson } from './output.js';

/** The exit codes, as `--help` and the documentation show them. */
export const exitCodes: readonly (readonly [code: number, meaning: string])[] = [
  [0, 'success'],
  [1, 'failure'],
  [2, 'wrong usage'],
  [3, 'model not found'],
  [4, 'not enough memory'],
  [5, 'network or authorisation failed'],
  [6, 'broken or unsupported file'],
  [7, 'a check failed (verify, a bench gate)'],
  [130, 'stopped by Ctrl-C'],
];

/** The words of the command, `paceline` and all, that refused its arguments. */
const refusers = new WeakMap<CommanderError, string>();

/** Remembers which command refused, so that the hint can name its help. */
export function refusedBy(error: CommanderError, command: string): CommanderError {
  if (!refusers.has(error)) refusers.set(error, command);
  return error;
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error && 'syscall' in error;
}

/** The same error in the words of the command line. */
function withFlags(error: PacelineError): PacelineError {
  const message = inFlags(error.message);
  const hint = error.hint === undefined ? undefined : inFlags(error.hint);
  if (message === error.message && hint === error.hint) return error;
  const { code, details } = error;
  return new PacelineError(code, message, {
    ...(hint === undefined ? {} : { hint }),
    details,
    cause: error,
  });
}

/** Any thrown value as the typed error that it means to a user of the command line. */
export function toPacelineError(error: unknown): PacelineError {
  if (PacelineError.is(error)) return withFlags(error);
  if (error instanceof CommanderError) {
    const message = error.message.replace(/^error: (?:command-argument (?=value))?/, '');
    return new PacelineError('usage', shortened(message), {
      hint: `See \`${refusers.get(error) ?? 'paceline'} --help\`.`,
    });
  }
  if (error instanceof Error && error.name === 'AbortError') {
    return new PacelineError('aborted', 'Stopped', { cause: error });
  }
  if (isSystemError(error)) return new PacelineError('io', error.message, { cause: error });
  const message = error instanceof Error ? error.message : String(error);
  return new PacelineError('internal', `Internal error: ${message}`, {
    hint: 'This is a bug. PACELINE_DEBUG=1 prints the stack; please report it with that.',
    cause: error,
  });
}

/** Commander repeats what was typed, however long it is. */
function shortened(message: string): string {
  return message.replace(/\S{200,}/g, (word) => `${word.slice(0, 100)}…`);
}

/** The JSON of an error. */
function errorJson({ code, message, hint, details }: PacelineError): Record<string, unknown> {
  return { code, message, hint, ...(Object.keys(details).length > 0 ? { details } : {}) };
}

/**
 * Prints a failure in the form that was asked for and returns the exit code.
 * @param partial what there is in spite of it: JSON has its fields beside `error`.
 */
export async function reportFailure(
  thrown: unknown,
  json: boolean,
  partial: object = {},
): Promise<number> {
  const error = toPacelineError(thrown);
  if (json) await printJson({ ...partial, error: errorJson(error) });
  if (error.code === 'aborted') {
    if (process.stderr.isTTY) note('');
  } else {
    note(`error: ${error.message}`);
    if (error.hint !== undefined) note(`hint: ${error.hint}`);
  }
  if (process.env.PACELINE_DEBUG) {
    const origin = error.cause instanceof Error ? error.cause : error;
    note(origin.stack ?? String(origin));
  }
  return errorCodes[error.code].exit;
}
