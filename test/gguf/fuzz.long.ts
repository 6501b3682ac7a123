/** More of the same as `fuzz.test.ts`, with other seeds; PACELINE_FUZZ_ROUNDS says how much. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzz } from './fuzz.js';

const rounds = Number(process.env.PACELINE_FUZZ_ROUNDS ?? 300_000);

for (const seed of [3, 77, 4242]) {
  test(`mutated files, seed ${seed}`, async (context) => {
    const report = await fuzz(Math.ceil(rounds / 3), seed);
    context.diagnostic(JSON.stringify(report));
    assert.equal(report.read + report.refused, report.rounds);
  });
}
