/**
 * What one alternative of a schema demands, all keywords together, and how two such demands become
 * one. A schema is a list of alternatives. Knows nothing of text.
 */
import { work } from '../core/budget.js';
import { type Json, sameJson } from './json.js';

export const Type = {
  NULL: 1,
  BOOLEAN: 2,
  NUMBER: 4,
  STRING: 8,
  ARRAY: 16,
  OBJECT: 32,
  ALL: 63,
} as const;

export interface NumberRules {
  readonly integer: boolean;
  readonly least: number | undefined;
  readonly leastOpen: boolean;
  readonly most: number | undefined;
  readonly mostOpen: boolean;
  readonly multiples: readonly { readonly value: number; readonly pointer: string }[];
}

export interface StringRules {
  readonly least: number;
  readonly most: number | undefined;
  readonly patterns: readonly { readonly source: string; readonly pointer: string }[];
  readonly formats: readonly { readonly name: string; readonly pointer: string }[];
}

/** What one schema says of items: those of `prefix` by position, the others by `rest`. */
export interface ArrayPart {
  readonly prefix: readonly number[];
  readonly rest: number;
}

export interface ArrayRules {
  readonly parts: readonly ArrayPart[];
  readonly least: number;
  readonly most: number | undefined;
}

/** What one schema says of properties; `rest` is for those that neither names nor patterns cover. */
export interface ObjectPart {
  readonly properties: ReadonlyMap<string, number>;
  readonly patterns: readonly {
    readonly source: string;
    readonly schema: number;
    readonly pointer: string;
  }[];
  readonly rest: number;
}

export interface ObjectRules {
  readonly parts: readonly ObjectPart[];
  readonly required: ReadonlySet<string>;
  readonly least: number;
  readonly most: number | undefined;
  readonly names: readonly number[];
  /** Where `least` was written, for messages. */
  readonly pointer: string;
}

export interface Clause {
  readonly types: number;
  /** The only values that are allowed. */
  readonly values: readonly Json[] | undefined;
  readonly excluded: readonly { readonly value: Json; readonly pointer: string }[];
  readonly number: NumberRules;
  readonly string: StringRules;
  readonly array: ArrayRules;
  readonly object: ObjectRules;
}

export const anything: Clause = {
  types: Type.ALL,
  values: undefined,
  excluded: [],
  number: {
    integer: false,
    least: undefined,
    leastOpen: false,
    most: undefined,
    mostOpen: false,
    multiples: [],
  },
  string: { least: 0, most: undefined, patterns: [], formats: [] },
  array: { parts: [], least: 0, most: undefined },
  object: { parts: [], required: new Set(), least: 0, most: undefined, names: [], pointer: '' },
};

export function typeOf(value: Json): number {
  if (value === null) return Type.NULL;
  if (Array.isArray(value)) return Type.ARRAY;
  switch (typeof value) {
    case 'boolean':
      return Type.BOOLEAN;
    case 'number':
      return Type.NUMBER;
    case 'string':
      return Type.STRING;
    default:
      return Type.OBJECT;
  }
}

/** Both demands at once; undefined where they contradict each other openly. */
export function merge(a: Clause, b: Clause): Clause | undefined {
  if (a === anything) return b;
  if (b === anything) return a;
  work(3);
  const values = a.values && b.values ? common(a.values, b.values) : (a.values ?? b.values);
  const types = a.types & b.types;
  if (types === 0 || values?.length === 0) return undefined;
  return {
    types,
    values,
    excluded: joined(a.excluded, b.excluded),
    number: mergeNumbers(a.number, b.number),
    string: {
      least: Math.max(a.string.least, b.string.least),
      most: smaller(a.string.most, b.string.most),
      patterns: joined(a.string.patterns, b.string.patterns),
      formats: joined(a.string.formats, b.string.formats),
    },
    array: {
      parts: joined(a.array.parts, b.array.parts),
      least: Math.max(a.array.least, b.array.least),
      most: smaller(a.array.most, b.array.most),
    },
    object: {
      parts: joined(a.object.parts, b.object.parts),
      required: new Set(joined([...a.object.required], [...b.object.required])),
      least: Math.max(a.object.least, b.object.least),
      most: smaller(a.object.most, b.object.most),
      names: joined(a.object.names, b.object.names),
      pointer: a.object.pointer || b.object.pointer,
    },
  };
}

function joined<T>(a: readonly T[], b: readonly T[]): readonly T[] {
  if (a.length === 0) return b;
  if (b.length === 0) return a;
  work((a.length + b.length) / 4);
  return [...a, ...b];
}

/** The values of one list that are in the other. */
function common(a: readonly Json[], b: readonly Json[]): readonly Json[] {
  work((a.length + b.length) / 4);
  const simple = new Set(b);
  const nested = b.filter((value) => typeof value === 'object' && value !== null);
  return a.filter((value) => {
    if (typeof value !== 'object' || value === null) return simple.has(value);
    work(1 + nested.length);
    return nested.some((candidate) => sameJson(value, candidate));
  });
}

function smaller(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Math.min(a, b);
}

function mergeNumbers(a: NumberRules, b: NumberRules): NumberRules {
  const lower = higher(a.least, a.leastOpen, b.least, b.leastOpen, 1);
  const upper = higher(a.most, a.mostOpen, b.most, b.mostOpen, -1);
  return {
    integer: a.integer || b.integer,
    least: lower.bound,
    leastOpen: lower.open,
    most: upper.bound,
    mostOpen: upper.open,
    multiples: joined(a.multiples, b.multiples),
  };
}

/** The bound that demands more: the higher one (sign 1) or the lower one (sign -1). */
function higher(
  a: number | undefined,
  aOpen: boolean,
  b: number | undefined,
  bOpen: boolean,
  sign: number,
): { bound: number | undefined; open: boolean } {
  if (a === undefined) return { bound: b, open: bOpen };
  if (b === undefined) return { bound: a, open: aOpen };
  if (a === b) return { bound: a, open: aOpen || bOpen };
  return a * sign > b * sign ? { bound: a, open: aOpen } : { bound: b, open: bOpen };
}
