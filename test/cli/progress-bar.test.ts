import assert from 'node:assert/strict';
import { it } from 'node:test';
import { renderProgress } from '../../src/cli/progress-bar.js';

const quarter = { task: 'reading', done: 25, total: 100, unit: 'steps' } as const;

it('shows the share as a bar, in percent and in units', () => {
  assert.equal(
    renderProgress(quarter, 80),
    `reading ${'━'.repeat(6)}${'─'.repeat(18)} 25%  25 of 100 steps`,
  );
  const half = { task: 'loading', done: 2 ** 29, total: 2 ** 30, unit: 'bytes' } as const;
  assert.match(renderProgress(half, 80), / 50% {2}512\.0 MiB of 1\.00 GiB$/);
});

it('leaves the last column free', () => {
  assert.equal(renderProgress(quarter, 20).length, 19);
});

it('says how long the rest takes once the pace is known', () => {
  assert.doesNotMatch(renderProgress(quarter, 120, 4000), /left/);
  assert.match(renderProgress(quarter, 120, 6000), /, 18 s left$/);
  assert.match(renderProgress(quarter, 120, 60_000), /, 3 min left$/);
  assert.match(renderProgress(quarter, 120, 3_600_000), /, 3\.0 h left$/);
});

it('says the speed of bytes, and counts only those that came since', () => {
  const resumed = { task: 'x', done: 60 * 2 ** 20, total: 100 * 2 ** 20, unit: 'bytes' } as const;
  const line = renderProgress(resumed, 120, 10_000, 50 * 2 ** 20);
  assert.match(line, / 60% {2}60\.0 MiB of 100\.0 MiB, 1\.00 MiB\/s, 40 s left$/);
  assert.doesNotMatch(renderProgress(resumed, 120, 1000, 0), /\/s/);
});

it('stands also for work that has no size', () => {
  const nothing = { task: 'reading', done: 0, total: 0, unit: 'tokens' } as const;
  assert.match(renderProgress(nothing, 80, 60_000), / 0% {2}0 of 0 tokens$/);
});
