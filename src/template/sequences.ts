/**
 * What Python does with containers: truth, length, iteration, membership, subscripts and slices.
 */
import { spend, spendItems, spendText } from './budget.js';
import { equals } from './compare.js';
import { Fault, typeFault, valueFault } from './faults.js';
import { characters, isPlain, lengthOf, sliceText, toText } from './text.js';
import {
  Dict,
  DictView,
  intOf,
  JinjaObject,
  Markup,
  Namespace,
  Range,
  Stream,
  Tuple,
  textOf,
  typeName,
  Undefined,
  type Value,
} from './values.js';

/** `bool(value)`. */
export function truthy(value: Value): boolean {
  if (value === null) return false;
  switch (typeof value) {
    case 'boolean':
      return value;
    case 'string':
      return value !== '';
    case 'bigint':
      return value !== 0n;
    case 'number':
      return value !== 0;
    default:
      return sizeOf(value) !== 0;
  }
}

/** `len(value)`, or undefined where there is none. */
export function sizeOf(value: Value): number | undefined {
  if (Array.isArray(value)) return value.length;
  if (typeof value === 'string') return lengthOf(value);
  if (value instanceof Tuple) return value.items.length;
  if (value instanceof Dict) return value.size;
  if (value instanceof DictView) return value.dict.size;
  if (value instanceof Range) return value.length;
  if (value instanceof Markup) return lengthOf(value.text);
  if (value instanceof Undefined) return 0;
  if (value instanceof JinjaObject) {
    const length = value instanceof SizedObject ? value.size() : undefined;
    return length;
  }
  return undefined;
}

/** An object of Jinja that has a length and can be iterated over: `loop`. */
export abstract class SizedObject extends JinjaObject {
  abstract size(): number;
  abstract iterate(): Iterator<Value>;
}

/** `len(value)`. @throws {Fault} `TypeError` */
export function requireSize(value: Value): number {
  const size = sizeOf(value);
  if (size === undefined) throw typeFault(`object of type '${typeName(value)}' has no len()`);
  return size;
}

/** `iter(value)`, or undefined where it cannot be iterated over. */
export function iteratorOf(value: Value): Iterator<Value> | undefined {
  if (Array.isArray(value)) return value[Symbol.iterator]();
  if (typeof value === 'string') return characters(value)[Symbol.iterator]();
  if (value instanceof Tuple) return value.items[Symbol.iterator]();
  if (value instanceof Dict) {
    spendItems(value.size);
    return value.keys()[Symbol.iterator]();
  }
  if (value instanceof DictView) {
    spendItems(value.dict.size);
    return value.list()[Symbol.iterator]();
  }
  if (value instanceof Range) return rangeIterator(value);
  if (value instanceof Stream) return value.iterator;
  if (value instanceof Markup) return characters(value.text)[Symbol.iterator]();
  if (value instanceof Undefined) return [][Symbol.iterator]();
  if (value instanceof SizedObject) return value.iterate();
  return undefined;
}

function* rangeIterator(range: Range): Generator<Value> {
  for (let index = 0; index < range.length; index++) yield range.at(index);
}

/** The values of an iterable, one by one, each of which counts as a step. */
export function* each(value: Value): Generator<Value, void> {
  const iterator = requireIterator(value);
  for (let next = iterator.next(); !next.done; next = iterator.next()) {
    spend();
    yield next.value;
  }
}

/** `iter(value)`. @throws {Fault} `TypeError` */
export function requireIterator(value: Value): Iterator<Value> {
  const iterator = iteratorOf(value);
  if (iterator === undefined) throw typeFault(`'${typeName(value)}' object is not iterable`);
  return iterator;
}

/** `list(value)`. */
export function listOf(value: Value): Value[] {
  const size = value instanceof SizedObject ? undefined : sizeOf(value);
  if (size !== undefined) spendItems(size);
  const result: Value[] = [];
  for (const item of each(value)) {
    if (size === undefined) spendItems(1);
    result.push(item);
  }
  return result;
}

