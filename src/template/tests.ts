/** Jinja's tests: `value is name`. */
import { isCallable } from './attributes.js';
import { spend } from './budget.js';
import { isCase } from './characters.js';
import { equals } from './compare.js';
import { define, type Table } from './filters/define.js';
import { binary, type Comparison, compare } from './operators.js';
import { findFilter, findTest } from './registry.js';
import { iteratorOf, sizeOf } from './sequences.js';
import { toText } from './text.js';
import {
  Dict,
  hashOf,
  JinjaObject,
  Markup,
  Range,
  Tuple,
  textOf,
  Undefined,
  type Value,
} from './values.js';

const comparisons: Readonly<Record<Comparison, readonly string[]>> = {
  eq: ['==', 'eq', 'equalto'],
  ne: ['!=', 'ne'],
  gt: ['>', 'gt', 'greaterthan'],
  gteq: ['ge', '>='],
  lt: ['<', 'lt', 'lessthan'],
  lteq: ['<=', 'le'],
  in: [],
  notin: [],
};

const checks: Readonly<Record<string, (value: Value) => boolean>> = {
  defined: (value) => !(value instanceof Undefined),
  undefined: (value) => value instanceof Undefined,
  none: (value) => value === null,
  boolean: (value) => typeof value === 'boolean',
  true: (value) => value === true,
  false: (value) => value === false,
  integer: (value) => typeof value === 'bigint',
  float: (value) => typeof value === 'number',
  number: (value) => ['bigint', 'number', 'boolean'].includes(typeof value),
  string: (value) => textOf(value) !== undefined,
  mapping: (value) => value instanceof Dict,
  iterable: (value) => iteratorOf(value) !== undefined,
  sequence: isSequence,
  callable: isCallable,
  escaped: (value) => value instanceof Markup,
  lower: (value) => isCaseOf(value, 'lower'),
  upper: (value) => isCaseOf(value, 'upper'),
};

/** What has a length and items. Undefined has both, though getting an item fails. */
function isSequence(value: Value): boolean {
  if (Array.isArray(value) || textOf(value) !== undefined) return true;
  if (value instanceof JinjaObject) return false;
  const known = value instanceof Tuple || value instanceof Dict || value instanceof Range;
  return known || (value instanceof Undefined && sizeOf(value) === 0);
}

function isCaseOf(value: Value, wanted: 'lower' | 'upper'): boolean {
  const text = toText(value);
  spend(text.length / 8);
  return isCase(text, wanted);
}

/** `value is other`, as far as values have an identity here. */
function sameAs(value: Value, other: Value): boolean {
  if (value instanceof Undefined || other instanceof Undefined) return value === other;
  return value === other;
}

export function addTests(table: Table): void {
  for (const [name, check] of Object.entries(checks)) {
    define(table, name, 'value, /', (_, value) => check(value));
  }
  for (const [comparison, names] of Object.entries(comparisons)) {
    for (const name of names) {
      define(table, name, 'a, b, /', (_, left, right) =>
        compare(comparison as Comparison, left, right),
      );
    }
  }
  define(table, 'in', 'value, seq', (_, value, sequence) => compare('in', value, sequence));
  define(table, 'odd', 'value', (_, value) => equals(binary('%', value, 2n), 1n));
  define(table, 'even', 'value', (_, value) => equals(binary('%', value, 2n), 0n));
  define(table, 'divisibleby', 'value, num', (_, value, number) =>
    equals(binary('%', value, number), 0n),
  );
  define(table, 'sameas', 'value, other', (_, value, other) => sameAs(value, other));
  for (const [name, find] of [
    ['filter', findFilter],
    ['test', findTest],
  ] as const) {
    define(table, name, 'value', (_, value) => {
      hashOf(value);
      const text = textOf(value);
      return text !== undefined && find(text) !== undefined;
    });
  }
}
