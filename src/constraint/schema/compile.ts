/**
 * JSON Schema to languages. A rule is a set of schemas that hold at one place, so that recursion and
 * `allOf` need no unrolling; a rule's body is the union of its alternatives. Knows nothing of tokens.
 */
import { PacelineError } from '../../base/errors.js';
import { tooComplex, work } from '../core/budget.js';
import type { Language } from '../core/derivatives.js';
import { LEAVE, NOTHING } from '../core/expressions.js';
import { KeyList } from '../core/key-list.js';
import { type Clause, merge, Type } from './clause.js';
import type { SchemaDocument } from './document.js';
import { type Json, sameJson } from './json.js';
import { Normalizer } from './normalize.js';
import type { Notation, ObjectNotation, Spelling } from './notation.js';
import { numberText } from './numbers.js';
import { type Member, objectLanguage } from './objects.js';
import { onlyTypes } from './own-rules.js';
import type { Report } from './report.js';
import { schemaError } from './report.js';
import { StringWriter } from './strings.js';
import { satisfies, type ValueChecks } from './values.js';

export interface SchemaOptions {
  /** Properties come in the order in which the schema names them. Default false: any order. */
  readonly inOrder?: boolean;
}

/** Patterns of properties that are told apart: every subset of them is a case. */
const MAX_PATTERNS = 6;

/** Alternatives at one place that have objects or arrays: each step walks all that are left. */
const MAX_NESTING_ALTERNATIVES = 1000;

export class SchemaCompiler {
  readonly normalizer: Normalizer;
  private readonly strings: StringWriter;
  private readonly rules = new Map<string, number>();
  private readonly pending: (() => void)[] = [];
  private readonly deciding = new Set<string>();
  private readonly checks: ValueChecks;

  constructor(
    private readonly language: Language,
    private readonly notation: Notation,
    private readonly document: SchemaDocument,
    private readonly report: Report,
    private readonly options: SchemaOptions = {},
  ) {
    this.normalizer = new Normalizer(document, report);
    this.normalizer.isEmpty = (schemas) => this.isEmpty(schemas);
    this.strings = new StringWriter(language);
    this.checks = {
      matches: (source, pointer, text) =>
        this.at(pointer, 'pattern', () => this.strings.matches(source, text)),
      hasFormat: (name, text) => this.strings.hasFormat(name, text),
      propertySchemas: (clause, name) => this.propertySchemas(clause, name),
      itemSchemas: (clause, index) => itemSchemas(clause, index),
      clauses: (schemas) => this.normalizer.all(schemas),
    };
  }

  /** The texts of the document's values. @throws {PacelineError} `usage`, with a JSON pointer. */
  root(types: number = Type.ALL): number {
    const root = this.document.id(this.document.root, '');
    const result = types === Type.ALL ? this.value([root]) : this.restricted([root], types);
    this.drain();
    return result;
  }

  /** Compiles what rules still wait for. */
  drain(): void {
    for (let work = this.pending.pop(); work; work = this.pending.pop()) work();
  }

  private restricted(schemas: readonly number[], types: number): number {
    const clauses = this.normalizer.all(schemas).map((clause) => merge(clause, onlyTypes(types)));
    return this.union(clauses.filter((clause) => clause !== undefined));
  }

  /** The texts of values for which several schemas hold. */
  value(schemas: readonly number[]): number {
    const ids = normalized(schemas);
    const key = ids.join();
    const known = this.rules.get(key);
    if (known !== undefined) return known;
    if (ids.includes(1)) return NOTHING;
    const clauses = this.normalizer.all(ids);
    const nests = clauses.some(
      ({ types, values }) => values === undefined && (types & (Type.ARRAY | Type.OBJECT)) !== 0,
    );
    if (!nests) {
      const leaf = this.union(clauses);
      this.rules.set(key, leaf);
      return leaf;
    }
    if (clauses.length > MAX_NESTING_ALTERNATIVES) {
      throw tooComplex(`${clauses.length} alternatives with objects or arrays`, {
        pointer: this.document.pointer(ids[0] ?? 0),
      });
    }
    const rule = this.language.rule();
    const call = this.language.call(rule);
    this.rules.set(key, call);
    this.pending.push(() => this.language.define(rule, this.union(clauses)));
    return call;
  }

