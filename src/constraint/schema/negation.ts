/**
 * The opposite of a schema, for the keywords where it is again a list of demands: types, values,
 * bounds, required names, and properties of such schemas. Knows nothing of text.
 */
import { work } from '../core/budget.js';
import { anything, type Clause, Type } from './clause.js';
import type { SchemaDocument } from './document.js';
import { isObject, type Json, type JsonObject, pointerTo } from './json.js';
import { annotationKeywords } from './keywords.js';
import { onlyTypes } from './own-rules.js';

const negatable = new Set([
  ...['type', 'enum', 'const', 'required', 'properties', 'not'],
  ...['minLength', 'maxLength', 'minItems', 'maxItems', 'minimum', 'maximum'],
]);

/** Alternatives that together are the opposite of a schema; undefined: not expressible. */
export function negate(
  id: number,
  document: SchemaDocument,
  own: (schema: JsonObject, pointer: string) => Clause,
  normalize: (id: number) => readonly Clause[],
): readonly Clause[] | undefined {
  const schema = document.schema(id);
  if (schema === true) return [];
  if (schema === false) return [anything];
  const pointer = document.pointer(id);
  work(4);
  const keys = Object.keys(schema).filter((key) => !annotationKeywords.has(key));
  if (!keys.every((key) => negatable.has(key)) || schema.nullable !== undefined) return undefined;
  const result: Clause[] = [];
  for (const keyword of keys) {
    const value = schema[keyword] as Json;
    const { types, values, object } = own({ [keyword]: value }, pointer);
    switch (keyword) {
      case 'type': {
        const names = [value].flat();
        if (names.includes('integer') && !names.includes('number')) return undefined;
        if (types !== Type.ALL) result.push(onlyTypes(Type.ALL & ~types));
        break;
      }
      case 'enum':
      case 'const':
        if (values?.some((item) => typeof item === 'object' && item !== null)) return undefined;
        result.push({
          ...anything,
          excluded: (values ?? []).map((item) => ({
            value: item,
            pointer: pointerTo(pointer, keyword),
          })),
        });
        break;
      case 'required':
        for (const name of object.required) result.push(withProperty(name, 1, false));
        break;
      case 'properties':
        if (!isObject(value)) return undefined;
        for (const [name, part] of Object.entries(value)) {
          const opposite = document.id({ not: part }, pointerTo(pointer, 'properties'));
          if (!negate(document.id(part, pointer), document, own, normalize)) return undefined;
          result.push(withProperty(name, opposite, true));
        }
        break;
      case 'not':
        result.push(...normalize(document.id(value, pointerTo(pointer, 'not'))));
        break;
      default:
        result.push(...oppositeBound(keyword, value as number));
    }
  }
  return result;
}

/** An object whose property is required to be, or has to be absent (schema 1), as one says. */
function withProperty(name: string, schema: number, required: boolean): Clause {
  return {
    ...onlyTypes(Type.OBJECT),
    object: {
      ...anything.object,
      parts: [{ properties: new Map([[name, schema]]), patterns: [], rest: 0 }],
      required: new Set(required ? [name] : []),
    },
  };
}

function oppositeBound(keyword: string, value: number): Clause[] {
  const number = { ...onlyTypes(Type.NUMBER) };
  switch (keyword) {
    case 'minimum':
      return [{ ...number, number: { ...anything.number, most: value, mostOpen: true } }];
    case 'maximum':
      return [{ ...number, number: { ...anything.number, least: value, leastOpen: true } }];
    case 'maxLength':
      return [{ ...onlyTypes(Type.STRING), string: { ...anything.string, least: value + 1 } }];
    case 'maxItems':
      return [{ ...onlyTypes(Type.ARRAY), array: { ...anything.array, least: value + 1 } }];
  }
  if (value === 0) return [];
  if (keyword === 'minLength') {
    return [{ ...onlyTypes(Type.STRING), string: { ...anything.string, most: value - 1 } }];
  }
  return [{ ...onlyTypes(Type.ARRAY), array: { ...anything.array, most: value - 1 } }];
}
