/**
 * What a generation did, token by token, small enough to keep thousands of: the token, a digest of
 * all bytes of the logits that it was chosen from, the largest of them, and some from all over the row.
 */
import { createHash } from 'node:crypto';
import { selectTop } from '../../decode/filters.js';

export interface TopLogit {
  readonly token: number;
  readonly logit: number;
}

export interface TracedRow {
  readonly position: number;
  /** SHA-1 of the row's bytes. */
  readonly digest: string;
  /** The largest logits, best first. */
  readonly top: readonly TopLogit[];
  /** Logits of tokens at even distances, to tell by how much rows differ. */
  readonly probes: Float32Array;
}

export interface Trace {
  readonly tokens: readonly number[];
  readonly rows: readonly TracedRow[];
}

const topCount = 3;
const probeCount = 64;

/** Digest and largest logits of a row. */
export function traceRow(position: number, logits: Float32Array): TracedRow {
  const bytes = Buffer.from(logits.buffer, logits.byteOffset, logits.byteLength);
  const best = new Int32Array(topCount);
  const found = selectTop(logits, Math.min(topCount, logits.length), best);
  const top = Array.from(best.subarray(0, found), (token) => ({
    token,
    logit: logits[token] ?? Number.NaN,
  }));
  top.sort((a, b) => b.logit - a.logit || a.token - b.token);
  const probes = Float32Array.from(
    { length: probeCount },
    (_, at) => logits[Math.floor((at * logits.length) / probeCount)] ?? Number.NaN,
  );
  return { position, digest: createHash('sha1').update(bytes).digest('hex'), top, probes };
}

export interface Divergence {
  readonly kind: 'token' | 'logits';
  /** Position in the sequence of the first row that differs. */
  readonly position: number;
  readonly expected: { readonly token: number | undefined; readonly top: readonly TopLogit[] };
  readonly found: { readonly token: number | undefined; readonly top: readonly TopLogit[] };
}

/**
 * The first place where two traces differ; undefined when they are the same to the byte.
 * @param tokensOnly for devices whose logits depend on the batch: only other tokens count.
 */
export function compareTraces(
  expected: Trace,
  found: Trace,
  tokensOnly = false,
): Divergence | undefined {
  const length = Math.max(expected.rows.length, found.rows.length);
  for (let index = 0; index < length; index++) {
    const [a, b] = [expected.rows[index], found.rows[index]];
    const sameToken = expected.tokens[index] === found.tokens[index];
    const sameRow = a?.digest === b?.digest && a?.position === b?.position;
    if (sameToken && (sameRow || tokensOnly)) continue;
    return {
      kind: sameToken ? 'logits' : 'token',
      position: a?.position ?? b?.position ?? index,
      expected: { token: expected.tokens[index], top: a?.top ?? [] },
      found: { token: found.tokens[index], top: b?.top ?? [] },
    };
  }
  return undefined;
}

/** Another token from logits that are the same but for rounding. */
export interface Flip {
  readonly position: number;
  /** Largest difference between the two rows' logits, as far as kept. */
  readonly difference: number;
  readonly expected: FlipSide;
  readonly found: FlipSide;
}

export interface FlipSide {
  readonly token: number | undefined;
  readonly top: readonly TopLogit[];
  /** Between the largest logit and the next: what decides greedily. */
  readonly gap: number;
}

/** Two traces of a path whose logits depend on the batch. */
export interface Closeness {
  /** Rows compared: up to the first flip, after which the texts are different ones. */
  readonly rows: number;
  /** Those that are not the same to the byte. */
  readonly differing: number;
  readonly largest: number;
  readonly flip?: Flip;
  /** Where the rows differ by more than the tolerance: no rounding. */
  readonly fault?: Divergence;
}

/** Compares traces whose logits may differ by `tolerance`, and whose tokens may where that decides. */
export function compareClosely(expected: Trace, found: Trace, tolerance: number): Closeness {
  const length = Math.max(expected.rows.length, found.rows.length);
  let differing = 0;
  let largest = 0;
  for (let index = 0; index < length; index++) {
    const [a, b] = [expected.rows[index], found.rows[index]];
    const position = a?.position ?? b?.position ?? index;
    const difference = a === undefined || b === undefined ? Infinity : differenceOf(a, b);
    if (a?.digest !== b?.digest) differing++;
    largest = Math.max(largest, difference);
    const [one, other] = [expected.tokens[index], found.tokens[index]];
    const sides = {
      expected: { token: one, top: a?.top ?? [], gap: gapOf(a) },
      found: { token: other, top: b?.top ?? [], gap: gapOf(b) },
    };
    const result = { rows: index + 1, differing, largest };
    // Anything that is not a number is a fault, too.
    if (!(difference <= tolerance)) {
      const kind = one === other ? 'logits' : 'token';
      return { ...result, fault: { kind, position, ...sides } };
    }
    if (one !== other) return { ...result, flip: { position, difference, ...sides } };
  }
  return { rows: length, differing, largest };
}

function gapOf(row: TracedRow | undefined): number {
  const [first, second] = row?.top ?? [];
  return first === undefined || second === undefined ? Infinity : first.logit - second.logit;
}

/** The largest difference between logits that both rows have kept. */
function differenceOf(a: TracedRow, b: TracedRow): number {
  if (a.position !== b.position) return Infinity;
  let largest = 0;
  const note = (one: number, other: number): void => {
    // Also equal where both are -Infinity.
    if (one !== other) largest = Math.max(largest, Math.abs(one - other));
  };
  for (const [at, probe] of a.probes.entries()) note(probe, b.probes[at] ?? Number.NaN);
  for (const { token, logit } of a.top) {
    const same = b.top.find((candidate) => candidate.token === token);
    if (same !== undefined) note(logit, same.logit);
  }
  note(a.top[0]?.logit ?? 0, b.top[0]?.logit ?? 0);
  return largest;
}
