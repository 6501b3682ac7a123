/**
 * Whether a given value satisfies schemas: needed to know which values of an `enum` the other
 * keywords leave, and which schemas a key's patterns bring. Knows nothing of text.
 */
import { work } from '../core/budget.js';
import { type Clause, Type, typeOf } from './clause.js';
import { isObject, type Json, sameJson } from './json.js';
import { decimalOf } from './numbers.js';

export interface ValueChecks {
  /** Whether a string matches a pattern, anywhere; whether it has a format. */
  matches(source: string, pointer: string, text: string): boolean;
  hasFormat(name: string, text: string): boolean;
  /** The schemas that hold for a property, and for an item. */
  propertySchemas(clause: Clause, name: string): readonly number[];
  itemSchemas(clause: Clause, index: number): readonly number[];
  clauses(schemas: readonly number[]): readonly Clause[];
}

/** Whether a value satisfies one alternative; that it is in the list of values is known. */
export function satisfies(clause: Clause, value: Json, checks: ValueChecks): boolean {
  work((1 + clause.excluded.length) / 4);
  if ((typeOf(value) & clause.types) === 0) return false;
  if (clause.excluded.some((item) => sameJson(item.value, value))) return false;
  const inside = (schemas: readonly number[], part: Json) =>
    checks.clauses(schemas).some((inner) => {
      work(1 + (inner.values?.length ?? 0) / 4);
      return (
        (inner.values === undefined || inner.values.some((item) => sameJson(item, part))) &&
        satisfies(inner, part, checks)
      );
    });
  if (typeof value === 'number') return numberFits(clause, value);
  if (typeof value === 'string') {
    const { least, most, patterns, formats } = clause.string;
    const length = [...value].length;
    if (length < least || (most !== undefined && length > most)) return false;
    return (
      patterns.every(({ source, pointer }) => checks.matches(source, pointer, value)) &&
      formats.every(({ name }) => checks.hasFormat(name, value))
    );
  }
  if (Array.isArray(value)) {
    const { least, most } = clause.array;
    if (value.length < least || (most !== undefined && value.length > most)) return false;
    return value.every((item, index) => inside(checks.itemSchemas(clause, index), item));
  }
  if (!isObject(value)) return true;
  const { required, least, most, names } = clause.object;
  const keys = Object.keys(value);
  if (keys.length < least || (most !== undefined && keys.length > most)) return false;
  if ([...required].some((name) => !Object.hasOwn(value, name))) return false;
  return keys.every(
    (name) =>
      (names.length === 0 || inside(names, name)) &&
      inside(checks.propertySchemas(clause, name), value[name] as Json),
  );
}

function numberFits({ number, types }: Clause, value: number): boolean {
  if ((types & Type.NUMBER) === 0 || (number.integer && !Number.isInteger(value))) return false;
  const { least, leastOpen, most, mostOpen } = number;
  if (least !== undefined && (leastOpen ? value <= least : value < least)) return false;
  if (most !== undefined && (mostOpen ? value >= most : value > most)) return false;
  return number.multiples.every(({ value: divisor }) => isMultiple(value, divisor));
}

function isMultiple(value: number, divisor: number): boolean {
  const [a, b] = [decimalOf(value), decimalOf(divisor)];
  const places = Math.max(a.fraction.length, b.fraction.length);
  const scaled = ({ whole, fraction }: typeof a) => BigInt(whole + fraction.padEnd(places, '0'));
  return scaled(a) % scaled(b) === 0n;
}
