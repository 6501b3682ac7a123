/**
 * What a schema demands by its own keywords, those that join other schemas aside. Types of keywords
 * are checked here. Knows nothing of text.
 */
import {
  type ArrayRules,
  anything,
  type Clause,
  type NumberRules,
  type ObjectRules,
  type StringRules,
  Type,
} from './clause.js';
import type { SchemaDocument } from './document.js';
import { annotations, formats, integerFormats } from './formats.js';
import { isObject, type Json, type JsonObject, pointerTo } from './json.js';
import { type Report, schemaError } from './report.js';

const typeNames: Readonly<Record<string, number>> = {
  null: Type.NULL,
  boolean: Type.BOOLEAN,
  number: Type.NUMBER,
  integer: Type.NUMBER,
  string: Type.STRING,
  array: Type.ARRAY,
  object: Type.OBJECT,
};

/** Reads the keywords of one schema object. */
export class OwnRules {
  constructor(
    private readonly schema: JsonObject,
    private readonly pointer: string,
    private readonly document: SchemaDocument,
    private readonly report: Report,
  ) {}

  clause(): Clause {
    const { schema } = this;
    let types: number = Type.ALL;
    let integer = false;
    if (schema.type !== undefined) {
      const names = Array.isArray(schema.type) ? schema.type : [schema.type];
      types = 0;
      for (const name of names) {
        const bit =
          typeof name === 'string' && Object.hasOwn(typeNames, name) ? typeNames[name] : undefined;
        if (bit === undefined) throw this.wrong('type', `knows no type ${JSON.stringify(name)}`);
        types |= bit;
      }
      integer = names.includes('integer') && !names.includes('number');
      if (schema.nullable === true) types |= Type.NULL;
    }
    let values: readonly Json[] | undefined;
    if (schema.enum !== undefined) {
      if (!Array.isArray(schema.enum)) throw this.wrong('enum', 'has to be an array');
      values = schema.enum as readonly Json[];
    }
    if (schema.const !== undefined) values = [...(values ? this.both(values) : [schema.const])];
    return {
      types,
      values,
      excluded: [],
      number: this.numbers(integer),
      string: this.strings(),
      array: this.arrays(),
      object: this.objects(),
    };
  }

  private both(values: readonly Json[]): readonly Json[] {
    const wanted = JSON.stringify(this.schema.const);
    return values.filter((value) => JSON.stringify(value) === wanted);
  }

  private wrong(keyword: string, problem: string) {
    const pointer = pointerTo(this.pointer, keyword);
    return schemaError(pointer, keyword, `${keyword} at ${pointer} ${problem}`);
  }

  private number(keyword: string): number | undefined {
    const value = this.schema[keyword];
    if (value === undefined) return undefined;
    if (typeof value !== 'number' || !Number.isFinite(value))
      throw this.wrong(keyword, 'has to be a number');
    return value;
  }

  private count(keyword: string): number | undefined {
    const value = this.number(keyword);
    if (value === undefined) return undefined;
    if (!Number.isInteger(value) || value < 0) {
      throw this.wrong(keyword, 'has to be a whole number that is not negative');
    }
    return Math.min(value, 0x3fffffff);
  }

  private numbers(integerType: boolean): NumberRules {
    const { schema } = this;
    let integer = integerType;
    let [least, leastOpen] = [this.bound('minimum'), false];
    let [most, mostOpen] = [this.bound('maximum'), false];
    // Draft 4 has booleans here that open the other bound.
    if (typeof schema.exclusiveMinimum === 'boolean')
      leastOpen = schema.exclusiveMinimum && least !== undefined;
    else {
      const open = this.bound('exclusiveMinimum');
      if (open !== undefined && (least === undefined || open >= least))
        [least, leastOpen] = [open, true];
    }
    if (typeof schema.exclusiveMaximum === 'boolean')
      mostOpen = schema.exclusiveMaximum && most !== undefined;
    else {
      const open = this.bound('exclusiveMaximum');
      if (open !== undefined && (most === undefined || open <= most))
        [most, mostOpen] = [open, true];
    }
    const format = schema.format;
    if (typeof format === 'string' && Object.hasOwn(integerFormats, format)) {
      const [low, high] = integerFormats[format] as readonly [number, number];
      integer = true;
      if (least === undefined || least < low) [least, leastOpen] = [low, false];
      if (most === undefined || most > high) [most, mostOpen] = [high, format === 'int64'];
    }
    const divisor = this.number('multipleOf');
    if (divisor !== undefined && divisor <= 0)
      throw this.wrong('multipleOf', 'has to be greater than 0');
    const multiples =
      divisor === undefined
        ? []
        : [{ value: divisor, pointer: pointerTo(this.pointer, 'multipleOf') }];
    return { integer, least, leastOpen, most, mostOpen, multiples };
  }

