/** The objects that Jinja gives to templates: `loop`, macros, `cycler`, `joiner`, `self`. */
import { deeper, spend } from './budget.js';
import { equals } from './compare.js';
import { Fault, typeFault } from './faults.js';
import type { Runtime } from './runtime.js';
import { requireIterator, SizedObject, sizeOf } from './sequences.js';
import { quote } from './text.js';
import {
  Callable,
  Dict,
  JinjaObject,
  type Keywords,
  Markup,
  Tuple,
  Undefined,
  type Value,
} from './values.js';

/** Turns away arguments by name. */
function onlyPositional(name: string, keywords: Keywords): void {
  if (keywords.size > 0) throw typeFault(`${name}() takes no keyword arguments`);
}

/** The state of a `for`, which the template sees as `loop`. */
export class Loop extends SizedObject {
  readonly type = 'LoopContext';
  private index0 = -1;
  private iterator: Iterator<Value>;
  private length: number | undefined;
  private after: Value | undefined;
  private current: Value | undefined;
  private before: Value | undefined;
  private lastChanged: readonly Value[] | undefined;

  constructor(
    private readonly iterable: Value,
    private readonly recurse: ((iterable: Value, depth: number) => Value) | undefined,
    private readonly depth0: number,
  ) {
    super();
    this.iterator = requireIterator(iterable);
  }

  /** The next item, or undefined at the end. */
  next(): Value | undefined {
    spend();
    let item = this.after;
    this.after = undefined;
    if (item === undefined) {
      const next = this.iterator.next();
      if (next.done) return undefined;
      item = next.value;
    }
    this.index0++;
    this.before = this.current;
    this.current = item;
    return item;
  }

  private peek(): Value | undefined {
    if (this.after === undefined) {
      const next = this.iterator.next();
      if (!next.done) this.after = next.value;
    }
    return this.after;
  }

  size(): number {
    this.length ??= sizeOf(this.iterable) ?? this.count();
    return this.length;
  }

  /** Reads the rest of what has no length. */
  private count(): number {
    const rest: Value[] = [];
    for (let next = this.iterator.next(); !next.done; next = this.iterator.next()) {
      spend();
      rest.push(next.value);
    }
    this.iterator = rest[Symbol.iterator]();
    return rest.length + this.index0 + 1 + (this.after === undefined ? 0 : 1);
  }

  *iterate(): Generator<Value> {
    for (let item = this.next(); item !== undefined; item = this.next()) {
      yield new Tuple([item, this]);
    }
  }

  attribute(name: string): Value | undefined {
    switch (name) {
      case 'index':
        return BigInt(this.index0 + 1);
      case 'index0':
        return BigInt(this.index0);
      case 'first':
        return this.index0 === 0;
      case 'last':
        return this.peek() === undefined;
      case 'length':
        return BigInt(this.size());
      case 'revindex':
        return BigInt(this.size() - this.index0);
      case 'revindex0':
        return BigInt(this.size() - this.index0 - 1);
      case 'depth':
        return BigInt(this.depth0 + 1);
      case 'depth0':
        return BigInt(this.depth0);
      case 'previtem':
        if (this.index0 === 0) return new Undefined('there is no previous item');
        return this.before === undefined ? new Undefined('there is no previous item') : this.before;
      case 'nextitem': {
        const next = this.peek();
        return next === undefined ? new Undefined('there is no next item') : next;
      }
      case 'cycle':
        return new Callable(name, (args, keywords) => {
          onlyPositional(name, keywords);
          if (args.length === 0) throw typeFault('no items for cycling given');
          return args[this.index0 % args.length] as Value;
        });
      case 'changed':
        return new Callable(name, (args, keywords) => {
          onlyPositional(name, keywords);
          const last = this.lastChanged;
          const same =
            last?.length === args.length && args.every((arg, at) => equals(arg, last[at] as Value));
          this.lastChanged = args;
          return !same;
        });
      default:
        return undefined;
    }
  }

  override call(args: readonly Value[], keywords: Keywords): Value {
    onlyPositional('loop', keywords);
    const [iterable] = args;
    if (args.length !== 1 || iterable === undefined) throw typeFault('loop() takes one argument');
    if (!this.recurse) {
      throw typeFault("The loop must have the 'recursive' marker to be called recursively.");
    }
    return this.recurse(iterable, this.depth0 + 1);
  }

  repr(): string {
    return `<LoopContext ${this.index0 + 1}/${this.size()}>`;
  }
}

export interface MacroDefinition {
  /** Undefined for the body of a `call`. */
  readonly name: string | undefined;
  readonly parameters: readonly string[];
  readonly catchesKeywords: boolean;
  readonly catchesRest: boolean;
  readonly usesCaller: boolean;
}

/** A macro: binds arguments by Jinja's rules, which are more lenient than Python's. */
export class Macro extends JinjaObject {
  readonly type = 'Macro';

