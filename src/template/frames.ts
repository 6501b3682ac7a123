/** A frame while a template is compiled, and how variables are reached from it at run time. */

import type { Environment, Evaluate, Runtime } from './runtime.js';
import { FunctionScope, Symbols, type Variable } from './scopes.js';
import { Undefined, type Value } from './values.js';

export interface Frame {
  readonly symbols: Symbols;
  /** The template itself, where `set` and macros become names of the context, too. */
  readonly isTop: boolean;
  /** Within a condition an unknown filter is only an error once it is called. */
  readonly isSoft: boolean;
  /** Within a loop of the same function. */
  readonly inLoop: boolean;
  /** What is known about escaping; `unknown`: the running template decides. */
  readonly autoescape: boolean | 'unknown';
  /** In a constant expression, which Jinja computes before rendering, more leniently in one case. */
  readonly isConstant: boolean;
}

export function topFrame(): Frame {
  return {
    symbols: new Symbols(new FunctionScope(undefined)),
    isTop: true,
    isSoft: false,
    inLoop: false,
    autoescape: false,
    isConstant: false,
  };
}

/** A frame within another; of a function of its own for macros and the like. */
export function innerFrame(outer: Frame, ownFunction = false): Frame {
  const scope = ownFunction ? new FunctionScope(outer.symbols.scope) : outer.symbols.scope;
  return {
    ...outer,
    symbols: new Symbols(scope, outer.symbols),
    isTop: false,
    isSoft: false,
    inLoop: ownFunction ? false : outer.inLoop,
  };
}

export const softFrame = (frame: Frame): Frame => ({ ...frame, isSoft: true });

/** How many functions lie between a variable and the code that uses it. */
function distance(from: FunctionScope, variable: Variable): number {
  let hops = 0;
  for (let scope = from; scope !== variable.scope; hops++) {
    if (!scope.parent) throw new Error(`The variable ${variable.name} is out of reach`);
    scope = scope.parent;
  }
  return hops;
}

/** The value of a variable, or undefined if it is not set. */
export function reader(
  frame: Frame,
  variable: Variable,
): (environment: Environment) => Value | undefined {
  const { index } = variable;
  const hops = distance(frame.symbols.scope, variable);
  if (hops === 0) return (environment) => environment.slots[index];
  if (hops === 1) return (environment) => environment.parent?.slots[index];
  return (environment) => {
    let target: Environment | undefined = environment;
    for (let hop = 0; hop < hops; hop++) target = target?.parent;
    return target?.slots[index];
  };
}

/** Sets a variable of the frame's own function. */
export function writer(variable: Variable): (environment: Environment, value: Value) => void {
  const { index } = variable;
  return (environment, value) => {
    environment.slots[index] = value;
  };
}

/** The value of a name, which is undefined in the template's sense where it is not set. */
export function nameReader(frame: Frame, name: string): Evaluate {
  const read = reader(frame, frame.symbols.resolve(name));
  return (environment) => read(environment) ?? (read(environment) === null ? null : unset(name));
}

const unset = (name: string) => new Undefined(`'${name}' is undefined`);

/** Loads what a frame begins with; made when the frame's symbols are complete. */
export function frameEntry(frame: Frame): (environment: Environment, runtime: Runtime) => void {
  const entries = frame.symbols.entries().map(([variable, load]) => {
    const { index, name } = variable;
    const read = load.from === 'outer' ? reader(frame, load.variable) : undefined;
    return { index, name, read, fromContext: load.from === 'context' };
  });
  if (entries.length === 0) return () => {};
  return (environment, runtime) => {
    for (const { index, name, read, fromContext } of entries) {
      environment.slots[index] = read
        ? read(environment)
        : fromContext
          ? runtime.context.get(name)
          : undefined;
    }
  };
}

/** A fresh environment for a call. */
export function newEnvironment(scope: FunctionScope, parent: Environment | undefined): Environment {
  return { slots: new Array<Value | undefined>(scope.size), parent };
}
