/** What a rendering carries along: variables, output, the place for messages. */
import { checkLength } from './budget.js';
import type { Keywords, Value } from './values.js';

/** The variables of one call of a function of the template; undefined: not set. */
export interface Environment {
  readonly slots: (Value | undefined)[];
  readonly parent: Environment | undefined;
}

/** Names that no frame knows: what the template sets at its top, then what the caller gave. */
export class Context {
  private readonly own = new Map<string, Value>();

  constructor(private readonly given: ReadonlyMap<string, Value>) {}

  get(name: string): Value | undefined {
    return this.own.get(name) ?? (this.own.get(name) === null ? null : this.given.get(name));
  }

  set(name: string, value: Value): void {
    this.own.set(name, value);
  }

  /** A context with further names, for a block that sees its surroundings. */
  derived(names: Iterable<readonly [string, Value]>): Context {
    return new Context(new Map([...this.given, ...this.own, ...names]));
  }
}

/** Text under construction. */
export class Output {
  text = '';

  write(part: string): void {
    this.text += part;
    checkLength(this.text.length);
  }
}

/** Why a body ended: at its end, or at `break` or `continue`. */
export type Ending = 'end' | 'break' | 'continue';

export type Execute = (environment: Environment, runtime: Runtime, output: Output) => Ending;
export type Evaluate = (environment: Environment, runtime: Runtime) => Value;

export interface Runtime {
  context: Context;
  /** Whether results count as HTML, as `autoescape` sets it. */
  autoescape: boolean;
  /** Offset of what is evaluated, for messages. */
  at: number;
  readonly blocks: ReadonlyMap<string, (context: Context) => string>;
}

/** A filter or a test: the value comes first among the arguments. */
export type Filter = (runtime: Runtime, args: readonly Value[], keywords: Keywords) => Value;
