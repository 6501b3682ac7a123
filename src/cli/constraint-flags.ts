/** The flags that say what a text has to be, and the constraint that they mean. */
import { Option } from 'commander';
import { PacelineError } from '../base/errors.js';
import type { ConstraintSpec } from '../constraint/spec.js';
import { readTextFile } from './input.js';

/** Values of the flags of `constraintFlags`. */
export interface ConstraintFlags {
  readonly jsonSchema?: string;
  readonly jsonObject?: boolean;
  readonly regex?: string;
  readonly grammar?: string;
}

/** The flags; at most one of them may be given. */
export function constraintFlags(): Option[] {
  const flags = [
    new Option('--json-schema <schema>', 'JSON that a schema allows: the schema, or its file'),
    new Option('--json-object', 'any JSON object'),
    new Option('--regex <pattern>', 'a text that a regular expression matches as a whole'),
    new Option('--grammar <file>', 'a text of a GBNF or EBNF grammar'),
  ];
  const names = flags.map((flag) => flag.attributeName());
  for (const flag of flags) flag.conflicts(names.filter((name) => name !== flag.attributeName()));
  return flags;
}

/** @throws {PacelineError} `usage` for what is no JSON or not there, `io` for what cannot be read. */
export function constraintOf(flags: ConstraintFlags): ConstraintSpec | undefined {
  if (flags.jsonSchema !== undefined) {
    return { type: 'json-schema', schema: parseSchema(flags.jsonSchema) };
  }
  if (flags.jsonObject === true) return { type: 'json' };
  if (flags.regex !== undefined) return { type: 'regex', pattern: flags.regex };
  if (flags.grammar !== undefined)
    return { type: 'grammar', grammar: readTextFile(flags.grammar, 'a grammar') };
  return undefined;
}

function parseSchema(given: string): unknown {
  const inline = /^\s*[{[]|^\s*(true|false)\s*$/.test(given);
  const text = inline ? given : readTextFile(given, 'a JSON schema');
  try {
    return JSON.parse(text);
  } catch (error) {
    const place = inline ? 'The schema' : `The schema in ${given}`;
    throw new PacelineError('usage', `${place} is no JSON: ${(error as Error).message}`, {
      hint: 'Give a JSON schema, or the path of a file with one.',
      cause: error,
    });
  }
}