  private bound(keyword: string): number | undefined {
    return typeof this.schema[keyword] === 'boolean' ? undefined : this.number(keyword);
  }

  private strings(): StringRules {
    const { schema, pointer } = this;
    const patterns: StringRules['patterns'][number][] = [];
    if (schema.pattern !== undefined) {
      if (typeof schema.pattern !== 'string') throw this.wrong('pattern', 'has to be a string');
      patterns.push({ source: schema.pattern, pointer: pointerTo(pointer, 'pattern') });
    }
    const named: StringRules['formats'][number][] = [];
    const { format } = schema;
    if (format !== undefined) {
      if (typeof format !== 'string') throw this.wrong('format', 'has to be a string');
      const place = pointerTo(pointer, 'format');
      if (Object.hasOwn(formats, format)) named.push({ name: format, pointer: place });
      else if (!annotations.has(format) && !Object.hasOwn(integerFormats, format)) {
        this.report.unsupported(place, 'format', `the format '${format}' is not known`);
      }
    }
    return {
      least: this.count('minLength') ?? 0,
      most: this.count('maxLength'),
      patterns,
      formats: named,
    };
  }

  private arrays(): ArrayRules {
    const { schema, pointer } = this;
    let prefix: readonly Json[] | undefined;
    let rest: Json | undefined = schema.items;
    let restAt = pointerTo(pointer, 'items');
    if (Array.isArray(schema.items)) {
      prefix = schema.items as readonly Json[];
      rest = schema.additionalItems;
      restAt = pointerTo(pointer, 'additionalItems');
    } else if (schema.prefixItems !== undefined) {
      if (!Array.isArray(schema.prefixItems)) throw this.wrong('prefixItems', 'has to be an array');
      prefix = schema.prefixItems as readonly Json[];
    }
    const parts =
      prefix === undefined && rest === undefined
        ? []
        : [
            {
              prefix: (prefix ?? []).map((item, index) =>
                this.document.id(item, pointerTo(pointerTo(pointer, 'prefixItems'), index)),
              ),
              rest: rest === undefined ? 0 : this.document.id(rest, restAt),
            },
          ];
    const most = this.count('maxItems');
    if (schema.uniqueItems === true && (most === undefined || most > 1)) {
      this.report.unsupported(
        pointerTo(pointer, 'uniqueItems'),
        'uniqueItems',
        'items cannot be compared',
      );
    }
    if (schema.contains !== undefined && schema.minContains !== 0) {
      this.report.unsupported(
        pointerTo(pointer, 'contains'),
        'contains',
        'items cannot be counted by kind',
      );
    } else if (schema.contains !== undefined && schema.maxContains !== undefined) {
      this.report.unsupported(
        pointerTo(pointer, 'maxContains'),
        'maxContains',
        'items cannot be counted by kind',
      );
    }
    return { parts, least: this.count('minItems') ?? 0, most };
  }

  private objects(): ObjectRules {
    const { schema, pointer, document } = this;
    const properties = new Map<string, number>();
    const at = pointerTo(pointer, 'properties');
    for (const [name, value] of this.record('properties')) {
      properties.set(name, document.id(value, pointerTo(at, name)));
    }
    const patternsAt = pointerTo(pointer, 'patternProperties');
    const patterns = this.record('patternProperties').map(([source, value]) => ({
      source,
      schema: document.id(value, pointerTo(patternsAt, source)),
      pointer: pointerTo(patternsAt, source),
    }));
    const rest = schema.additionalProperties;
    const parts =
      properties.size === 0 && patterns.length === 0 && rest === undefined
        ? []
        : [
            {
              properties,
              patterns,
              rest:
                rest === undefined
                  ? 0
                  : document.id(rest, pointerTo(pointer, 'additionalProperties')),
            },
          ];
    let required: readonly Json[] = [];
    // Draft 3 has a boolean inside of the property; it says nothing here.
    if (schema.required !== undefined) {
      if (
        !Array.isArray(schema.required) ||
        schema.required.some((name) => typeof name !== 'string')
      ) {
        throw this.wrong('required', 'has to be an array of names');
      }
      required = schema.required;
    }
    const names =
      schema.propertyNames === undefined
        ? []
        : [document.id(schema.propertyNames, pointerTo(pointer, 'propertyNames'))];
    return {
      parts,
      required: new Set(required as readonly string[]),
      least: this.count('minProperties') ?? 0,
      most: this.count('maxProperties'),
      names,
      pointer: pointerTo(pointer, 'minProperties'),
    };
  }

  private record(keyword: string): [string, Json][] {
    const value = this.schema[keyword];
    if (value === undefined) return [];
    if (!isObject(value)) throw this.wrong(keyword, 'has to be an object');
    return Object.entries(value);
  }
}

/** A demand on types alone. */
export function onlyTypes(types: number): Clause {
  return { ...anything, types };
}