  /** @param body the text for the values of all parameters; undefined: not given */
  constructor(
    private readonly definition: MacroDefinition,
    private readonly runtime: Runtime,
    private readonly body: (values: readonly (Value | undefined)[]) => string,
  ) {
    super();
  }

  attribute(name: string): Value | undefined {
    const { definition } = this;
    switch (name) {
      case 'name':
        return definition.name ?? null;
      case 'arguments':
        return new Tuple(definition.parameters);
      case 'catch_kwargs':
        return definition.catchesKeywords;
      case 'catch_varargs':
        return definition.catchesRest;
      case 'caller':
        return definition.usesCaller;
      case 'explicit_caller':
        return definition.parameters.includes('caller');
      default:
        return undefined;
    }
  }

  override call(args: readonly Value[], keywords: Keywords): Value {
    const values = this.bind(args, new Map(keywords));
    const text = deeper(() => this.body(values));
    return this.runtime.autoescape ? new Markup(text) : text;
  }

  private bind(args: readonly Value[], rest: Map<string, Value>): (Value | undefined)[] {
    const { name = 'anonymous', parameters, ...takes } = this.definition;
    const values: (Value | undefined)[] = args.slice(0, parameters.length);
    for (const parameter of parameters.slice(values.length)) {
      values.push(rest.get(parameter));
      rest.delete(parameter);
    }
    const explicit = parameters.includes('caller');
    if (takes.usesCaller && !explicit) {
      const caller = rest.get('caller');
      rest.delete('caller');
      values.push(caller ?? new Undefined('No caller defined'));
    }
    if (takes.catchesKeywords) values.push(Dict.of(rest));
    else if (rest.size > 0) {
      const [unknown] = rest.keys();
      throw typeFault(`macro '${name}' takes no keyword argument '${unknown}'`);
    }
    if (takes.catchesRest) values.push(new Tuple(args.slice(parameters.length)));
    else if (args.length > parameters.length) {
      throw typeFault(`macro '${name}' takes not more than ${parameters.length} argument(s)`);
    }
    return values;
  }

  repr(): string {
    const { name } = this.definition;
    return `<Macro ${name === undefined ? 'anonymous' : quote(name)}>`;
  }
}

/** `cycler(...)`. */
export class Cycler extends JinjaObject {
  readonly type = 'Cycler';
  private position = 0;

  constructor(private readonly items: readonly Value[]) {
    super();
    if (items.length === 0) throw new Fault('RuntimeError', 'at least one item has to be provided');
  }

  attribute(name: string): Value | undefined {
    switch (name) {
      case 'current':
        return this.items[this.position];
      case 'pos':
        return BigInt(this.position);
      case 'items':
        return new Tuple(this.items);
      case 'reset':
        return new Callable(name, () => {
          this.position = 0;
          return null;
        });
      case 'next':
        return new Callable(name, () => {
          const item = this.items[this.position] as Value;
          this.position = (this.position + 1) % this.items.length;
          return item;
        });
      default:
        return undefined;
    }
  }

  repr(): string {
    return '<jinja2.utils.Cycler object>';
  }
}

/** `joiner(...)`: nothing at first, then its separator. */
export class Joiner extends JinjaObject {
  readonly type = 'Joiner';
  private used = false;

  constructor(private readonly separator: Value) {
    super();
  }

  attribute(name: string): Value | undefined {
    if (name === 'sep') return this.separator;
    return name === 'used' ? this.used : undefined;
  }

  override call(args: readonly Value[], keywords: Keywords): Value {
    onlyPositional('joiner', keywords);
    if (args.length > 0) throw typeFault('a joiner takes no arguments');
    if (this.used) return this.separator;
    this.used = true;
    return '';
  }

  repr(): string {
    return '<jinja2.utils.Joiner object>';
  }
}

/** `self`, whose items are the template's blocks. */
export class TemplateReference extends JinjaObject {
  readonly type = 'TemplateReference';

  constructor(private readonly runtime: Runtime) {
    super();
  }

  attribute(): undefined {
    return undefined;
  }

  override item(key: Value): Value | undefined {
    const { runtime } = this;
    const block = typeof key === 'string' ? runtime.blocks.get(key) : undefined;
    if (!block) return undefined;
    const { context } = runtime;
    return new Callable(String(key), (args) => {
      if (args.length > 0) throw typeFault('a block takes no arguments');
      const text = deeper(() => block(context));
      return runtime.autoescape ? new Markup(text) : text;
    });
  }

  repr(): string {
    return '<TemplateReference None>';
  }
}

/** What a loop over `iterable if test` reads: only the items that pass, one by one. */
export function* filtered(items: Value, passes: (item: Value) => boolean): Generator<Value> {
  const iterator = requireIterator(items);
  for (let next = iterator.next(); !next.done; next = iterator.next()) {
    spend();
    if (passes(next.value)) yield next.value;
  }
}
