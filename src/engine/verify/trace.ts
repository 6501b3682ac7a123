/**
 * What a generation did, token by token, small enough to keep thousands of: the token, a digest of
 * all bytes of the logits that it was chosen from, and the largest of them.
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
}

export interface Trace {
  readonly tokens: readonly number[];
  readonly rows: readonly TracedRow[];
}

const topCount = 3;

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
  return { position, digest: createHash('sha1').update(bytes).digest('hex'), top };
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
