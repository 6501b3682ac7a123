/** Python's `==` and `<` on values of any type. */
import { deeper, spend } from './budget.js';
import { typeFault } from './faults.js';
import { compareText } from './text.js';
import { Dict, DictView, Range, Tuple, textOf, typeName, Undefined, type Value } from './values.js';

type Numeric = bigint | number;

/** The number that a bool, int or float is, else undefined. */
function numberOf(value: Value): Numeric | undefined {
  if (typeof value === 'bigint' || typeof value === 'number') return value;
  return typeof value === 'boolean' ? BigInt(value) : undefined;
}

/** `left == right`. */
export function equals(left: Value, right: Value): boolean {
  spend();
  const number = numberOf(left);
  if (number !== undefined) {
    const other = numberOf(right);
    return other !== undefined && equalNumbers(number, other);
  }
  const text = textOf(left);
  if (text !== undefined) return equalTexts(text, textOf(right));
  if (left === null || right === null) return left === right;
  if (left instanceof Undefined) return right instanceof Undefined;
  if (Array.isArray(left)) return Array.isArray(right) && equalItems(left, right);
  if (left instanceof Tuple) return right instanceof Tuple && equalItems(left.items, right.items);
  if (left instanceof Dict) return right instanceof Dict && equalDicts(left, right);
  if (left instanceof Range) return right instanceof Range && left.key === right.key;
  if (left instanceof DictView && right instanceof DictView) return equalViews(left, right);
  return left === right;
}

function equalNumbers(left: Numeric, right: Numeric): boolean {
  if (typeof left === typeof right) return left === right;
  // JavaScript compares an integer and a float by their exact values, too.
  return left <= right && left >= right;
}

function equalTexts(left: string, right: string | undefined): boolean {
  if (left.length !== right?.length) return false;
  spend(left.length / 64);
  return left === right;
}

function equalItems(left: readonly Value[], right: readonly Value[]): boolean {
  if (left.length !== right.length) return false;
  // Also for those that are themselves, which are not asked.
  spend(left.length / 8);
  return deeper(() => left.every((item, index) => same(item, right[index] as Value)));
}

/** Containers take an item for equal to itself without asking it. */
const same = (left: Value, right: Value) => left === right || equals(left, right);

function equalDicts(left: Dict, right: Dict): boolean {
  if (left.size !== right.size) return false;
  spend(left.size);
  return deeper(() => {
    for (const [key, value] of left.pairs()) {
      const other = right.get(key);
      if (other === undefined || !same(value, other)) return false;
    }
    return true;
  });
}

function equalViews(left: DictView, right: DictView): boolean {
  if (left.part === 'values' || right.part === 'values') return left === right;
  if (left.part !== right.part || left.dict.size !== right.dict.size) return false;
  if (left.part === 'items') return equalDicts(left.dict, right.dict);
  return left.dict.keys().every((key) => right.dict.has(key));
}

/** `left < right`. @throws {Fault} `TypeError` where Python has no order, `UndefinedError` */
export function lessThan(left: Value, right: Value, operator = '<'): boolean {
  spend();
  if (left instanceof Undefined) left.fail();
  if (right instanceof Undefined) right.fail();
  const [a, b] = [numberOf(left), numberOf(right)];
  if (a !== undefined && b !== undefined) return a < b;
  const [text, other] = [textOf(left), textOf(right)];
  if (text !== undefined && other !== undefined) return compareText(text, other) < 0;
  if (Array.isArray(left) && Array.isArray(right)) return lessItems(left, right, operator);
  if (left instanceof Tuple && right instanceof Tuple) {
    return lessItems(left.items, right.items, operator);
  }
  throw typeFault(
    `'${operator}' not supported between instances of '${typeName(left)}' and '${typeName(right)}'`,
  );
}

function lessItems(left: readonly Value[], right: readonly Value[], operator: string): boolean {
  return deeper(() => {
    const length = Math.min(left.length, right.length);
    spend(length / 8);
    for (let index = 0; index < length; index++) {
      const [a, b] = [left[index] as Value, right[index] as Value];
      if (!same(a, b)) return lessThan(a, b, operator);
    }
    return left.length < right.length;
  });
}

/** `left <= right`; for numbers apart, as NaN is neither less nor equal. */
export function lessOrEqual(left: Value, right: Value, operator = '<='): boolean {
  const [a, b] = [numberOf(left), numberOf(right)];
  if (a !== undefined && b !== undefined) return a <= b;
  return lessThan(left, right, operator) || equals(left, right);
}

/** A stable sort by keys, as `sorted(items, key=..., reverse=...)`. */
export function sorted<T>(items: readonly T[], key: (item: T) => Value, reverse = false): T[] {
  const keyed = items.map((item) => ({ item, key: key(item) }));
  const sign = reverse ? -1 : 1;
  keyed.sort((left, right) => {
    spend(2);
    if (lessThan(left.key, right.key)) return -sign;
    return lessThan(right.key, left.key) ? sign : 0;
  });
  return keyed.map((entry) => entry.item);
}
