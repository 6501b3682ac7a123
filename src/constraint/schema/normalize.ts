/**
 * Schemas as lists of alternatives: references followed, `allOf` and its kin multiplied out, within
 * a budget. What cannot be expressed goes to the report. Knows nothing of text.
 */
import { tooComplex, work } from '../core/budget.js';
import { anything, type Clause, merge, Type } from './clause.js';
import type { SchemaDocument } from './document.js';
import { isObject, type Json, type JsonObject, pointerTo } from './json.js';
import { annotationKeywords, enforcedKeywords, unsupportedKeywords } from './keywords.js';
import { negate } from './negation.js';
import { OwnRules, onlyTypes } from './own-rules.js';
import { type Report, schemaError } from './report.js';

const MAX_ALTERNATIVES = 10_000;
const MAX_MERGES = 200_000;

export class Normalizer {
  private readonly known = new Map<number, readonly Clause[]>();
  private readonly open = new Set<number>();
  private readonly openOpposites = new Set<number>();
  private merges = 0;
  /** Decides whether a list of schemas has no value; set by who knows texts. */
  isEmpty: (schemas: readonly number[]) => boolean = () => false;

  constructor(
    readonly document: SchemaDocument,
    readonly report: Report,
  ) {}

  /** The alternatives of several schemas at once. */
  all(schemas: readonly number[]): readonly Clause[] {
    let clauses: readonly Clause[] = [anything];
    for (const id of schemas) clauses = this.product(clauses, this.one(id));
    return clauses;
  }

  one(id: number): readonly Clause[] {
    const schema = this.document.schema(id);
    if (schema === true) return [anything];
    if (schema === false) return [];
    const known = this.known.get(id);
    if (known) return known;
    const pointer = this.document.pointer(id);
    work(12);
    if (this.open.has(id)) {
      throw schemaError(
        pointer,
        '$ref',
        `The schema at ${pointer || '#'} refers to itself without end`,
      );
    }
    if (this.open.size > 400) throw tooComplex('references lead through more than 400 schemas');
    this.open.add(id);
    const clauses = this.expand(schema, pointer);
    this.open.delete(id);
    this.known.set(id, clauses);
    return clauses;
  }

  private product(a: readonly Clause[], b: readonly Clause[]): readonly Clause[] {
    if (a.length === 1 && a[0] === anything) return b;
    if (b.length === 1 && b[0] === anything) return a;
    this.merges += a.length * b.length;
    if (this.merges > MAX_MERGES) throw tooComplex('too many combinations of alternatives');
    const result: Clause[] = [];
    for (const left of a) {
      for (const right of b) {
        const both = merge(left, right);
        if (both) result.push(both);
      }
    }
    if (result.length > MAX_ALTERNATIVES)
      throw tooComplex(`${result.length} combined alternatives`);
    return result;
  }

  private expand(given: JsonObject, pointer: string): readonly Clause[] {
    let schema = given;
    if (this.document.referencesStandAlone && typeof given.$ref === 'string')
      schema = { $ref: given.$ref };
    this.checkKeywords(schema, pointer);
    const own = new OwnRules(schema, pointer, this.document, this.report).clause();
    let clauses: readonly Clause[] = [own];
    const child = (value: Json, ...path: (string | number)[]) =>
      this.document.id(value, path.reduce(pointerTo, pointer) as string);
    if (schema.$ref !== undefined) {
      if (typeof schema.$ref !== 'string')
        throw schemaError(pointer, '$ref', '$ref has to be a string');
      const target = this.document.follow(schema.$ref, given, pointerTo(pointer, '$ref'));
      clauses = this.product(clauses, this.one(target));
    }
    for (const [index, part] of this.list(schema, 'allOf', pointer)) {
      clauses = this.product(clauses, this.one(child(part, 'allOf', index)));
    }
    const any = this.list(schema, 'anyOf', pointer).map(([index, part]) =>
      child(part, 'anyOf', index),
    );
    if (schema.anyOf !== undefined) clauses = this.product(clauses, this.union(any));
    const one = this.list(schema, 'oneOf', pointer).map(([index, part]) =>
      child(part, 'oneOf', index),
    );
    if (schema.oneOf !== undefined)
      clauses = this.product(clauses, this.exactlyOne(one, own, pointer));
    if (schema.not !== undefined) {
      clauses = this.product(
        clauses,
        this.opposite(child(schema.not, 'not'), pointerTo(pointer, 'not'), 'not'),
      );
    }
    clauses = this.product(clauses, this.conditional(schema, pointer));
    clauses = this.dependencies(schema, pointer, clauses);
    return this.unevaluated(schema, pointer, clauses);
  }

