/** Random texts under the masks of a schema, judged by ajv. */
import assert from 'node:assert/strict';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import type { Json } from '../../src/constraint/schema/json.js';
import { compileFor, randomNumbers, randomText, type Vocabulary } from './support.js';

/** A judge of values. */
export function judge(schema: Json): (value: unknown) => boolean {
  const ajv = new Ajv2020({
    strict: false,
    allErrors: false,
    multipleOfPrecision: 9,
    validateSchema: false,
  });
  addFormats.default(ajv);
  const converted = JSON.parse(
    JSON.stringify(schema, (key, value) =>
      // ajv's draft 2020-12 does not know the older tuples.
      key === 'items' && Array.isArray(value) ? undefined : value,
    ),
  ) as Record<string, unknown>;
  const { items, additionalItems } = schema as { items?: unknown; additionalItems?: unknown };
  if (Array.isArray(items)) {
    converted.prefixItems = items;
    if (additionalItems !== undefined) converted.items = additionalItems;
  }
  return ajv.compile(converted);
}

export interface Counts {
  ended: number;
  total: number;
}

/** Makes texts and fails on one that is not valid. */
export function checkSchema(
  vocabulary: Vocabulary,
  name: string,
  schema: Json,
  texts: number,
  seed: number,
): Counts {
  const compiled = compileFor(vocabulary, { type: 'json-schema', schema });
  assert.deepEqual(compiled.warnings, []);
  const valid = judge(schema);
  const random = randomNumbers(seed);
  const counts = { ended: 0, total: texts };
  for (let count = 0; count < texts; count++) {
    const { text, ended } = randomText(vocabulary, compiled.start(), random);
    if (!ended) continue;
    counts.ended++;
    const value: unknown = JSON.parse(text);
    assert.ok(valid(value), `${name}: ${JSON.stringify(text)} is not valid`);
  }
  return counts;
}