/** `item in container`. @throws {Fault} `TypeError` */
export function contains(container: Value, item: Value): boolean {
  const text = textOf(container);
  if (text !== undefined) {
    const part = textOf(item);
    if (part === undefined) {
      throw typeFault(`'in <string>' requires string as left operand, not ${typeName(item)}`);
    }
    spend(text.length / 32);
    return text.includes(part);
  }
  if (container instanceof Dict) return container.has(item);
  if (container instanceof DictView && container.part === 'keys') return container.dict.has(item);
  if (container instanceof Range) return inRange(container, item);
  if (iteratorOf(container) === undefined) {
    throw typeFault(`argument of type '${typeName(container)}' is not iterable`);
  }
  for (const candidate of each(container))
    if (candidate === item || equals(candidate, item)) return true;
  return false;
}

function inRange(range: Range, item: Value): boolean {
  const value = typeof item === 'number' && Number.isInteger(item) ? BigInt(item) : intOf(item);
  if (value === undefined) return false;
  const offset = value - range.start;
  const index = offset / range.step;
  return offset % range.step === 0n && index >= 0n && index < BigInt(range.length);
}

/** `container[key]`, or undefined where Python has an IndexError, KeyError or TypeError. */
export function itemOf(container: Value, key: Value): Value | undefined {
  if (container instanceof Dict) {
    if (Array.isArray(key) || key instanceof Dict || key instanceof DictView) return undefined;
    return hashable(key) ? container.get(key) : undefined;
  }
  if (container instanceof Undefined) return container.fail();
  if (container instanceof JinjaObject) return container.item(key);
  const index = intOf(key);
  if (index === undefined) return undefined;
  if (Array.isArray(container)) return at(container, index);
  if (container instanceof Tuple) return at(container.items, index);
  if (typeof container === 'string') return characterAt(container, index);
  if (container instanceof Markup) {
    const character = characterAt(container.text, index);
    return character === undefined ? undefined : new Markup(character);
  }
  if (container instanceof Range) {
    const place = placeOf(container.length, index);
    return place === undefined ? undefined : container.at(place);
  }
  return undefined;
}

function hashable(key: Value): boolean {
  return (
    !(key instanceof Tuple) ||
    key.items.every((item) => !Array.isArray(item) && !(item instanceof Dict) && hashable(item))
  );
}

function placeOf(length: number, index: bigint): number | undefined {
  const place = index < 0n ? Number(index) + length : Number(index);
  return place >= 0 && place < length ? place : undefined;
}

function at(items: readonly Value[], index: bigint): Value | undefined {
  const place = placeOf(items.length, index);
  return place === undefined ? undefined : items[place];
}

function characterAt(text: string, index: bigint): string | undefined {
  if (isPlain(text)) {
    const place = placeOf(text.length, index);
    return place === undefined ? undefined : text[place];
  }
  const all = characters(text);
  const place = placeOf(all.length, index);
  return place === undefined ? undefined : all[place];
}

/** `container[start:stop:step]`. @throws {Fault} as Python does */
export function sliceOf(container: Value, start: Value, stop: Value, step: Value): Value {
  if (container instanceof Undefined) return container.fail();
  const text = textOf(container);
  if (text !== undefined) {
    const result = sliceString(text, start, stop, step);
    return container instanceof Markup ? new Markup(result) : result;
  }
  if (Array.isArray(container)) return pick(container, start, stop, step);
  if (container instanceof Tuple) return new Tuple(pick(container.items, start, stop, step));
  if (container instanceof Range) return sliceRange(container, start, stop, step);
  if (container instanceof Dict) throw typeFault("unhashable type: 'slice'");
  throw typeFault(`'${typeName(container)}' object is not subscriptable`);
}

function sliceString(text: string, start: Value, stop: Value, step: Value): string {
  if (step === null || step === 1n) {
    const { from, to } = slicePlaces(lengthOf(text), start, stop, step);
    const result = from < to ? sliceText(text, from, to) : '';
    spend(result.length / 64);
    return result;
  }
  return pick(characters(text), start, stop, step).join('');
}

function pick<T>(items: readonly T[], start: Value, stop: Value, step: Value): T[] {
  const { from, to, by, count } = slicePlaces(items.length, start, stop, step);
  spendItems(count);
  if (by === 1) return items.slice(from, Math.max(from, to));
  return Array.from({ length: count }, (_, index) => items[from + index * by] as T);
}

