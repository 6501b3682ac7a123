/** As schemas.test.ts, 200 texts a schema. */
import { test } from 'node:test';
import { checkSchema } from './random-against-ajv.js';
import { schemas } from './schemas.js';
import { embedded, synthetic } from './support.js';

for (const [kind, load] of Object.entries({ embedded, synthetic })) {
  for (const [name, schema] of Object.entries(schemas)) {
    test(`200 random texts of the ${kind} vocabulary are valid: ${name}`, async () => {
      checkSchema(await load(), name, schema, 200, 3);
    });
  }
}
