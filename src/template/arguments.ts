/**
 * Arguments by position and by name, as Python binds them to a signature. Signatures are written as
 * in Python: `'width=80, /'`, `'case_sensitive=False, attribute=None'`.
 */
import { typeFault } from './faults.js';
import type { Keywords, Value } from './values.js';

interface Parameter {
  readonly name: string;
  readonly positionalOnly: boolean;
  readonly preset: Value | undefined;
}

/** A function of the bound values, one a parameter. */
export type Bound<Result> = (...values: Value[]) => Result;

export interface Signature {
  readonly name: string;
  readonly parameters: readonly Parameter[];
}

/** Reads a signature. */
export function signature(name: string, text: string): Signature {
  const words = text === '' ? [] : text.split(', ');
  const slash = words.indexOf('/');
  const parameters = words
    .filter((word) => word !== '/')
    .map((word, index) => {
      const [label = '', preset] = word.split('=');
      return {
        name: label,
        positionalOnly: index < slash,
        preset: preset === undefined ? undefined : literal(preset),
      };
    });
  return { name, parameters };
}

function literal(text: string): Value {
  if (text === 'None') return null;
  if (text === 'True' || text === 'False') return text === 'True';
  if (text.startsWith("'")) return text.slice(1, -1);
  return text.includes('.') ? Number(text) : BigInt(text);
}

/** The parameters' values. @throws {Fault} `TypeError` for too many, too few or unknown ones */
export function bind(target: Signature, args: readonly Value[], keywords: Keywords): Value[] {
  const { name, parameters } = target;
  if (args.length > parameters.length) {
    throw typeFault(
      `${name}() takes at most ${parameters.length} arguments (${args.length} given)`,
    );
  }
  const values: (Value | undefined)[] = [...args];
  for (const [key, value] of keywords) {
    const index = parameters.findIndex((item) => item.name === key && !item.positionalOnly);
    if (index < 0) throw typeFault(`${name}() got an unexpected keyword argument '${key}'`);
    if (values[index] !== undefined) {
      throw typeFault(`${name}() got multiple values for argument '${key}'`);
    }
    values[index] = value;
  }
  return parameters.map((parameter, index) => {
    const value = values[index] ?? (values[index] === null ? null : parameter.preset);
    if (value === undefined) {
      throw typeFault(`${name}() missing a required argument: '${parameter.name}'`);
    }
    return value;
  });
}
