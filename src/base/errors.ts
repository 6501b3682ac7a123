/**
 * Every failure that a caller can see is a `PacelineError` with a code from the closed list below.
 * One table maps codes to the command line's exit codes and to HTTP statuses, so that a new code
 * cannot be forgotten in either place. This module knows nothing of models or files.
 */

interface CodeFacts {
  /** Exit code of the command line (see the contract in `paceline --help`). */
  readonly exit: number;
  /** HTTP status of the server. */
  readonly http: number;
}

/** The closed list of error codes, with what each means to a process and to an HTTP client. */
export const errorCodes = {
  usage: { exit: 2, http: 400 },
  'model-not-found': { exit: 3, http: 404 },
  memory: { exit: 4, http: 507 },
  network: { exit: 5, http: 502 },
  unauthorized: { exit: 5, http: 401 },
  'broken-file': { exit: 6, http: 422 },
  'unsupported-architecture': { exit: 6, http: 422 },
  'unsupported-tokenizer': { exit: 6, http: 422 },
  'unsupported-type': { exit: 6, http: 422 },
  'missing-tensor': { exit: 6, http: 422 },
  'wrong-shape': { exit: 6, http: 422 },
  'bad-weights': { exit: 6, http: 422 },
  'context-overflow': { exit: 1, http: 400 },
  'check-failed': { exit: 7, http: 500 },
  'not-found': { exit: 1, http: 404 },
  'wrong-method': { exit: 1, http: 405 },
  forbidden: { exit: 1, http: 403 },
  'too-large': { exit: 1, http: 413 },
  busy: { exit: 1, http: 429 },
  unavailable: { exit: 1, http: 503 },
  aborted: { exit: 130, http: 499 },
  disposed: { exit: 1, http: 503 },
  platform: { exit: 1, http: 501 },
  graph: { exit: 1, http: 500 },
  io: { exit: 1, http: 500 },
  internal: { exit: 1, http: 500 },
} as const satisfies Record<string, CodeFacts>;

export type ErrorCode = keyof typeof errorCodes;

export interface ErrorContext {
  /** What the reader can do about it, one sentence. */
  readonly hint?: string;
  /** Where: file, tensor, offset, flag, ... as plain data. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

const marker = Symbol.for('paceline.error');

/** The one error class. `code` is stable; `message` says what was wrong and where; `hint` what to do. */
export class PacelineError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;
  readonly [marker] = true;

  constructor(code: ErrorCode, message: string, context: ErrorContext = {}) {
    super(message, context.cause === undefined ? undefined : { cause: context.cause });
    this.name = 'PacelineError';
    this.code = code;
    this.hint = context.hint;
    this.details = context.details ?? {};
  }

  /** The process exit code that the command line's contract gives to this error. */
  get exitCode(): number {
    return errorCodes[this.code].exit;
  }

  /** The HTTP status that the server gives to this error. */
  get httpStatus(): number {
    return errorCodes[this.code].http;
  }

  /** True also for errors of another copy of this package in the same process. */
  static is(value: unknown): value is PacelineError {
    return value instanceof Error && (value as { [marker]?: boolean })[marker] === true;
  }
}

/**
 * @internal Throws the `aborted` error if the signal has fired.
 * @throws {PacelineError} `aborted`, with the signal's reason as cause.
 */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw new PacelineError('aborted', 'The operation was aborted', { cause: signal.reason });
  }
}
