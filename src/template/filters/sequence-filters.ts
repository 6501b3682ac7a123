/** Jinja's filters on sequences. Those that are generators in Jinja are lazy here, too. */
import { spendItems, used } from '../budget.js';
import { equals, lessThan, sorted } from '../compare.js';
import { Fault, typeFault } from '../faults.js';
import { requireCount } from '../numbers.js';
import { binary } from '../operators.js';
import { findFilter, findTest } from '../registry.js';
import type { Runtime } from '../runtime.js';
import { each, itemOf, iteratorOf, listOf, requireSize, sliceOf, truthy } from '../sequences.js';
import { toRepr } from '../text.js';
import {
  Dict,
  DictView,
  Group,
  hashOf,
  type Keywords,
  Markup,
  Range,
  Stream,
  Tuple,
  textOf,
  typeName,
  Undefined,
  type Value,
} from '../values.js';
import { attributeGetter, attributesGetter, type Getter, ignoreCase } from './attribute-path.js';
import { define, type Table } from './define.js';

const cased = (caseSensitive: Value): Getter | undefined =>
  truthy(caseSensitive) ? undefined : ignoreCase;

export function addSequenceFilters(table: Table): void {
  define(table, 'list', 'value', (_, value) => listOf(value));
  define(table, 'first', 'seq', (_, value) => {
    for (const item of each(value)) return item;
    return new Undefined('No first item, sequence was empty.');
  });
  define(table, 'last', 'seq', (_, value) => {
    for (const item of each(reversed(value))) return item;
    return new Undefined('No last item, sequence was empty.');
  });
  define(table, 'random', 'seq', (_, value) => randomItem(value));
  define(table, 'reverse', 'value', (_, value) => reverseFilter(value));
  define(table, 'items', 'value', (_, value) => new Stream(items(value)));
  define(
    table,
    'sort',
    'value, reverse=False, case_sensitive=False, attribute=None',
    (_, value, reverse, caseSensitive, attribute) =>
      sorted(listOf(value), attributesGetter(attribute, cased(caseSensitive)), truthy(reverse)),
  );
  define(
    table,
    'dictsort',
    "value, case_sensitive=False, by='key', reverse=False",
    (_, value, caseSensitive, by, reverse) =>
      dictSort(value, truthy(caseSensitive), by, truthy(reverse)),
  );
  define(
    table,
    'unique',
    'value, case_sensitive=False, attribute=None',
    (_, value, sensitive, name) =>
      new Stream(unique(value, attributeGetter(name, cased(sensitive)))),
  );
  for (const name of ['min', 'max'] as const) {
    define(
      table,
      name,
      'value, case_sensitive=False, attribute=None',
      (_, value, sensitive, attribute) =>
        extreme(value, attributeGetter(attribute, cased(sensitive)), name),
    );
  }
  define(table, 'sum', 'iterable, attribute=None, start=0', (_, value, attribute, start) =>
    sum(value, attributeGetter(attribute), start),
  );
  define(
    table,
    'groupby',
    'value, attribute, default=None, case_sensitive=False',
    (_, value, attribute, otherwise, caseSensitive) =>
      groupBy(value, attribute, otherwise, truthy(caseSensitive)),
  );
  define(
    table,
    'batch',
    'value, linecount, fill_with=None',
    (_, value, count, fill) => new Stream(batches(value, count, fill)),
  );
  define(
    table,
    'slice',
    'value, slices, fill_with=None',
    (_, value, count, fill) => new Stream(slices(value, count, fill)),
  );
  table.set(
    'map',
    (runtime, [value, ...args], keywords) =>
      new Stream(mapped(runtime, given('map', value), args, keywords)),
  );
  for (const [name, keep, byAttribute] of [
    ['select', true, false],
    ['reject', false, false],
    ['selectattr', true, true],
    ['rejectattr', false, true],
  ] as const) {
    table.set(name, (runtime, [value, ...args], keywords) => {
      const source = given(name, value);
      return new Stream(selected(runtime, source, args, keywords, { keep, byAttribute }));
    });
  }
}

function given(name: string, value: Value | undefined): Value {
  if (value === undefined) throw typeFault(`${name}() needs a value`);
  return value;
}

