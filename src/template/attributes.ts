/**
 * `value.name` and `value[key]` as Jinja's immutable sandbox looks them up: attributes first or
 * items first, nothing that begins with an underscore, no method that changes its object. What is
 * not there, or not allowed, is undefined.
 */
import { bind, signature } from './arguments.js';
import { spendItems } from './budget.js';
import { equals } from './compare.js';
import { bitLength, floatText, integerRatio, isNegative } from './decimals.js';
import { typeFault, valueFault } from './faults.js';
import { each, itemOf } from './sequences.js';
import { formatString, type Lookup, mapArgument } from './string-format.js';
import { stringMethod } from './string-methods.js';
import { quote, toRepr } from './text.js';
import {
  Callable,
  Dict,
  DictView,
  Group,
  JinjaObject,
  Markup,
  Namespace,
  noKeywords,
  Range,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.js';

/** Methods that change their object; the sandbox hides them. */
const changing: Readonly<Record<string, readonly string[]>> = {
  list: ['append', 'clear', 'pop', 'reverse', 'insert', 'sort', 'extend', 'remove'],
  dict: ['clear', 'pop', 'popitem', 'setdefault', 'update'],
};

/** Attributes that every Python object has. */
const common = new Set(
  (
    'class doc dir eq format ge getattribute gt hash init init_subclass le lt ne new reduce ' +
    'reduce_ex repr setattr delattr sizeof str subclasshook'
  )
    .split(' ')
    .map((name) => `__${name}__`),
);
/** Those of containers, besides. */
const containers = new Set(
  'len getitem contains iter class_getitem'.split(' ').map((name) => `__${name}__`),
);

const unsafe = (value: Value, name: string): Undefined =>
  new Undefined(
    `access to attribute ${quote(name)} of ${quote(typeName(value))} object is unsafe.`,
    'SecurityError',
  );

/** `value.name`. @throws {Fault} `UndefinedError` when the value is undefined */
export function getAttribute(value: Value, name: string): Value {
  if (value instanceof Undefined && !/^__.*__$/.test(name)) value.fail();
  const attribute = attributeOf(value, name);
  if (attribute !== undefined) return attribute;
  const item = itemOf(value, name);
  return item === undefined ? missing(value, name) : item;
}

/** `value[key]`. @throws {Fault} `UndefinedError` when the value is undefined */
export function getItem(value: Value, key: Value): Value {
  const item = itemOf(value, key);
  if (item !== undefined) return item;
  const name = typeof key === 'string' ? key : key instanceof Markup ? key.text : undefined;
  const attribute = name === undefined ? undefined : attributeOf(value, name);
  return attribute === undefined ? missing(value, key) : attribute;
}

/** What a lookup gives that finds nothing. */
export function missing(value: Value, key: Value): Undefined {
  const type = typeName(value);
  if (typeof key === 'string') return new Undefined(`'${type} object' has no attribute '${key}'`);
  return new Undefined(`${type} object has no element ${toRepr(key)}`);
}

/** Whether `hasattr(value, name)`. */
export function hasAttribute(value: Value, name: string): boolean {
  if (value instanceof Undefined && !/^__.*__$/.test(name)) value.fail();
  return attributeOf(value, name) !== undefined;
}

const lookup: Lookup = { attribute: getAttribute, item: getItem };

/** The attribute as the sandbox gives it, or undefined where Python has none. */
function attributeOf(value: Value, name: string): Value | undefined {
  if (value instanceof Namespace) {
    const own = value.attributes.get(name);
    if (own === undefined) return name === '__class__' ? unsafe(value, name) : undefined;
    return name.startsWith('_') ? unsafe(value, name) : own;
  }
  if (name.startsWith('_')) {
    const found = common.has(name) || (containers.has(name) && isContainer(value));
    return found ? unsafe(value, name) : undefined;
  }
  if (value instanceof JinjaObject) return value.attribute(name);
  if (changing[typeName(value)]?.includes(name)) return unsafe(value, name);
  if (typeof value === 'string' || value instanceof Markup) return textAttribute(value, name);
  if (value instanceof Dict) return dictMethod(value, name);
  if (Array.isArray(value)) return listMethod(value, value, name);
  if (value instanceof Tuple) {
    if (value instanceof Group) {
      if (name === 'grouper') return value.items[0];
      if (name === 'list') return value.items[1];
    }
    return listMethod(value, value.items, name);
  }
  if (value instanceof Range) return rangeAttribute(value, name);
  if (value instanceof DictView) return viewAttribute(value, name);
  if (typeof value === 'bigint' || typeof value === 'boolean') {
    return intAttribute(BigInt(value), name);
  }
  if (typeof value === 'number') return floatAttribute(value, name);
  return value instanceof Callable ? functionAttribute(value, name) : undefined;
}

const isContainer = (value: Value) =>
  typeof value === 'string' ||
  Array.isArray(value) ||
  value instanceof Tuple ||
  value instanceof Dict ||
  value instanceof Markup ||
  value instanceof Range;

/** A method of fixed arguments. */
function method(name: string, parameters: string, run: (...values: Value[]) => Value): Callable {
  const target = signature(name, parameters);
  return new Callable(name, (args, keywords) => run(...bind(target, args, keywords)));
}

function textAttribute(value: string | Markup, name: string): Value | undefined {
  if (name === 'format') {
    return new Callable(name, (args, keywords) => formatString(value, args, keywords, lookup));
  }
  if (name === 'format_map') {
    return new Callable(name, (args, keywords) =>
      formatString(value, [], mapArgument(args, keywords), lookup),
    );
  }
  return stringMethod(value, name);
}

function dictMethod(dict: Dict, name: string): Callable | undefined {
  switch (name) {
    case 'get':
      return method(name, 'key, default=None, /', (key, otherwise) =>
        dict.has(key) ? (dict.get(key) as Value) : otherwise,
      );
    case 'keys':
    case 'values':
    case 'items':
      return method(name, '', () => new DictView(dict, name));
    case 'copy':
      return method(name, '', () => {
        spendItems(dict.size * 4);
        return Dict.of(dict.pairs());
      });
    case 'fromkeys':
      return fromKeys;
    default:
      return undefined;
  }
}

/** `dict.fromkeys(keys, value=None)`. */
const fromKeys: Callable = method('fromkeys', 'iterable, value=None, /', (keys, value) => {
  const dict = new Dict();
  for (const key of each(keys)) dict.set(key, value);
  return dict;
});

function listMethod(owner: Value, items: readonly Value[], name: string): Callable | undefined {
  if (name === 'copy' && Array.isArray(owner)) return method(name, '', () => [...items]);
  if (name === 'count') {
    return method(name, 'value, /', (value) =>
      BigInt(items.filter((item) => equals(item, value)).length),
    );
  }
  if (name !== 'index') return undefined;
  return method(name, 'value, start=0, stop=9223372036854775807, /', (value, start, stop) => {
    const place = (limit: Value) => {
      if (typeof limit !== 'bigint' && typeof limit !== 'boolean') {
        throw typeFault('slice indices must be integers or have an __index__ method');
      }
      const index = Number(limit);
      return index < 0 ? Math.max(0, index + items.length) : index;
    };
    const end = Math.min(place(stop), items.length);
    for (let index = place(start); index < end; index++) {
      if (equals(items[index] as Value, value)) return BigInt(index);
    }
    throw valueFault(`${toRepr(value)} is not in list`);
  });
}

function rangeAttribute(range: Range, name: string): Value | undefined {
  if (name === 'start' || name === 'stop' || name === 'step') return range[name];
  const items = () => Array.from({ length: range.length }, (_, index) => range.at(index));
  return name === 'count' || name === 'index' ? listMethod(range, items(), name) : undefined;
}

function viewAttribute(view: DictView, name: string): Value | undefined {
  if (name === 'mapping') return view.dict;
  if (name !== 'isdisjoint' || view.part === 'values') return undefined;
  return method(name, 'other, /', (other) => {
    const own = view.list();
    for (const item of each(other)) {
      if (own.some((candidate) => equals(candidate, item))) return false;
    }
    return true;
  });
}

function intAttribute(value: bigint, name: string): Value | undefined {
  const size = value < 0n ? -value : value;
  switch (name) {
    case 'real':
    case 'numerator':
      return value;
    case 'imag':
      return 0n;
    case 'denominator':
      return 1n;
    case 'conjugate':
      return method(name, '', () => value);
    case 'bit_length':
      return method(name, '', () => BigInt(bitLength(size)));
    case 'bit_count':
      return method(name, '', () => BigInt(size.toString(2).replaceAll('0', '').length));
    case 'as_integer_ratio':
      return method(name, '', () => new Tuple([value, 1n]));
    default:
      return undefined;
  }
}

function floatAttribute(value: number, name: string): Value | undefined {
  switch (name) {
    case 'real':
      return value;
    case 'imag':
      return 0;
    case 'conjugate':
      return method(name, '', () => value);
    case 'is_integer':
      return method(name, '', () => Number.isInteger(value));
    case 'as_integer_ratio':
      return method(name, '', () => {
        if (!Number.isFinite(value)) {
          throw valueFault(`cannot convert ${floatText(value)} to integer ratio`);
        }
        return new Tuple([...integerRatio(value)]);
      });
    case 'hex':
      return method(name, '', () => hexText(value));
    default:
      return undefined;
  }
}

/** `float.hex()`. */
function hexText(value: number): string {
  if (!Number.isFinite(value)) return floatText(value);
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  const bits = view.getBigUint64(0);
  const biased = Number((bits >> 52n) & 0x7ffn);
  const fraction = (bits & 0xfffffffffffffn).toString(16).padStart(13, '0');
  const sign = isNegative(value) ? '-' : '';
  if (value === 0) return `${sign}0x0.0p+0`;
  const exponent = biased === 0 ? -1022 : biased - 1023;
  return `${sign}0x${biased === 0 ? 0 : 1}.${fraction}p${exponent < 0 ? '' : '+'}${exponent}`;
}

function functionAttribute(value: Callable, name: string): Value | undefined {
  return value.name === 'dict' && name === 'fromkeys' ? fromKeys : undefined;
}

/** `value(*args, **keywords)`. @throws {Fault} `TypeError`, `UndefinedError` */
export function callValue(value: Value, args: readonly Value[], keywords = noKeywords): Value {
  if (value instanceof Callable) return value.call(args, keywords);
  if (value instanceof Undefined) return value.fail();
  if (value instanceof JinjaObject && value.call) return value.call(args, keywords);
  throw typeFault(`'${typeName(value)}' object is not callable`);
}

/** Whether `callable(value)`; undefined counts, as it has a call that fails. */
export function isCallable(value: Value): boolean {
  return (
    value instanceof Callable ||
    value instanceof Undefined ||
    (value instanceof JinjaObject && value.call !== undefined)
  );
}
