/**
 * Arguments that are written one by one, each in an element of its own: texts as they are, other
 * values as JSON. Reading them needs the schemas, since `12` may be a text. Knows nothing of the
 * marks around them.
 */

import { isObject, type Json } from '../schema/json.js';
import type { Tool } from '../spec.js';
import type { CallEvents } from './events.js';
import type { Reading, TextReader } from './reader.js';

const STRING = 1;
const OTHER = 2;
const MAX_DEPTH = 20;

/** Which kinds of values a schema allows: STRING, OTHER, or both. */
function kindsOf(schema: Json | undefined, root: Json | undefined, depth = 0): number {
  if (!isObject(schema) || depth > MAX_DEPTH) return STRING | OTHER;
  let kinds = STRING | OTHER;
  const limit = (found: number) => {
    kinds &= found;
  };
  if (schema.type !== undefined) {
    const types = [schema.type].flat();
    limit(
      (types.includes('string') ? STRING : 0) |
        (types.some((type) => type !== 'string') ? OTHER : 0),
    );
  }
  const values = schema.const === undefined ? schema.enum : [schema.const];
  if (Array.isArray(values)) {
    const texts = values.filter((value) => typeof value === 'string').length;
    limit((texts > 0 ? STRING : 0) | (texts < values.length ? OTHER : 0));
  }
  if (typeof schema.$ref === 'string' && schema.$ref.startsWith('#/')) {
    let target: Json | undefined = root;
    for (const key of schema.$ref.slice(2).split('/'))
      target = isObject(target) ? target[key] : undefined;
    limit(kindsOf(target, root, depth + 1));
  }
  for (const keyword of ['anyOf', 'oneOf']) {
    const parts = schema[keyword];
    if (!Array.isArray(parts)) continue;
    limit(
      (parts as readonly Json[]).reduce<number>(
        (all, part) => all | kindsOf(part, root, depth + 1),
        0,
      ),
    );
  }
  return kinds;
}

/** Reads one value up to its end and hands it on as JSON. False: the text ended inside of it. */
export function* readElement(
  reader: TextReader,
  end: string,
  kind: 'text' | 'json' | 'either',
  onJson: (json: string) => void,
): Reading<boolean> {
  if (kind === 'text') {
    onJson('"');
    const ended = yield* reader.until([end], (text) => onJson(JSON.stringify(text).slice(1, -1)));
    onJson('"');
    return ended !== undefined;
  }
  let text = '';
  const ended = yield* reader.until([end], (part) => {
    text += part;
  });
  onJson(asJson(text, kind));
  return ended !== undefined;
}

const pythonWords: Readonly<Record<string, string>> = {
  True: 'true',
  False: 'false',
  None: 'null',
};

/** A value as JSON; what is none is a text. */
function asJson(text: string, kind: 'json' | 'either'): string {
  const trimmed = text.trim();
  if (Object.hasOwn(pythonWords, trimmed)) return pythonWords[trimmed] as string;
  try {
    const value: unknown = JSON.parse(trimmed);
    if (kind === 'json' || typeof value !== 'string') return trimmed;
  } catch {
    // Not JSON: below.
  }
  return JSON.stringify(text);
}

/** How the value of an argument is to be read. */
export function elementKind(
  tools: readonly Tool[],
  tool: string,
  name: string,
): 'text' | 'json' | 'either' {
  const parameters = tools.find((candidate) => candidate.name === tool)?.parameters;
  const properties = isObject(parameters) ? parameters.properties : undefined;
  const schema =
    isObject(properties) && Object.hasOwn(properties, name) ? properties[name] : undefined;
  const kinds = kindsOf(schema, parameters as Json | undefined);
  if (kinds === STRING) return 'text';
  return kinds === OTHER ? 'json' : 'either';
}

/** Writes members into the deltas of a call: one object in the end. */
export class MemberDeltas {
  private count = 0;

  constructor(private readonly events: CallEvents) {}

  key(name: string): void {
    this.events.delta(`${this.count++ === 0 ? '{' : ', '}${JSON.stringify(name)}: `);
  }

  value(json: string): void {
    this.events.delta(json);
  }

  close(): void {
    this.events.delta(this.count === 0 ? '{}' : '}');
  }
}