  private union(clauses: readonly Clause[]): number {
    return this.language.either([...this.parts(clauses, this.notation)]);
  }

  private parts(clauses: readonly Clause[], notation: Notation): number[] {
    return clauses.flatMap((clause) => this.clause(clause, notation));
  }

  /** The texts of one alternative, by type. */
  clause(clause: Clause, notation: Notation, objects: ObjectNotation = notation.object): number[] {
    const { language } = this;
    if (clause.values) return [this.listed(this.fitting(clause), notation)];
    const { types, excluded } = clause;
    const parts: number[] = [];
    const literal = (value: Json) => {
      if (!excluded.some((item) => sameJson(item.value, value)))
        parts.push(language.literal(JSON.stringify(value)));
    };
    if ((types & Type.NULL) !== 0) literal(null);
    if ((types & Type.BOOLEAN) !== 0) for (const value of [true, false]) literal(value);
    if ((types & Type.NUMBER) !== 0) parts.push(this.number(clause));
    if ((types & Type.STRING) !== 0) parts.push(notation.string(this.content(clause, notation)));
    if ((types & Type.ARRAY) !== 0) parts.push(this.array(clause, notation));
    if ((types & Type.OBJECT) !== 0)
      parts.push(this.object(clause, objects, (schemas) => this.value(schemas)));
    return parts;
  }

  /** The listed values of an alternative that its other demands leave. */
  fitting(clause: Clause): readonly Json[] {
    return clause.values?.filter((value) => satisfies(clause, value, this.checks)) ?? [];
  }

  /** One of several values. Contents of strings are written as the notation writes strings. */
  private listed(values: readonly Json[], notation: Notation): number {
    const { language } = this;
    const texts = values.filter((value) => typeof value === 'string');
    const others = values.filter((value) => typeof value !== 'string');
    const parts = [NOTHING];
    if (texts.length > 0) {
      parts.push(
        notation.string(language.oneOf(new KeyList(texts.map((text) => notation.content(text))))),
      );
    }
    if (others.length > 0)
      parts.push(language.oneOf(new KeyList(others.map((value) => notation.write(value)))));
    return language.either(parts);
  }

  private number(clause: Clause): number {
    const { number, excluded } = clause;
    let rules = number;
    for (;;) {
      const text = numberText(this.language, rules);
      if (typeof text === 'number') return this.withoutNumbers(text, clause, excluded);
      const worst = rules.multiples.reduce((a, b) => (a.value > b.value ? a : b));
      this.report.unsupported(worst.pointer, 'multipleOf', text.reason);
      rules = { ...rules, multiples: rules.multiples.filter((item) => item !== worst) };
    }
  }

  private withoutNumbers(text: number, { number }: Clause, excluded: Clause['excluded']): number {
    const { language } = this;
    const numbers = excluded.filter(({ value }) => typeof value === 'number');
    if (numbers.length === 0) return text;
    if (!number.integer) {
      const pointer = numbers[0]?.pointer ?? '';
      this.report.unsupported(pointer, 'not', 'a number has many spellings; use the type integer');
      return text;
    }
    const list = new KeyList(
      numbers.map(({ value }) => new TextEncoder().encode(JSON.stringify(value))),
    );
    return language.both([text, language.not(language.oneOf(list))]);
  }

  /** The contents of strings that an alternative allows. */
  content(clause: Clause, notation: Spelling): number {
    const pattern = clause.string.patterns[0];
    if (!pattern) return this.strings.content(clause, notation);
    try {
      return this.at(pattern.pointer, 'pattern', () => this.strings.content(clause, notation));
    } catch (error) {
      if (!PacelineError.is(error) || error.code !== 'usage') throw error;
      this.report.unsupported(pattern.pointer, 'pattern', error.message);
      // Without the patterns, the largest language that is known to hold.
      return this.strings.content(
        { ...clause, string: { ...clause.string, patterns: [] } },
        notation,
      );
    }
  }

  /** Adds to errors of patterns where the pattern stands. */
  private at<Result>(pointer: string, keyword: string, work: () => Result): Result {
    try {
      return work();
    } catch (error) {
      if (!PacelineError.is(error) || error.details.pointer !== undefined) throw error;
      const { message, hint, details } = error;
      throw new PacelineError(error.code, `${message} (${keyword} at ${pointer})`, {
        ...(hint === undefined ? {} : { hint }),
        details: { ...details, pointer, keyword },
      });
    }
  }

