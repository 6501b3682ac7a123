import assert from 'node:assert/strict';
import { test } from 'node:test';
import { retryAfterMs } from '../../src/hub/http-errors.js';

const now = Date.parse('2026-01-01T00:00:00Z');

for (const [headers, expected] of [
  [{}, undefined],
  [{ 'retry-after': '7' }, 7000],
  [{ 'retry-after': '0' }, 0],
  [{ 'retry-after': 'Thu, 01 Jan 2026 00:00:30 GMT' }, 30_000],
  [{ 'retry-after': 'Wed, 31 Dec 2025 00:00:00 GMT' }, 0],
  [{ 'retry-after': 'soon' }, undefined],
  [{ 'retry-after': '-5' }, undefined],
  // The hub's own header, as huggingface_hub reads it; a second more against rounding.
  [{ ratelimit: '"api";r=0;t=55' }, 56_000],
  [{ ratelimit: '"api";r=12;t=55' }, undefined],
  [{ 'retry-after': ['3', '9'] }, 3000],
] as const) {
  test(`${JSON.stringify(headers)} asks to wait ${expected} ms`, () => {
    const copy: Record<string, string | string[]> = {};
    for (const [key, value] of Object.entries(headers)) {
      copy[key] = typeof value === 'string' ? value : [...value];
    }
    assert.equal(retryAfterMs(copy, now), expected);
  });
}
