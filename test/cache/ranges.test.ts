/** Ranges against sets of positions. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import {
  count,
  covers,
  difference,
  intersection,
  type Range,
  union,
} from '../../src/cache/ranges.js';

const size = 24;

/** Positions as a set, in which membership is plain. */
function positions(ranges: readonly Range[]): Set<number> {
  return new Set(
    ranges.flatMap(({ from, end }) => Array.from({ length: end - from }, (_, at) => from + at)),
  );
}

let seed = 1;
function random(below: number): number {
  seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
  return (seed >>> 8) % below;
}

function randomRanges(): Range[] {
  return Array.from({ length: random(5) }, () => {
    const from = random(size);
    return { from, end: from + random(8) };
  });
}

it('joins, cuts and takes away as sets do, and keeps ranges apart and in order', () => {
  for (let round = 0; round < 2000; round++) {
    const [a, b] = [union(randomRanges()), union(randomRanges())];
    const [own, other] = [positions(a), positions(b)];
    const all = Array.from({ length: 2 * size }, (_, at) => at);
    const cases = [
      [union([...a, ...b]), (at: number) => own.has(at) || other.has(at)],
      [intersection(a, b), (at: number) => own.has(at) && other.has(at)],
      [difference(a, b), (at: number) => own.has(at) && !other.has(at)],
    ] as const;
    for (const [found, belongs] of cases) {
      assert.deepEqual([...positions(found)], all.filter(belongs));
      assert.equal(count(found), all.filter(belongs).length);
      for (const [at, { from, end }] of found.entries()) {
        assert.ok(from < end && (at === 0 || (found[at - 1] as Range).end < from));
      }
    }
    const [from, end] = [random(size), random(size)];
    const wanted = all.slice(from, Math.max(from, end));
    assert.equal(
      covers(a, from, end),
      wanted.every((at) => own.has(at)),
    );
  }
});