  private checkKeywords(schema: JsonObject, pointer: string): void {
    for (const keyword of Object.keys(schema)) {
      if (
        enforcedKeywords.has(keyword) ||
        annotationKeywords.has(keyword) ||
        keyword.startsWith('x-')
      )
        continue;
      const reason = unsupportedKeywords.get(keyword) ?? 'no such keyword is known';
      this.report.unsupported(pointerTo(pointer, keyword), keyword, reason);
    }
  }

  private list(schema: JsonObject, keyword: string, pointer: string): [number, Json][] {
    const value = schema[keyword];
    if (value === undefined) return [];
    if (!Array.isArray(value) || value.length === 0) {
      const place = pointerTo(pointer, keyword);
      throw schemaError(
        place,
        keyword,
        `${keyword} at ${place} has to be an array of schemas, not empty`,
      );
    }
    return (value as readonly Json[]).map((part, index) => [index, part]);
  }

  /** One of several; those that only list values become one list. */
  private union(schemas: readonly number[]): readonly Clause[] {
    const result: Clause[] = [];
    const values: Json[] = [];
    for (const id of schemas) {
      const clauses = this.one(id);
      if (this.onlyLists(id)) values.push(...clauses.flatMap((clause) => clause.values ?? []));
      else result.push(...clauses);
    }
    if (values.length > 0) result.push({ ...anything, values });
    work((result.length + values.length) / 8);
    if (result.length > MAX_ALTERNATIVES) throw tooComplex(`${result.length} alternatives`);
    return result;
  }

  /** Whether a schema says no more than which values there are. */
  private onlyLists(id: number): boolean {
    const schema = this.document.schema(id);
    if (typeof schema === 'boolean' || (schema.enum === undefined && schema.const === undefined))
      return false;
    return Object.keys(schema).every(
      (key) => key === 'enum' || key === 'const' || annotationKeywords.has(key),
    );
  }

  private exactlyOne(schemas: readonly number[], own: Clause, pointer: string): readonly Clause[] {
    const place = pointerTo(pointer, 'oneOf');
    if (schemas.length > 1000)
      throw tooComplex(`oneOf of ${schemas.length} schemas`, { pointer: place });
    const clauses = schemas.map((id) => this.one(id));
    const disjoint = schemas.every((first, index) =>
      schemas.slice(index + 1).every((second, offset) => {
        const [left, right] = [clauses[index] ?? [], clauses[index + 1 + offset] ?? []];
        if (apart(left, right) || apart(this.product([own], left), right)) return true;
        return this.isEmpty([first, second]);
      }),
    );
    if (disjoint) return this.union(schemas);
    // One of them, and none of the others: possible where the others have opposites.
    const result: Clause[] = [];
    for (const [index, id] of schemas.entries()) {
      let alternative: readonly Clause[] = this.one(id);
      for (const [other, against] of schemas.entries()) {
        if (other === index) continue;
        const opposite = this.negation(against);
        if (!opposite) {
          this.report.unsupported(
            place,
            'oneOf',
            'the alternatives overlap, or cannot be shown not to',
          );
          return this.union(schemas);
        }
        alternative = this.product(alternative, opposite);
      }
      result.push(...alternative);
    }
    return result;
  }

  private negation(id: number): readonly Clause[] | undefined {
    if (this.openOpposites.has(id)) return undefined;
    this.openOpposites.add(id);
    const own = (schema: JsonObject, pointer: string) =>
      new OwnRules(schema, pointer, this.document, this.report).clause();
    const result = negate(id, this.document, own, (inner) => this.one(inner));
    this.openOpposites.delete(id);
    return result;
  }

