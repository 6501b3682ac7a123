/**
 * What a dialect is to the server: pure mappings from a checked body to an internal request, and
 * from internal events or a whole result to the dialect's own shapes. No mapping does input or
 * output, reads a clock or draws an id: those come in with the context.
 */
import { z } from 'zod';
import type { PacelineError } from '../../base/errors.js';
import type { TextEvent } from '../../chat/events.js';
import { refuseField } from '../../chat/refusals.js';
import type { TextRequest } from '../../chat/request.js';
import type { TextResult } from '../../chat/result.js';

export interface DialectContext {
  /** A fresh random id with this prefix. */
  newId(prefix: string): string;
  /** Milliseconds since 1970. */
  now(): number;
  header(name: string): string | undefined;
}

/** A request on its way through a dialect. */
export interface TextExchange {
  readonly request: TextRequest;
  /** Of several prompts those after the first; their choices follow in order. */
  readonly further?: readonly TextRequest[];
  readonly stream: boolean;
  /** The body of an answer that is not streamed. */
  body(result: TextResult): unknown;
  encoder(): StreamEncoder;
}

/** Writes a stream; what it returns is sent as it is. One a stream: it remembers what it has said. */
export interface StreamEncoder {
  readonly contentType: 'text/event-stream' | 'application/x-ndjson';
  events(batch: readonly TextEvent[]): string;
  /** The last words of a stream that failed. */
  error(error: PacelineError): string;
  /** The last words of a stream that ended well. */
  end(): string;
  /** Says that the server is alive and means nothing else. */
  ping(): string;
}

export interface ErrorAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** One event of a stream of server-sent events. */
export function sse(data: unknown, event?: string): string {
  const name = event === undefined ? '' : `event: ${event}\n`;
  return `${name}data: ${JSON.stringify(data)}\n\n`;
}

/**
 * A body checked by its schema. Nulls at the top count as absent: clients send them for options that
 * they leave open.
 * @throws {PacelineError} `usage`, naming the first wrong field by its path.
 */
export function checkBody<T>(schema: z.ZodType<T>, body: unknown): T {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw refuseField('', 'The body must be a JSON object');
  }
  const given = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));
  const checked = schema.safeParse(given);
  if (checked.success) return checked.data;
  const { path, message } = firstIssue(checked.error.issues, []);
  const param = path.map(String).join('.');
  const joint = message.startsWith('is missing') ? ' ' : ': ';
  throw refuseField(param, param === '' ? message : param + joint + message);
}

interface Found {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** The most telling issue: inside a union, the one of the variant that got furthest. */
function firstIssue(issues: readonly z.core.$ZodIssue[], prefix: readonly PropertyKey[]): Found {
  const issue = issues[0];
  if (issue === undefined) return { path: prefix, message: 'is wrong' };
  const path = [...prefix, ...issue.path];
  if (issue.code === 'unrecognized_keys') {
    const [key = ''] = issue.keys;
    return { path: [...path, key], message: 'this server does not know the field' };
  }
  if (issue.code === 'invalid_union') {
    const variants = issue.errors
      .filter((errors) => errors.length > 0)
      .map((errors) => firstIssue(errors, path));
    const deepest = variants.sort((a, b) => furtherIn(b.path, a.path))[0];
    if (deepest !== undefined && deepest.path.length > path.length) return deepest;
  }
  if (issue.code === 'invalid_type' && issue.message.endsWith('received undefined')) {
    return { path, message: `is missing; it must be ${article(issue.expected)}` };
  }
  return { path, message: issue.message };
}

/** Above 0 when `a` is deeper in the body than `b`, or later in the same list. */
function furtherIn(a: readonly PropertyKey[], b: readonly PropertyKey[]): number {
  const place = (path: readonly PropertyKey[]): number => Number(path.at(-1)) || 0;
  return a.length - b.length || place(a) - place(b);
}

function article(type: string): string {
  return /^[aeio]/.test(type) ? `an ${type}` : `a ${type}`;
}

/** A field that the API has and this server refuses whenever it is given, with the reason. */
export function refused(reason: string): z.ZodOptional<z.ZodNever> {
  return z.never({ error: reason }).optional();
}

/** A field without influence on the text: any value is accepted. */
export const ignored = z.unknown().optional();