/** `reversed(value)`. @throws {Fault} `TypeError` for what has no end to begin from */
function reversed(value: Value): Value {
  if (value instanceof Undefined) return new Stream([][Symbol.iterator](), 'reversed');
  const text = textOf(value);
  if (text !== undefined) {
    const marked = (item: Value) => (value instanceof Markup ? new Markup(String(item)) : item);
    return new Stream(listOf(text).reverse().map(marked)[Symbol.iterator](), 'reversed');
  }
  if (value instanceof Range)
    return new Stream(listOf(value).reverse()[Symbol.iterator](), 'range_iterator');
  const reversible =
    Array.isArray(value) ||
    value instanceof Tuple ||
    value instanceof Dict ||
    value instanceof DictView;
  if (!reversible) throw typeFault(`'${typeName(value)}' object is not reversible`);
  return new Stream(listOf(value).reverse()[Symbol.iterator](), 'list_reverseiterator');
}

function reverseFilter(value: Value): Value {
  if (textOf(value) !== undefined) return sliceOf(value, null, null, -1n);
  if (value instanceof Stream) return listOf(value).reverse();
  if (iteratorOf(value) === undefined) {
    throw new Fault('FilterArgumentError', 'argument must be iterable');
  }
  return reversed(value);
}

function randomItem(value: Value): Value {
  const size = requireSize(value);
  if (size === 0) return new Undefined('No random item, sequence was empty.');
  // A prompt is a pure function of what goes in: chance is the number of steps so far.
  const index = BigInt(Math.floor(used().steps * 7.31) % size);
  const item = value instanceof Dict ? value.get(index) : itemOf(value, index);
  if (item === undefined) throw new Fault('KeyError', `${index}`);
  return item;
}

function* items(value: Value): Generator<Value> {
  if (value instanceof Undefined) return;
  if (!(value instanceof Dict)) throw typeFault('Can only get item pairs from a mapping.');
  for (const [key, item] of value.pairs()) yield new Tuple([key, item]);
}

function dictSort(value: Value, caseSensitive: boolean, by: Value, reverse: boolean): Value {
  const name = textOf(by);
  if (name !== 'key' && name !== 'value') {
    throw new Fault('FilterArgumentError', 'You can only sort by either "key" or "value"');
  }
  if (value instanceof Undefined) value.fail();
  if (!(value instanceof Dict)) throw typeFault(`'${typeName(value)}' object has no items`);
  const pairs = [...value.pairs()];
  spendItems(pairs.length);
  const key = (pair: readonly [Value, Value]) => {
    const part = name === 'key' ? pair[0] : pair[1];
    return caseSensitive ? part : ignoreCase(part);
  };
  return sorted(pairs, key, reverse).map((pair) => new Tuple(pair));
}

function* unique(value: Value, get: Getter): Generator<Value> {
  const seen = new Set<unknown>();
  for (const item of each(value)) {
    const key = hashOf(get(item));
    if (seen.has(key)) continue;
    seen.add(key);
    yield item;
  }
}

function extreme(value: Value, get: Getter, name: 'min' | 'max'): Value {
  let best: { readonly item: Value; readonly key: Value } | undefined;
  for (const item of each(value)) {
    const key = get(item);
    const better = best && (name === 'min' ? lessThan(key, best.key) : lessThan(best.key, key));
    if (!best || better) best = { item, key };
  }
  return best ? best.item : new Undefined('No aggregated item, sequence was empty.');
}

function sum(value: Value, get: Getter, start: Value): Value {
  if (textOf(start) !== undefined)
    throw typeFault("sum() can't sum strings [use ''.join(seq) instead]");
  let total = start;
  for (const item of each(value)) total = binary('+', total, get(item));
  return total;
}

function groupBy(value: Value, attribute: Value, otherwise: Value, caseSensitive: boolean): Value {
  const post = caseSensitive ? undefined : ignoreCase;
  const key = attributeGetter(attribute, post, otherwise);
  const shown = attributeGetter(attribute, undefined, otherwise);
  const groups: { key: Value; items: Value[] }[] = [];
  for (const item of sorted(listOf(value), key)) {
    const own = key(item);
    const last = groups.at(-1);
    if (last && equals(last.key, own)) last.items.push(item);
    else groups.push({ key: own, items: [item] });
  }
  return groups.map(({ key: own, items: list }) => {
    const [first = null] = list;
    return new Group([caseSensitive ? own : shown(first), list]);
  });
}