  private array(clause: Clause, notation: Notation): number {
    const { language } = this;
    const { parts, least, most } = clause.array;
    const prefix = Math.max(0, ...parts.map((part) => part.prefix.length));
    const close = language.concat(notation.arrayClose, LEAVE);
    const rest =
      most !== undefined && most <= prefix ? NOTHING : this.value(itemSchemas(clause, prefix));
    const item = language.concat(notation.comma, rest);
    const open = (from: number) =>
      language.repeat(
        item,
        Math.max(0, least - from),
        most === undefined ? undefined : Math.max(0, most - from),
      );
    // From the end: what may follow the first `index` items.
    let tail = language.concat(open(Math.max(1, prefix)), close);
    for (let index = prefix - 1; index >= 1; index--) {
      const next =
        most !== undefined && index >= most
          ? NOTHING
          : language.concat(notation.comma, this.value(itemSchemas(clause, index)), tail);
      tail = language.either([index >= least ? close : NOTHING, next]);
    }
    const first = most === 0 ? NOTHING : language.concat(this.value(itemSchemas(clause, 0)), tail);
    return language.concat(
      notation.arrayOpen,
      language.either([least === 0 ? close : NOTHING, first]),
    );
  }

  /** The schemas that hold for a property of some name. */
  private propertySchemas({ object }: Clause, name: string): readonly number[] {
    work(object.parts.length);
    return object.parts.flatMap((part) => {
      const found = part.patterns
        .filter(({ source, pointer }) =>
          this.at(pointer, 'patternProperties', () => this.strings.matches(source, name)),
        )
        .map(({ schema }) => schema);
      const own = part.properties.get(name);
      if (own !== undefined) found.push(own);
      return found.length === 0 ? [part.rest] : found;
    });
  }

  /** An object whose members' values are compiled by the caller. */
  object(
    clause: Clause,
    notation: ObjectNotation,
    compileValue: (schemas: readonly number[]) => number,
    spelling: Spelling = this.notation,
  ): number {
    const { object } = clause;
    const names = new Set(object.parts.flatMap((part) => [...part.properties.keys()]));
    for (const name of object.required) names.add(name);
    work(4 * names.size);
    const members: Member[] = [...names].map((name) => {
      const fits = object.names.length === 0 || this.nameFits(object.names, name);
      const value = fits ? compileValue(this.propertySchemas(clause, name)) : NOTHING;
      return { name, value, required: object.required.has(name) };
    });
    const others = this.others(clause, notation, members, compileValue, spelling);
    let { least } = object;
    const alone = Math.max(object.required.size, others.length > 0 ? 1 : 0);
    if (least <= alone && least > object.required.size) least = 1;
    else if (least <= object.required.size) least = 0;
    else if (others.length > 0) {
      this.report.unsupported(
        object.pointer,
        'minProperties',
        'keys that no schema names may repeat',
      );
      least = 0;
    } else if (least > members.filter(({ value }) => value !== NOTHING).length) return NOTHING;
    const inOrder = this.options.inOrder ?? false;
    const { most } = object;
    if (most !== undefined && most < Math.max(least, object.required.size)) return NOTHING;
    return objectLanguage(this.language, notation, { members, others, least, most, inOrder });
  }

  private nameFits(schemas: readonly number[], name: string): boolean {
    return this.normalizer
      .all(schemas)
      .some(
        (clause) =>
          (clause.values === undefined || clause.values.some((value) => value === name)) &&
          satisfies(clause, name, this.checks),
      );
  }