function sliceRange(range: Range, start: Value, stop: Value, step: Value): Range {
  const { from, to, by, count } = slicePlaces(range.length, start, stop, step);
  return new Range(range.at(from), range.at(to), range.step * BigInt(by), count);
}

interface Places {
  readonly from: number;
  readonly to: number;
  readonly by: number;
  readonly count: number;
}

function slicePlaces(length: number, start: Value, stop: Value, step: Value): Places {
  const by = sliceIndex(step) ?? 1;
  if (by === 0) throw valueFault('slice step cannot be zero');
  const [lowest, highest] = by > 0 ? [0, length] : [-1, length - 1];
  const place = (value: Value, otherwise: number) => {
    const index = sliceIndex(value);
    if (index === undefined) return otherwise;
    return Math.min(Math.max(index < 0 ? index + length : index, lowest), highest);
  };
  const from = place(start, by > 0 ? lowest : highest);
  const to = place(stop, by > 0 ? highest : lowest);
  return { from, to, by, count: Math.max(0, Math.ceil((to - from) / by)) };
}

function sliceIndex(value: Value): number | undefined {
  if (value === null) return undefined;
  const index = intOf(value);
  if (index === undefined) {
    throw typeFault('slice indices must be integers or None or have an __index__ method');
  }
  const limit = 2n ** 40n;
  return Number(index > limit ? limit : index < -limit ? -limit : index);
}

/** The values that an assignment to `count` names takes apart. @throws {Fault} `ValueError` */
export function unpack(value: Value, count: number): Value[] {
  if (iteratorOf(value) === undefined) {
    throw typeFault(`cannot unpack non-iterable ${typeName(value)} object`);
  }
  const items: Value[] = [];
  for (const item of each(value)) {
    if (items.length === count) throw valueFault(`too many values to unpack (expected ${count})`);
    items.push(item);
  }
  if (items.length < count) {
    throw valueFault(`not enough values to unpack (expected ${count}, got ${items.length})`);
  }
  return items;
}

/** `range(...)`. @throws {Fault} `OverflowError` beyond 100,000 numbers, as in Jinja's sandbox */
export function makeRange(args: readonly Value[]): Range {
  const numbers = args.map((value) => {
    const number = intOf(value);
    if (number === undefined) {
      throw typeFault(`'${typeName(value)}' object cannot be interpreted as an integer`);
    }
    return number;
  });
  if (numbers.length < 1 || numbers.length > 3) throw typeFault('range expected 1 to 3 arguments');
  const [first = 0n, second, step = 1n] = numbers;
  const [start, stop] = second === undefined ? [0n, first] : [first, second];
  if (step === 0n) throw valueFault('range() arg 3 must not be zero');
  const span = step > 0n ? stop - start : start - stop;
  const size = step > 0n ? step : -step;
  const length = span <= 0n ? 0n : (span + size - 1n) / size;
  if (length > 100_000n) {
    throw new Fault(
      'OverflowError',
      'Range too big. The sandbox blocks ranges larger than 100000.',
    );
  }
  return new Range(start, stop, step, Number(length));
}

/** The texts of an iterable's values, joined. */
export function joinTexts(separator: string, items: Iterable<Value>): string {
  const parts: string[] = [];
  let length = 0;
  for (const item of items) {
    const text = toText(item);
    length += text.length + separator.length;
    spendText(text.length + separator.length);
    parts.push(text);
  }
  spendText(0);
  return length === 0 ? '' : parts.join(separator);
}

/** A dictionary of an argument that is a mapping, or pairs. @throws {Fault} */
export function dictOf(value: Value): Dict {
  if (value instanceof Dict) {
    spendItems(value.size * 4);
    return Dict.of(value.pairs());
  }
  if (value instanceof Namespace) throw typeFault("'Namespace' object is not iterable");
  const dict = new Dict();
  for (const item of each(value)) {
    if (iteratorOf(item) === undefined) {
      throw typeFault('cannot convert dictionary update sequence element to a sequence');
    }
    const [key = null, entry = null] = unpack(item, 2);
    dict.set(key, entry);
  }
  return dict;
}
