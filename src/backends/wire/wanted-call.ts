/**
 * Calls of tools, and choices of texts, from backends that can be held to a JSON schema and to nothing
 * else: what they are asked for instead. Knows no backend.
 */
import { refuseField } from '../../chat/refusals.js';
import type { JsonSchema, OutputFormat, ToolUse } from '../../chat/request.js';

/** The schema of one call, or, where the model may do without one, of a call or an answer. */
export function callSchema(tools: ToolUse, answer?: OutputFormat): JsonSchema {
  const { choice, definitions } = tools;
  const $defs: Record<string, unknown> = {};
  const named = definitions.filter(({ name }) => choice.type !== 'named' || name === choice.name);
  const variants: JsonSchema[] = named.map(({ name, parameters }, index) =>
    exactObject({
      name: { const: name },
      arguments: rooted(parameters, { prefix: `tool${index}_`, param: 'tools', $defs }),
    }),
  );
  if (answer !== undefined) {
    const schema = answer.type === 'json-schema' ? answer.schema : { type: 'object' };
    const options = { prefix: 'answer_', param: 'response_format', $defs };
    variants.push(exactObject({ answer: rooted(schema, options) }));
  }
  const shared = Object.keys($defs).length > 0 ? { $defs } : {};
  const [only] = variants;
  return variants.length === 1 && only !== undefined
    ? { ...only, ...shared }
    : { anyOf: variants, ...shared };
}

function exactObject(properties: Readonly<Record<string, unknown>>): JsonSchema {
  return {
    type: 'object',
    properties,
    required: Object.keys(properties),
    additionalProperties: false,
  };
}

interface RootedOptions {
  readonly prefix: string;
  readonly param: string;
  /** Takes the definitions, under names that no other schema has. */
  readonly $defs: Record<string, unknown>;
}

/** A schema as a part of another: its definitions move to the root, where references look for them. */
function rooted(schema: JsonSchema, options: RootedOptions): unknown {
  const { $defs: own, definitions, $schema: _, $id: __, ...rest } = schema;
  for (const group of [own, definitions]) {
    if (typeof group !== 'object' || group === null) continue;
    for (const [name, definition] of Object.entries(group)) {
      options.$defs[options.prefix + name] = renamed(definition, options);
    }
  }
  return renamed(rest, options);
}

function renamed(value: unknown, options: RootedOptions): unknown {
  if (Array.isArray(value)) return value.map((entry) => renamed(entry, options));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, entry]) => [
      key,
      key === '$ref' && typeof entry === 'string'
        ? renamedReference(entry, options)
        : renamed(entry, options),
    ]),
  );
}

function renamedReference(reference: string, { prefix, param }: RootedOptions): string {
  const name = /^#\/(?:\$defs|definitions)\/([^/]+)$/.exec(reference)?.[1];
  if (name !== undefined) return `#/$defs/${prefix}${name}`;
  throw refuseField(
    param,
    `${param}: the backend can't be held to the reference ${JSON.stringify(reference)}`,
    'Only references to definitions (#/$defs/name) can be sent to it.',
  );
}

/** What a JSON schema makes of a choice of texts: one string in quotes. */
export function choiceSchema(choices: readonly string[]): JsonSchema {
  return { type: 'string', enum: choices };
}

/** A choice in GBNF. */
export function choiceGrammar(choices: readonly string[]): string {
  return `root ::= ${choices.map((text) => JSON.stringify(text)).join(' | ')}`;
}

/** A choice as a regular expression. */
export function choicePattern(choices: readonly string[]): string {
  const escaped = choices.map((text) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
  return `(${escaped.join('|')})`;
}
