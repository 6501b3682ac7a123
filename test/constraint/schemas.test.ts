/** Random texts under masks are valid for ajv. The long test makes ten times as many. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkSchema } from './random-against-ajv.js';
import { schemas } from './schemas.js';
import { embedded, synthetic } from './support.js';

/** Open objects rarely meet their required keys by chance. */
const rarelyEnd = new Set(['open', 'patternKeys', 'anyOf', 'allOfRef', 'email']);

for (const [kind, load] of Object.entries({ embedded, synthetic })) {
  test(`random texts of the ${kind} vocabulary are valid for every schema`, async () => {
    const vocabulary = await load();
    for (const [name, schema] of Object.entries(schemas)) {
      const rare = rarelyEnd.has(name);
      const { ended, total } = checkSchema(vocabulary, name, schema, rare ? 5 : 10, 11);
      assert.ok(rare || ended > total / 2, `${name}: only ${ended} of ${total} texts ended`);
    }
  });
}
