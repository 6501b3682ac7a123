/**
 * Descriptions of constraints as callers without types may pass them: every field is checked before
 * anything is compiled, and what comes out is plain JSON of its own that nobody changes any more.
 * Knows nothing of what the fields mean; schemas, patterns and grammars are checked by who reads them.
 */
import { z } from 'zod';
import { PacelineError } from '../base/errors.js';
import { checkOptions, field, wrongOption } from '../base/options.js';
import { type ConstraintSpec, toolFormatNames } from './spec.js';

const needed = <T extends z.ZodType>(schema: T, say: string): T => schema.describe(say);
const oneOf = <const T extends readonly [string, ...string[]]>(values: T) =>
  field(z.enum(values), `one of ${values.join(', ')}`);
const bool = field(z.boolean(), 'true or false');
const whiteSpace = oneOf(['bounded', 'none']);
const layout = { whiteSpace, schemaOrder: bool };

const answerKinds = ['json-schema', 'json', 'regex', 'grammar', 'choice'] as const;

const tool = z.strictObject({
  name: z.string(),
  parameters: z.unknown().optional(),
  strict: z.boolean().optional(),
});

/** What each type of constraint has besides its `type`. */
const kinds = {
  'json-schema': z.strictObject({
    schema: needed(z.unknown(), 'a JSON schema'),
    strict: bool,
    ...layout,
  }),
  json: z.strictObject(layout),
  regex: z.strictObject({ pattern: needed(z.string(), 'a string') }),
  grammar: z.strictObject({ grammar: needed(z.string(), 'a string') }),
  choice: z.strictObject({ choices: needed(z.array(z.string()), 'an array of strings') }),
  tools: z.strictObject({
    format: needed(z.enum(toolFormatNames), `one of ${toolFormatNames.join(', ')}`),
    tools: needed(
      z.array(tool),
      'an array of objects with a `name`, and perhaps `parameters` and `strict`',
    ),
    choice: field(
      z.union([z.enum(['auto', 'none', 'required']), z.strictObject({ name: z.string() })]),
      'auto, none, required or { name }',
    ),
    parallel: bool,
    answer: z.looseObject({ type: z.enum(answerKinds) }).optional(),
    whiteSpace,
  }),
} satisfies Record<ConstraintSpec['type'], z.ZodObject>;

/** The types that a constraint can have. */
export const constraintTypes = Object.keys(kinds) as readonly ConstraintSpec['type'][];

/**
 * A copy of the description, which is plain JSON, and its text, which is the same for equal ones.
 * @throws {PacelineError} `usage` for wrong types, unknown fields, and what is no JSON.
 */
export function checkSpec(given: unknown): {
  readonly spec: ConstraintSpec;
  readonly text: string;
} {
  const type = typeof given === 'object' && given !== null && 'type' in given ? given.type : '';
  const known = constraintTypes.find((name) => name === type);
  if (known === undefined) {
    const say = `an object with one of the types ${constraintTypes.join(', ')}`;
    throw wrongOption('constraint', say, given);
  }
  const { type: _, ...fields } = given as ConstraintSpec;
  checkOptions(kinds[known], fields, `The constraint ${known}`);
  if ('answer' in fields && fields.answer !== undefined) checkSpec(fields.answer);
  const text = asJson({ type: known, ...fields });
  return { spec: JSON.parse(text) as ConstraintSpec, text };
}

function asJson(spec: unknown): string {
  try {
    return JSON.stringify(spec);
  } catch (cause) {
    const tooDeep = cause instanceof RangeError;
    const why = tooDeep ? 'it nests too deep' : String((cause as Error).message).split('\n')[0];
    throw new PacelineError('usage', `The constraint is no JSON: ${why}`, {
      hint: 'Give plain objects, arrays, strings, numbers and booleans that do not contain themselves.',
      details: { field: 'constraint' },
      cause,
    });
  }
}