  /** Members that no schema names: one case for each set of patterns that their keys match. */
  private others(
    clause: Clause,
    notation: ObjectNotation,
    members: readonly Member[],
    compileValue: (schemas: readonly number[]) => number,
    spelling: Spelling,
  ): { key: number; value: number }[] {
    const { parts, names } = clause.object;
    const { language, strings } = this;
    const patterns = [
      ...new Map(
        parts.flatMap((part) => part.patterns).map((item) => [item.source, item]),
      ).values(),
    ];
    if (patterns.length > MAX_PATTERNS) {
      throw tooComplex(`${patterns.length} patternProperties at once`, {
        pointer: patterns[0]?.pointer,
      });
    }
    const known = members.map(({ name }) => name);
    const single = language.repeat(strings.single(spelling), 0);
    const conditions: number[] = [];
    if (known.length > 0) conditions.push(strings.without(known, spelling));
    if (names.length > 0) conditions.push(this.contents(names, spelling));
    const result: { key: number; value: number }[] = [];
    for (let subset = 0; subset < 1 << patterns.length; subset++) {
      const matching = new Set(
        patterns.filter((_, index) => ((subset >> index) & 1) === 1).map(({ source }) => source),
      );
      const schemas = parts.flatMap((part) => {
        const found = part.patterns
          .filter(({ source }) => matching.has(source))
          .map(({ schema }) => schema);
        return found.length === 0 ? [part.rest] : found;
      });
      const value = compileValue(schemas);
      if (value === NOTHING) continue;
      const all = [...conditions];
      for (const { source, pointer } of patterns) {
        const content = this.at(pointer, 'patternProperties', () =>
          strings.pattern(source, spelling),
        );
        all.push(matching.has(source) ? content : language.not(content));
      }
      const free = language.repeat(spelling.anyCharacter, 0);
      const content = all.length === 0 ? free : language.both([single, ...all]);
      const key = notation.keyOf(content);
      if (content !== NOTHING && key !== NOTHING) result.push({ key, value });
    }
    return result;
  }

  /** The contents of the strings for which schemas hold. */
  private contents(schemas: readonly number[], spelling: Spelling): number {
    const parts = this.normalizer.all(schemas).map((clause) => {
      if ((clause.types & Type.STRING) === 0) return NOTHING;
      if (!clause.values) return this.content(clause, spelling);
      const texts = clause.values.filter(
        (value) => typeof value === 'string' && satisfies(clause, value, this.checks),
      );
      return this.language.oneOf(
        new KeyList(texts.map((text) => spelling.content(text as string))),
      );
    });
    return this.language.either([...parts]);
  }

  /** Whether schemas are known to have no common value; false where that cannot be decided. */
  private isEmpty(schemas: readonly number[]): boolean {
    const key = normalized(schemas).join();
    work();
    if (this.deciding.has(key) || this.deciding.size > 50) return false;
    this.deciding.add(key);
    const empty = this.normalizer.all(schemas).every((clause) => this.isEmptyClause(clause));
    this.deciding.delete(key);
    return empty;
  }

  private isEmptyClause(clause: Clause): boolean {
    const { types, values, object, array } = clause;
    if (values) return !values.some((value) => satisfies(clause, value, this.checks));
    if ((types & (Type.NULL | Type.BOOLEAN)) !== 0) return false;
    if ((types & Type.NUMBER) !== 0 && numberText(this.language, clause.number) !== NOTHING)
      return false;
    if ((types & Type.STRING) !== 0 && this.content(clause, this.notation) !== NOTHING)
      return false;
    if ((types & Type.ARRAY) !== 0) {
      const needed = Array.from({ length: Math.min(array.least, 16) }, (_, index) => index);
      const impossible = array.most !== undefined && array.most < array.least;
      if (!impossible && !needed.some((index) => this.isEmpty(itemSchemas(clause, index))))
        return false;
    }
    if ((types & Type.OBJECT) !== 0) {
      return [...object.required].some((name) => this.isEmpty(this.propertySchemas(clause, name)));
    }
    return true;
  }

  /** Throws for a schema that no value satisfies. */
  assertSatisfiable(expression: number): void {
    const need = this.language.need[expression] as number;
    if (expression !== NOTHING && need <= this.language.limits.nesting) return;
    throw schemaError('', 'schema', 'No value satisfies the schema');
  }
}

function itemSchemas({ array }: Clause, index: number): readonly number[] {
  return array.parts.map(({ prefix, rest }) => prefix[index] ?? rest);
}

/** Without `true`, each once, sorted. */
function normalized(schemas: readonly number[]): readonly number[] {
  return [...new Set(schemas)].filter((id) => id !== 0).sort((a, b) => a - b);
}
