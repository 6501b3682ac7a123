import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzz } from './fuzz.js';

test('5,000 mutated files are each read or refused', async (context) => {
  const report = await fuzz(5000, 20261);
  context.diagnostic(JSON.stringify(report));
  assert.equal(report.read + report.refused, report.rounds);
  // Neither side is empty: a mutation may hit what no check looks at, such as a letter.
  assert.ok(report.read > report.rounds / 20 && report.refused > report.rounds / 4);
  assert.ok(report.agreed > 25, 'ggml was compared with');
});
