/**
 * What every dialect's request becomes: one description of a text that is wanted. It is plain data,
 * so that it can cross to the engine's process. It knows nothing of HTTP, of a dialect, or of how
 * prompts are written.
 */

import type { ChatMessage, GenerateOptions, Ranking } from '../engine/types.js';
import { refuseField } from './refusals.js';

export type JsonSchema = Readonly<Record<string, unknown>>;

export interface ToolDefinition {
  readonly name: string;
  readonly description?: string;
  /** JSON schema of the arguments, an object. */
  readonly parameters: JsonSchema;
  /** Refuse a schema that can't be enforced as a whole, instead of enforcing a part of it. */
  readonly strict?: boolean;
}

export type ToolChoice =
  | { readonly type: 'none' | 'auto' | 'required' }
  | { readonly type: 'named'; readonly name: string };

export interface ToolUse {
  readonly definitions: readonly ToolDefinition[];
  readonly choice: ToolChoice;
  /** Whether more than one call may be made at once. */
  readonly parallel: boolean;
}

/** The language that the text must stay in; undefined: any text. */
export type OutputFormat =
  | { readonly type: 'json' }
  | { readonly type: 'json-schema'; readonly schema: JsonSchema; readonly strict?: boolean }
  | { readonly type: 'regex'; readonly pattern: string }
  | { readonly type: 'grammar'; readonly grammar: string }
  | { readonly type: 'choice'; readonly choices: readonly string[] };

export type PromptInput =
  | {
      readonly type: 'chat';
      readonly messages: readonly ChatMessage[];
      /** For templates that know it: whether the model may think first. */
      readonly thinking?: boolean;
      /** Further variables of the chat template. */
      readonly variables?: Readonly<Record<string, unknown>>;
    }
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'tokens'; readonly tokens: readonly number[] };

/** The engine's settings that are plain data. */
export type TextSettings = Omit<
  GenerateOptions,
  'signal' | 'onProgress' | 'stop' | 'constraint'
> & {
  readonly stop?: readonly string[];
};

export interface TextRequest {
  /** A name of the catalog. */
  readonly model: string;
  readonly input: PromptInput;
  readonly settings: TextSettings;
  /** How many texts, each with a seed of its own; default 1. */
  readonly choices?: number;
  readonly format?: OutputFormat;
  readonly tools?: ToolUse;
  /** Tokens of thought before the answer has to begin; undefined: as many as the model likes. */
  readonly reasoningBudget?: number;
  /** Whether events tell where their tokens came from. */
  readonly details?: boolean;
  /** Whose requests these are, as agents say it: prefers the slot that served them before. */
  readonly affinity?: string;
}

/** Texts of which vectors are wanted. */
export interface EmbedRequest {
  readonly model: string;
  readonly texts: readonly (string | readonly number[])[];
  readonly dimensions?: number;
}

export interface EmbedResult {
  readonly vectors: readonly Float32Array[];
  readonly tokens: number;
  readonly milliseconds: number;
}

/** Documents that a query is to rank. */
export interface RankRequest {
  readonly model: string;
  readonly query: string;
  readonly documents: readonly string[];
}

export interface RankResult extends Ranking {
  readonly milliseconds: number;
}

/** How a request is run whose texts are only read. */
export interface ReadingOptions {
  readonly signal: AbortSignal;
  /** Whose it is, so that clients take turns. */
  readonly client?: string;
}

/** How many slots a request takes. */
export function slotsOf(request: TextRequest): number {
  return request.choices ?? 1;
}

/** @throws {PacelineError} `usage` for a choice that names no tool, or two tools of one name. */
export function toolUse(
  definitions: ToolUse['definitions'],
  choice: ToolChoice | undefined,
  parallel: boolean,
): ToolUse | undefined {
  const names = definitions.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw refuseField('tools', `Two tools are called ${twice}`);
  if (choice?.type === 'named' && !names.includes(choice.name)) {
    throw refuseField('tool_choice', `There is no tool ${JSON.stringify(choice.name)}`);
  }
  if (names.length === 0) {
    if (choice?.type !== 'required') return undefined;
    throw refuseField('tool_choice', 'A call is required, but there are no tools');
  }
  return { definitions, choice: choice ?? { type: 'auto' }, parallel };
}
