/** The operators of expressions on values of any type: `+`, `*`, `%`, `-x`, comparisons. */
import { checkLength, spend, spendItems, spendText } from './budget.js';
import { equals, lessOrEqual, lessThan } from './compare.js';
import { typeFault } from './faults.js';
import { escapeText } from './html.js';
import { arithmetic, type Operator, requireCount } from './numbers.js';
import { percentFormat } from './percent-format.js';
import { contains } from './sequences.js';
import { intOf, Markup, Tuple, textOf, typeName, Undefined, type Value } from './values.js';

/** `left operator right`. @throws {Fault} as Python does */
export function binary(operator: Operator, left: Value, right: Value): Value {
  const number = arithmetic(operator, left, right);
  if (number !== undefined) return number;
  // A text formats what it is given, undefined too.
  const isFormat = operator === '%' && textOf(left) !== undefined;
  if (left instanceof Undefined) left.fail();
  if (right instanceof Undefined && !isFormat) right.fail();
  const result = onSequences(operator, left, right);
  if (result === undefined) {
    throw typeFault(
      `unsupported operand type(s) for ${operator}: '${typeName(left)}' and '${typeName(right)}'`,
    );
  }
  return result;
}

function onSequences(operator: Operator, left: Value, right: Value): Value | undefined {
  if (operator === '+') return add(left, right);
  if (operator === '*') {
    if (intOf(right) !== undefined) return repeat(left, right);
    return intOf(left) === undefined ? undefined : repeat(right, left);
  }
  if (operator !== '%') return undefined;
  if (typeof left === 'string' || left instanceof Markup) return percentFormat(left, right);
  return undefined;
}

function add(left: Value, right: Value): Value | undefined {
  if (left instanceof Markup || right instanceof Markup) {
    if (textOf(left) === undefined || textOf(right) === undefined) return undefined;
    return new Markup(joined(escapeText(left).text, escapeText(right).text));
  }
  if (typeof left === 'string' && typeof right === 'string') return joined(left, right);
  if (Array.isArray(left) && Array.isArray(right)) {
    spendItems(left.length + right.length);
    return [...left, ...right];
  }
  if (left instanceof Tuple && right instanceof Tuple) {
    spendItems(left.items.length + right.items.length);
    return new Tuple([...left.items, ...right.items]);
  }
  return undefined;
}

/** Two texts; the engine shares their parts, so that only the length counts. */
function joined(left: string, right: string): string {
  checkLength(left.length + right.length);
  return left + right;
}

function repeat(value: Value, times: Value): Value | undefined {
  const count = Math.max(0, requireCount(times));
  const text = textOf(value);
  if (text !== undefined) {
    spendText(text.length * count);
    const result = text === '' ? '' : text.repeat(count);
    return value instanceof Markup ? new Markup(result) : result;
  }
  const items = Array.isArray(value) ? value : value instanceof Tuple ? value.items : undefined;
  if (!items) return undefined;
  spendItems(items.length * count);
  const result: Value[] = [];
  if (items.length > 0) for (let index = 0; index < count; index++) result.push(...items);
  return Array.isArray(value) ? result : new Tuple(result);
}

/** `-value` or `+value`. */
export function unary(operator: '-' | '+', value: Value): Value {
  if (value instanceof Undefined) value.fail();
  if (typeof value === 'number') return operator === '-' ? -value : value;
  const number = intOf(value);
  if (number === undefined) {
    throw typeFault(`bad operand type for unary ${operator}: '${typeName(value)}'`);
  }
  return operator === '-' ? -number : number;
}

export type Comparison = 'eq' | 'ne' | 'lt' | 'lteq' | 'gt' | 'gteq' | 'in' | 'notin';

/** `left comparison right`. @throws {Fault} `TypeError` where Python has no order */
export function compare(comparison: Comparison, left: Value, right: Value): boolean {
  spend();
  switch (comparison) {
    case 'eq':
      return equals(left, right);
    case 'ne':
      return !equals(left, right);
    case 'lt':
      return lessThan(left, right);
    case 'lteq':
      return lessOrEqual(left, right);
    case 'gt':
      return lessThan(right, left, '>');
    case 'gteq':
      return lessOrEqual(right, left, '>=');
    case 'in':
      return contains(right, left);
    default:
      return !contains(right, left);
  }
}