  private opposite(id: number, pointer: string, keyword: string): readonly Clause[] {
    const result = this.negation(id);
    if (result) return result;
    this.report.unsupported(pointer, keyword, 'the opposite of this schema cannot be expressed');
    return [anything];
  }

  private conditional(schema: JsonObject, pointer: string): readonly Clause[] {
    const { if: condition, then: yes, else: no } = schema;
    if (condition === undefined || (yes === undefined && no === undefined)) return [anything];
    const at = (keyword: string) => pointerTo(pointer, keyword);
    const id = this.document.id(condition, at('if'));
    const opposite = this.negation(id);
    if (!opposite) {
      this.report.unsupported(at('if'), 'if', 'the opposite of this schema cannot be expressed');
      return [anything];
    }
    const branch = (value: Json | undefined, keyword: string) =>
      value === undefined ? [anything] : this.one(this.document.id(value, at(keyword)));
    return [
      ...this.product(this.one(id), branch(yes, 'then')),
      ...this.product(opposite, branch(no, 'else')),
    ];
  }

  /** `dependentRequired`, `dependentSchemas`, and the older keyword for both. */
  private dependencies(
    schema: JsonObject,
    pointer: string,
    given: readonly Clause[],
  ): readonly Clause[] {
    let clauses = given;
    for (const keyword of ['dependentRequired', 'dependentSchemas', 'dependencies']) {
      const record = schema[keyword];
      if (record === undefined) continue;
      const place = pointerTo(pointer, keyword);
      if (!isObject(record))
        throw schemaError(place, keyword, `${keyword} at ${place} has to be an object`);
      for (const [name, demand] of Object.entries(record)) {
        const absent = objectWith(new Map([[name, 1]]), []);
        let present: readonly Clause[] = [objectWith(new Map(), [name])];
        if (Array.isArray(demand))
          present = [objectWith(new Map(), [name, ...(demand as string[])])];
        else
          present = this.product(
            present,
            this.one(this.document.id(demand, pointerTo(place, name))),
          );
        clauses = this.product(clauses, [onlyTypes(Type.ALL & ~Type.OBJECT), absent, ...present]);
      }
    }
    return clauses;
  }

  private unevaluated(
    schema: JsonObject,
    pointer: string,
    clauses: readonly Clause[],
  ): readonly Clause[] {
    if (schema.unevaluatedItems !== undefined && schema.unevaluatedItems !== true) {
      this.report.unsupported(
        pointerTo(pointer, 'unevaluatedItems'),
        'unevaluatedItems',
        'it depends on other keywords',
      );
    }
    const rest = schema.unevaluatedProperties;
    if (rest === undefined || rest === true) return clauses;
    const place = pointerTo(pointer, 'unevaluatedProperties');
    const [clause] = clauses;
    if (clauses.length !== 1 || clause === undefined) {
      this.report.unsupported(
        place,
        'unevaluatedProperties',
        'it depends on which alternative holds',
      );
      return clauses;
    }
    // With one alternative, what is evaluated is what any part of it names.
    if (clause.object.parts.some((part) => part.rest !== 0)) return clauses;
    const properties = new Map<string, number>();
    for (const part of clause.object.parts)
      for (const name of part.properties.keys()) properties.set(name, 0);
    const patterns = clause.object.parts.flatMap((part) =>
      part.patterns.map((item) => ({ ...item, schema: 0 })),
    );
    const part = { properties, patterns, rest: this.document.id(rest, place) };
    return [{ ...clause, object: { ...clause.object, parts: [...clause.object.parts, part] } }];
  }
}

function objectWith(properties: ReadonlyMap<string, number>, required: readonly string[]): Clause {
  const parts = properties.size === 0 ? [] : [{ properties, patterns: [], rest: 0 }];
  return {
    ...onlyTypes(Type.OBJECT),
    object: { ...anything.object, parts, required: new Set(required) },
  };
}

/** Whether no alternative of one list has a type in common with one of the other. */
function apart(left: readonly Clause[], right: readonly Clause[]): boolean {
  return left.every((a) => right.every((b) => merge(a, b) === undefined));
}
