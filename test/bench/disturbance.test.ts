import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type DisturbanceInput,
  judgeDisturbance,
  processTicks,
  type Stretch,
  stolenTicks,
  watchStretch,
} from '../../src/bench/disturbance.js';

const quiet: DisturbanceInput = {
  stretches: [{ ms: 1000, others: 0.05, stolen: 0 }],
  rates: [50, 51, 52],
  threads: 2,
  processors: 2,
  memoryShare: 0.9,
  loadAverage: 1.5,
};

function reasons(more: Partial<DisturbanceInput>): string {
  const { disturbed, reasons: found } = judgeDisturbance({ ...quiet, ...more });
  assert.equal(disturbed, found.length > 0);
  return found.join('; ');
}

const stretch = (more: Partial<Stretch>): Stretch => ({ ms: 500, others: 0, stolen: 0, ...more });

test('a quiet machine is not called disturbed', () => {
  assert.deepEqual(judgeDisturbance(quiet), {
    disturbed: false,
    reasons: [],
    other_cpus: 0.05,
    stolen_cpus: 0,
    spread: 2 / 51,
    load_average: 1.5,
  });
});

test('other programs disturb when no processor is left for them', () => {
  const stretches = [stretch({ others: 0.2 }), stretch({ others: 1.4 })];
  assert.match(reasons({ stretches }), /used 0\.8 of 2 processors, beside 2 threads/);
  assert.equal(reasons({ stretches, processors: 8 }), '');
});

test('stolen time, runs that differ, and decode faster than memory are reasons', () => {
  assert.match(reasons({ stretches: [stretch({ stolen: 0.3 })] }), /hypervisor gave 0\.30/);
  assert.match(reasons({ rates: [20, 50, 52] }), /differ by 64%/);
  assert.match(reasons({ loadAverage: 11 }), /load was 11\.0 on 2 processors before/);
  assert.match(reasons({ memoryShare: 1.72 }), /memory were slower than decode/);
});

test('what is not known is null, and no reason', () => {
  const short = judgeDisturbance({
    ...quiet,
    stretches: [stretch({ ms: 20, others: 2 })],
    rates: [5],
    memoryShare: null,
  });
  assert.deepEqual(
    [short.disturbed, short.other_cpus, short.stolen_cpus, short.spread],
    [false, null, null, null],
  );
  const elsewhere = judgeDisturbance({ ...quiet, stretches: [stretch({ stolen: undefined })] });
  assert.deepEqual([elsewhere.other_cpus, elsewhere.stolen_cpus], [0, null]);
});

test('the field of stolen time is found, or missing', () => {
  const line = 'cpu  1 2 3 4 5 6 7 89 0 0';
  assert.equal(stolenTicks(`${line}\ncpu0 1 2 3 4 5 6 7 8 0 0\n`), 89);
  assert.equal(stolenTicks('cpu  1 2 3 4'), undefined);
  assert.equal(stolenTicks(''), undefined);
  const fields = Array.from({ length: 40 }, (_, at) => at + 3).join(' ');
  assert.equal(processTicks(`7 (a) b) ${fields}`), 14 + 15);
  assert.equal(processTicks('7 (a)'), undefined);
});

test('a stretch counts its time, and not this process as others', () => {
  const end = watchStretch();
  const until = performance.now() + 300;
  while (performance.now() < until);
  const stretch = end();
  assert.ok(stretch !== undefined && stretch.ms >= 300 && stretch.others >= 0);
  // The number of a process that there cannot be.
  assert.equal(watchStretch(2 ** 30)(), undefined);
});
