/**
 * Python's values as templates see them. None is null, bool boolean, int bigint, float number, str
 * string (text counts code points; see text.ts), list an array; everything else is an instance of a
 * class of this file. A value is never changed once a template can see it, apart from namespaces,
 * cyclers, joiners and streams. Knows no operation on values.
 */
import { deeper, spendText } from './budget.js';
import { Fault, type FaultKind } from './faults.js';

export type Value = null | boolean | bigint | number | string | Value[] | Instance;
export type Keywords = ReadonlyMap<string, Value>;

abstract class Instance {
  /** Python's name of the type, for messages. */
  abstract readonly type: string;
}

/** What an unknown name or a missing key gives: empty as text, a fault in most operations. */
export class Undefined extends Instance {
  readonly type = 'Undefined';
  constructor(
    readonly message: string,
    readonly kind: FaultKind = 'UndefinedError',
  ) {
    super();
  }

  fail(): never {
    throw new Fault(this.kind, this.message);
  }
}

/** Text that counts as HTML already. */
export class Markup extends Instance {
  readonly type = 'Markup';
  constructor(readonly text: string) {
    super();
  }
}

export class Tuple extends Instance {
  readonly type: string = 'tuple';
  constructor(readonly items: readonly Value[]) {
    super();
  }
}

/** A tuple of `groupby`, whose items have names. */
export class Group extends Tuple {
  override readonly type = '_GroupTuple';
}

/** Of a float, an int or a bool the same key where they are equal, else an own one. */
type Hash = string | bigint | number | object | null;

/** A dictionary in order of insertion. */
export class Dict extends Instance {
  readonly type = 'dict';
  private readonly entries = new Map<Hash, [Value, Value]>();

  /** @throws {Fault} `TypeError` for a key that has no hash, as everything below */
  static of(pairs: Iterable<readonly [Value, Value]>): Dict {
    const dict = new Dict();
    for (const [key, value] of pairs) dict.set(key, value);
    return dict;
  }

  get size(): number {
    return this.entries.size;
  }

  get(key: Value): Value | undefined {
    return this.entries.get(hashOf(key))?.[1];
  }

  has(key: Value): boolean {
    return this.entries.has(hashOf(key));
  }

  /** Only for a dictionary under construction. An equal key keeps its first form and place. */
  set(key: Value, value: Value): void {
    const hash = hashOf(key);
    const entry = this.entries.get(hash);
    if (entry) entry[1] = value;
    else this.entries.set(hash, [key, value]);
  }

  /** Pairs of key and value. */
  pairs(): IterableIterator<readonly [Value, Value]> {
    return this.entries.values();
  }

  keys(): Value[] {
    return Array.from(this.entries.values(), (entry) => entry[0]);
  }

  values(): Value[] {
    return Array.from(this.entries.values(), (entry) => entry[1]);
  }
}

/** What equal values share. @throws {Fault} `TypeError` */
export function hashOf(value: Value): Hash {
  if (typeof value === 'string') return value.charCodeAt(0) === 0 ? `\0s${value}` : value;
  if (typeof value === 'bigint' || value === null) return value;
  if (typeof value === 'boolean') return value ? 1n : 0n;
  if (typeof value === 'number') return Number.isInteger(value) ? BigInt(value) : value;
  if (value instanceof Markup) return hashOf(value.text);
  if (value instanceof Undefined) return Undefined;
  if (value instanceof Tuple) {
    const parts = deeper(() =>
      value.items.map((item) => {
        const hash = hashOf(item);
        if (typeof hash === 'object' && hash !== null) return `o${identityOf(hash)}`;
        return typeof hash === 'string' ? JSON.stringify(hash) : `${typeof hash}${String(hash)}`;
      }),
    );
    const hash = `\0t${parts.join(',')}`;
    spendText(hash.length);
    return hash;
  }
  if (value instanceof Range) return `\0r${value.key}`;
  if (Array.isArray(value) || value instanceof Dict || isSetLike(value)) {
    throw new Fault('TypeError', `unhashable type: '${typeName(value)}'`);
  }
  return value;
}

/** Views that are sets; values are not, and have a hash as objects. */
const isSetLike = (value: Value) => value instanceof DictView && value.part !== 'values';

const identities = new WeakMap<object, number>();
let lastIdentity = 0;

function identityOf(value: object): number {
  const known = identities.get(value);
  if (known !== undefined) return known;
  identities.set(value, ++lastIdentity);
  return lastIdentity;
}

/** The live view that `keys()`, `values()` and `items()` give. */
export class DictView extends Instance {
  readonly type: string;
  constructor(
    readonly dict: Dict,
    readonly part: 'keys' | 'values' | 'items',
  ) {
    super();
    this.type = `dict_${part}`;
  }

  list(): Value[] {
    if (this.part === 'keys') return this.dict.keys();
    if (this.part === 'values') return this.dict.values();
    return Array.from(this.dict.pairs(), ([key, value]) => new Tuple([key, value]));
  }
}

/** Numbers from `start` in steps, `length` of them. */
export class Range extends Instance {
  readonly type = 'range';
  constructor(
    readonly start: bigint,
    readonly stop: bigint,
    readonly step: bigint,
    readonly length: number,
  ) {
    super();
  }

  at(index: number): bigint {
    return this.start + BigInt(index) * this.step;
  }

  /** Equal for equal ranges: those with the same numbers. */
  get key(): string {
    if (this.length === 0) return '0';
    return this.length === 1 ? `1:${this.start}` : `${this.length}:${this.start}:${this.step}`;
  }
}

/** An iterator or a generator: can be read once. */
export class Stream extends Instance {
  /** @param type Python's name, `generator` for one */
  constructor(
    readonly iterator: Iterator<Value>,
    readonly type: string = 'generator',
  ) {
    super();
  }
}

/** A function, a bound method or a type. */
export class Callable extends Instance {
  readonly type: string = 'builtin_function_or_method';
  constructor(
    readonly name: string,
    readonly call: (args: readonly Value[], keywords: Keywords) => Value,
  ) {
    super();
  }
}

/** What `namespace()` makes: the one thing with attributes that `set` can change. */
export class Namespace extends Instance {
  readonly type = 'Namespace';
  constructor(readonly attributes: Dict) {
    super();
  }
}

/** An object of Jinja with attributes and perhaps a call: `loop`, `cycler()`, a macro, `self`. */
export abstract class JinjaObject extends Instance {
  /** The attribute, or undefined. */
  abstract attribute(name: string): Value | undefined;
  /** The item, or undefined. */
  item(_key: Value): Value | undefined {
    return undefined;
  }
  call?(args: readonly Value[], keywords: Keywords): Value;
  abstract repr(): string;
}

/** Python's name of a value's type. */
export function typeName(value: Value): string {
  if (value === null) return 'NoneType';
  if (Array.isArray(value)) return 'list';
  switch (typeof value) {
    case 'string':
      return 'str';
    case 'bigint':
      return 'int';
    case 'number':
      return 'float';
    case 'boolean':
      return 'bool';
    default:
      return value.type;
  }
}

/** The text of a str or Markup, else undefined. */
export function textOf(value: Value): string | undefined {
  if (typeof value === 'string') return value;
  return value instanceof Markup ? value.text : undefined;
}

/** The integer that an int or a bool is, else undefined. */
export function intOf(value: Value): bigint | undefined {
  if (typeof value === 'bigint') return value;
  return typeof value === 'boolean' ? BigInt(value) : undefined;
}

export const noKeywords: Keywords = new Map();
