/** The `attribute` argument of filters: a name, a number, or names with dots. */
import { getItem } from '../attributes.js';
import { classTests } from '../characters.js';
import { typeFault } from '../faults.js';
import { parseInteger } from '../numbers.js';
import { textOf, Undefined, type Value } from '../values.js';

export type Getter = (item: Value) => Value;

function pathOf(attribute: Value): Value[] {
  if (attribute === null) return [];
  const text = textOf(attribute);
  if (text === undefined) return [attribute];
  return text
    .split('.')
    .map((part) => (classTests.isdigit?.(part) ? parseInteger(part, 10) : part));
}

/** What lower case makes equal; anything but text stays. */
export function ignoreCase(value: Value): Value {
  const text = textOf(value);
  return text === undefined ? value : text.toLowerCase();
}

/** @param otherwise takes the place of what is undefined; null: nothing does */
export function attributeGetter(
  attribute: Value,
  post: Getter | undefined = undefined,
  otherwise: Value = null,
): Getter {
  const path = pathOf(attribute);
  return (item) => {
    let value = item;
    for (const part of path) {
      value = getItem(value, part);
      if (otherwise !== null && value instanceof Undefined) value = otherwise;
    }
    return post ? post(value) : value;
  };
}

/** A getter for several attributes with commas, which gives a list. */
export function attributesGetter(attribute: Value, post: Getter | undefined): Getter {
  const text = textOf(attribute);
  const paths = (text === undefined ? [attribute] : text.split(',')).map((part) =>
    attributeGetter(part, post),
  );
  return (item) => paths.map((get) => get(item));
}

/** A text that must be one. @throws {Fault} `TypeError` */
export function requireName(value: Value): string {
  const text = textOf(value);
  if (text === undefined) throw typeFault('attribute name must be string');
  return text;
}
