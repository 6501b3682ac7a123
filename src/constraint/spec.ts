/** What a text has to be, as callers describe it. Types, and the names of tool-call formats. */

/** White space between the tokens of JSON: one short run at most, or none. */
export type WhiteSpace = 'bounded' | 'none';

interface JsonLayout {
  /** Default `bounded`. */
  readonly whiteSpace?: WhiteSpace;
  /** Members of objects come in the order of the schema. Default false: in any order. */
  readonly schemaOrder?: boolean;
}

/** What a text without calls of tools has to be. */
export type TextSpec =
  | ({
      readonly type: 'json-schema';
      readonly schema: unknown;
      /** Refuse keywords that cannot be enforced; else they are left out, with a warning. Default true. */
      readonly strict?: boolean;
    } & JsonLayout)
  /** Any JSON object. */
  | ({ readonly type: 'json' } & JsonLayout)
  /** The whole text matches a regular expression of ECMA-262. */
  | { readonly type: 'regex'; readonly pattern: string }
  /** GBNF, or EBNF with `::=`. */
  | { readonly type: 'grammar'; readonly grammar: string }
  /** One of several texts. */
  | { readonly type: 'choice'; readonly choices: readonly string[] };

/** What a text has to be. */
export type ConstraintSpec = TextSpec | ({ readonly type: 'tools' } & ToolsSpec);

/** How models write tool calls. */
export const toolFormatNames = [
  'hermes',
  'qwen-xml',
  'llama3',
  'mistral',
  'mistral-list',
  'gemma4',
  'harmony',
  'deepseek-v3',
  'deepseek-v3.1',
  'deepseek-v4',
] as const;

export type ToolFormatName = (typeof toolFormatNames)[number];

/** A tool as a request describes it. */
export interface Tool {
  readonly name: string;
  /** JSON schema of the arguments; absent: no arguments. */
  readonly parameters?: unknown;
  /** Refuse keywords that cannot be enforced. Default false: they are left out, with a warning. */
  readonly strict?: boolean;
}

export type ToolChoice = 'auto' | 'none' | 'required' | { readonly name: string };

export interface ToolsSpec {
  readonly format: ToolFormatName;
  readonly tools: readonly Tool[];
  /** Default `auto`: free text, in which a call may begin. */
  readonly choice?: ToolChoice;
  /** Whether there may be several calls in one answer. Default true, where the format has them. */
  readonly parallel?: boolean;
  /** What an answer that calls no tool has to be. Default: any text, also before calls. */
  readonly answer?: TextSpec;
  /** White space in JSON. Default `bounded`. */
  readonly whiteSpace?: WhiteSpace;
}

/** A section before the constrained text, which ends with a marker: reasoning. */
export interface ReasoningSection {
  /** What ends it, as `</think>`. */
  readonly end: string;
  /** What begins it; the text may then begin with it, or do without. Absent: the prompt has begun it. */
  readonly begin?: string;
}

/** A keyword that is not enforced. */
export interface ConstraintWarning {
  /** JSON pointer to the keyword. */
  readonly pointer: string;
  readonly keyword: string;
  readonly message: string;
}
