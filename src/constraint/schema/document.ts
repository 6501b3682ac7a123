/**
 * A schema document: its subschemas by number, where each stands, and what references mean. Only
 * references within the document are followed. Knows no keyword but those of identity.
 */
import { tooComplex, work } from '../core/budget.js';
import { isObject, type Json, type JsonObject, pointerTo } from './json.js';
import { schemaError } from './report.js';

export type Schema = boolean | JsonObject;

const MAX_DEPTH = 500;
const MAX_NODES = 2_000_000;

export class SchemaDocument {
  private readonly ids = new Map<Schema, number>();
  private readonly schemas: Schema[] = [true, false];
  private readonly pointers: string[] = ['', ''];
  private readonly named = new Map<string, JsonObject>();
  private readonly places = new Map<object, string>();
  /** Drafts up to 7 ignore what stands beside a reference. */
  readonly referencesStandAlone: boolean;

  /** @throws {PacelineError} `usage` for what is no schema, or too large. */
  constructor(
    readonly root: Json,
    /** Where the schema stands in the request, as a JSON pointer. */
    readonly place = '',
  ) {
    if (typeof root !== 'boolean' && !isObject(root)) {
      throw schemaError('', 'schema', 'A JSON schema is an object or a boolean');
    }
    this.index(root);
    const draft = isObject(root) && typeof root.$schema === 'string' ? root.$schema : '';
    this.referencesStandAlone = /draft-0?[3-7]\b/.test(draft);
  }

  /** Notes where every object stands, and names: without recursion, since strangers nest deeply. */
  private index(root: Json): void {
    const stack: { value: Json; pointer: string; depth: number; base: string; key: string }[] = [
      { value: root, pointer: '', depth: 0, base: '', key: '' },
    ];
    for (let seen = 0; ; seen++) {
      const item = stack.pop();
      if (!item) return;
      const { value, pointer, depth, key } = item;
      let { base } = item;
      work(0.5);
      if (typeof value !== 'object' || value === null) continue;
      if (depth > MAX_DEPTH)
        throw tooComplex(`a schema nests more than ${MAX_DEPTH} deep`, {
          pointer: pointer.slice(0, 500),
        });
      if (seen > MAX_NODES) throw tooComplex('a schema has too many parts');
      if (key === 'enum' || key === 'const' || key === 'default' || key === 'examples') continue;
      if (isObject(value)) {
        if (!this.places.has(value)) this.places.set(value, pointer);
        const id = value.$id ?? value.id;
        if (typeof id === 'string') {
          base = resolve(base, id);
          this.named.set(base.replace(/#$/, ''), value);
        }
        if (pointer === '') this.named.set('', value);
        for (const anchor of [value.$anchor, value.$dynamicAnchor]) {
          if (typeof anchor === 'string')
            this.named.set(`${base.replace(/#.*$/, '')}#${anchor}`, value);
        }
        this.bases.set(value, base);
      }
      for (const [name, child] of Object.entries(value as JsonObject)) {
        stack.push({
          value: child,
          pointer: pointerTo(pointer, name),
          depth: depth + 1,
          base,
          key: name,
        });
      }
    }
  }

  private readonly bases = new Map<object, string>();

  /** The number of a schema; `true` is 0 and `false` is 1. */
  id(schema: Json, pointer: string): number {
    if (schema === true) return 0;
    if (schema === false) return 1;
    if (!isObject(schema))
      throw schemaError(pointer, 'schema', `What stands at ${pointer || '#'} is no schema`);
    let id = this.ids.get(schema);
    if (id === undefined) {
      id = this.schemas.push(schema) - 1;
      this.pointers.push(this.places.get(schema) ?? pointer);
      this.ids.set(schema, id);
    }
    return id;
  }

  schema(id: number): Schema {
    return this.schemas[id] as Schema;
  }

  pointer(id: number): string {
    return this.pointers[id] as string;
  }

  /** The schema that a reference in another schema means. @throws {PacelineError} `usage` */
  follow(reference: string, from: Schema, pointer: string): number {
    const base = typeof from === 'object' ? (this.bases.get(from) ?? '') : '';
    const [document = '', fragment = ''] = split(resolve(base, reference));
    const target =
      this.named.get(document) ?? (document === split(base)[0] ? this.root : undefined);
    if (target === undefined) {
      throw schemaError(pointer, '$ref', `The reference '${reference}' leads out of the schema`);
    }
    if (fragment === '') return this.id(target, pointer);
    if (!fragment.startsWith('/')) {
      const anchored = this.named.get(`${document}#${fragment}`);
      if (!anchored) throw schemaError(pointer, '$ref', `There is no anchor '${fragment}'`);
      return this.id(anchored, pointer);
    }
    let value: Json | undefined = target;
    for (const part of decode(fragment).slice(1).split('/')) {
      const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) {
        throw schemaError(pointer, '$ref', `The reference '${reference}' leads nowhere`);
      }
      value = (value as JsonObject)[key] as Json;
    }
    return this.id(value, fragment);
  }
}

function decode(fragment: string): string {
  try {
    return decodeURIComponent(fragment);
  } catch {
    return fragment;
  }
}

function split(reference: string): [string, string] {
  const at = reference.indexOf('#');
  return at < 0 ? [reference, ''] : [reference.slice(0, at), reference.slice(at + 1)];
}

/** A reference against a base, as URLs where they are, else by the last slash. */
function resolve(base: string, reference: string): string {
  if (reference.startsWith('#')) return split(base)[0] + reference;
  if (/^[a-z][a-z0-9+.-]*:/i.test(reference)) return reference;
  if (URL.canParse(reference, base)) return new URL(reference, base).href;
  return split(base)[0].replace(/[^/]*$/, '') + reference;
}