function* batches(value: Value, count: Value, fill: Value): Generator<Value> {
  const size = typeof count === 'number' ? count : requireOrNever(count);
  let batch: Value[] = [];
  for (const item of each(value)) {
    if (batch.length === size) {
      yield batch;
      batch = [];
    }
    spendItems(1);
    batch.push(item);
  }
  if (batch.length === 0) return;
  if (fill !== null) {
    if (typeof count !== 'bigint' && typeof count !== 'boolean') {
      lessThan(BigInt(batch.length), count);
      throw typeFault("can't multiply sequence by non-int");
    }
    const missing = requireCount(count) - batch.length;
    spendItems(Math.max(0, missing));
    for (let index = 0; index < missing; index++) batch.push(fill);
  }
  yield batch;
}

/** A length that a batch is compared with; what is no number is never reached. */
function requireOrNever(count: Value): number {
  return typeof count === 'bigint' || typeof count === 'boolean' ? Number(count) : Number.NaN;
}

function* slices(value: Value, count: Value, fill: Value): Generator<Value> {
  const list = listOf(value);
  const number = requireCount(count);
  if (number === 0) throw new Fault('ZeroDivisionError', 'integer division or modulo by zero');
  const size = Math.floor(list.length / number);
  const longer = list.length - size * number;
  let start = 0;
  for (let index = 0; index < number; index++) {
    const end = start + size + (index < longer ? 1 : 0);
    const part = list.slice(start, end);
    spendItems(part.length + 8);
    if (fill !== null && index >= longer) part.push(fill);
    yield part;
    start = end;
  }
}

function* mapped(
  runtime: Runtime,
  value: Value,
  args: readonly Value[],
  keywords: Keywords,
): Generator<Value> {
  if (!truthy(value)) return;
  const apply = mapFunction(runtime, args, keywords);
  for (const item of each(value)) yield apply(item);
}

function mapFunction(runtime: Runtime, args: readonly Value[], keywords: Keywords): Getter {
  const attribute = keywords.get('attribute');
  if (args.length === 0 && attribute !== undefined) {
    for (const key of keywords.keys()) {
      if (key !== 'attribute' && key !== 'default') {
        throw new Fault('FilterArgumentError', `Unexpected keyword argument '${key}'`);
      }
    }
    return attributeGetter(attribute, undefined, keywords.get('default') ?? null);
  }
  const [name, ...rest] = args;
  if (name === undefined) {
    throw new Fault('FilterArgumentError', 'map requires a filter argument');
  }
  const filter = named('filter', name);
  return (item) => filter(runtime, [item, ...rest], keywords);
}

function named(kind: 'filter' | 'test', name: Value) {
  const text = textOf(name);
  hashOf(name);
  const found =
    text === undefined ? undefined : kind === 'filter' ? findFilter(text) : findTest(text);
  if (!found) throw new Fault('TemplateRuntimeError', `No ${kind} named ${toRepr(name)}.`);
  return found;
}

interface Selection {
  /** Whether what passes stays, or what does not. */
  readonly keep: boolean;
  /** Whether an attribute is looked at, whose name comes first. */
  readonly byAttribute: boolean;
}

function* selected(
  runtime: Runtime,
  value: Value,
  args: readonly Value[],
  keywords: Keywords,
  { keep, byAttribute }: Selection,
): Generator<Value> {
  if (!truthy(value)) return;
  const [attribute] = args;
  if (byAttribute && attribute === undefined) {
    throw new Fault('FilterArgumentError', 'Missing parameter for attribute name');
  }
  const get = byAttribute ? attributeGetter(attribute ?? null) : undefined;
  const [name, ...rest] = args.slice(byAttribute ? 1 : 0);
  for (const item of each(value)) {
    const part = get ? get(item) : item;
    const passes =
      name === undefined
        ? truthy(part)
        : truthy(named('test', name)(runtime, [part, ...rest], keywords));
    if (passes === keep) yield item;
  }
}
