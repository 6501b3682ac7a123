/**
 * Failures as plain data, so that they keep their code, hint and details between processes.
 */
import { type ErrorCode, errorCodes, PacelineError } from '../../base/errors.js';

export interface FailureData {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** Any thrown value as a typed error; a value that nobody expected is `internal` and says so. */
export function toFailure(thrown: unknown): PacelineError {
  if (PacelineError.is(thrown)) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new PacelineError('internal', `Internal error: ${message}`, { cause: thrown });
}

/** What of an error may cross to another process. Details that are no JSON are left out. */
export function failureData(thrown: unknown): FailureData {
  const { code, message, hint, details } = toFailure(thrown);
  let plain: Record<string, unknown> = {};
  try {
    plain = JSON.parse(JSON.stringify(details)) as Record<string, unknown>;
  } catch {
    // A detail that can't be written is not worth losing the error for.
  }
  return { code, message, ...(hint === undefined ? {} : { hint }), details: plain };
}

/** The error that `failureData` took apart. */
export function fromFailureData(data: FailureData): PacelineError {
  const code = data.code in errorCodes ? data.code : 'internal';
  const { message, hint, details } = data;
  return new PacelineError(code, message, { ...(hint === undefined ? {} : { hint }), details });
}

/** Seconds after which a refused request may be tried again; undefined for other failures. */
export function retryAfter(error: PacelineError): number | undefined {
  if (error.code !== 'busy' && error.code !== 'unavailable') return undefined;
  const { retryAfter: seconds } = error.details;
  return typeof seconds === 'number' ? seconds : 1;
}
