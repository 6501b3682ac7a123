/**
 * JSON values as data: their type, equality as JSON Schema has it, and pointers into documents.
 */
import { isRecord } from '../../base/records.js';

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

export function isObject(value: unknown): value is JsonObject {
  return isRecord(value);
}

/** Whether two values are the same: numbers by value, objects whatever the order of keys. */
export function sameJson(a: Json, b: Json): boolean {
  return canonical(a) === canonical(b);
}

/** A text that is the same for values that are the same. */
function canonical(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (isObject(value)) {
    const keys = Object.keys(value).sort();
    return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key] as Json)}`)}}`;
  }
  return JSON.stringify(value === 0 ? 0 : value);
}

/** A JSON pointer (RFC 6901) one step further. */
export function pointerTo(base: string, key: string | number): string {
  return `${base}/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`;
}
