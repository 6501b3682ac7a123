/** Which of several draft files beside a model are taken. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { usableDrafters } from '../../src/cli/model-names.js';
import { companionsOf } from '../../src/engine/model-path.js';
import type { PlannedModel } from '../../src/hub/plan.js';
import { temporaryFile } from '../support/tiny-model.js';

test('of a DSpark and a DFlash file beside a model, DSpark is taken', () => {
  const path = temporaryFile('companions.gguf');
  const named = (kind: string) => path.replace(/\.gguf$/, `-${kind}.gguf`);
  const found = () => companionsOf(path).map((file) => /-(\w+)\.gguf$/.exec(file)?.[1]);
  assert.deepEqual(found(), []);
  for (const kind of ['dflash', 'mtp']) writeFileSync(named(kind), '');
  assert.deepEqual(found(), ['mtp', 'dflash']);
  writeFileSync(named('dspark'), '');
  assert.deepEqual(found(), ['mtp', 'dspark']);
});

test('of drafters that are offered, those of kinds that this version has are taken', () => {
  const taken = (...kinds: readonly PlannedModel['drafter'][]) =>
    usableDrafters(kinds.map((drafter) => ({ drafter }) as PlannedModel)).map(
      ({ drafter }) => drafter,
    );
  assert.deepEqual(taken('mtp', 'eagle3', 'dflash'), ['mtp', 'dflash']);
  assert.deepEqual(taken('dflash', 'dspark', 'assistant'), ['dspark', 'assistant']);
});
