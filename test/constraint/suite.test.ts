/** The official JSON-Schema-Test-Suite (draft 4): every valid value accepted, no invalid one, or refused. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import type { CompiledConstraint } from '../../src/constraint/compile.js';
import type { JsonObject } from '../../src/constraint/schema/json.js';
import { accepts, compileFor, synthetic, type Vocabulary } from './support.js';

interface Group {
  readonly description: string;
  readonly schema: JsonObject;
  readonly tests: readonly {
    readonly description: string;
    readonly data: unknown;
    readonly valid: boolean;
  }[];
}

const require = createRequire(import.meta.url);
const folder = join(
  dirname(require.resolve('json-schema-test-suite/package.json')),
  'tests',
  'draft4',
);

/** Values whose texts are written in no way that the constraint knows, by group. */
const tooStrict = new Set<string>([]);

function outcome(
  vocabulary: Vocabulary,
  group: Group,
  unsound: string[],
  missing: string[],
): string {
  let compiled: CompiledConstraint;
  try {
    const schema = { $schema: 'http://json-schema.org/draft-04/schema#', ...group.schema };
    compiled = compileFor(vocabulary, { type: 'json-schema', schema });
  } catch (error) {
    assert.ok(PacelineError.is(error) && error.code === 'usage', String(error));
    return 'refused';
  }
  let exact = true;
  for (const { description, data, valid } of group.tests) {
    const found = accepts(compiled, vocabulary, JSON.stringify(data));
    if (found === valid) continue;
    exact = false;
    (found ? unsound : missing).push(`${group.description}: ${description}`);
  }
  return exact ? 'exact' : 'not exact';
}

test('no invalid value of the official suite is accepted, and valid ones are', async () => {
  const vocabulary = await synthetic();
  const counts: Record<string, number> = {};
  const unsound: string[] = [];
  const missing: string[] = [];
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.json'))) {
    const groups = JSON.parse(readFileSync(join(folder, file), 'utf8')) as Group[];
    for (const group of groups) {
      const kind = outcome(vocabulary, group, unsound, missing);
      counts[kind] = (counts[kind] ?? 0) + 1;
    }
  }
  assert.deepEqual(unsound, []);
  assert.deepEqual(
    missing.filter((name) => !tooStrict.has(name)),
    [],
  );
  assert.deepEqual(counts, { exact: 61, refused: 12 });
});
