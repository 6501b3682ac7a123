/**
 * Whether a whole text is what it was asked to be: backends promise that by their own means, and this
 * server answers for it. The same languages that hold texts of our own engine are run over the bytes of
 * theirs.
 */
import { setImmediate } from 'node:timers/promises';
import { PacelineError } from '../../base/errors.js';
import type { OutputFormat, ToolDefinition } from '../../chat/request.js';
import { type CompiledConstraint, compileConstraint } from '../../constraint/compile.js';
import type { TextSpec } from '../../constraint/spec.js';
import { buildIndex, type VocabularyIndex } from '../../constraint/tokens/vocabulary-index.js';

const endToken = 256;
const mostCompiled = 64;
/** Longer ones are not believed. */
const mostBytes = 8 * 2 ** 20;
/** Bytes between two turns of the event loop. */
const slice = 4096;

let bytes: Promise<VocabularyIndex> | undefined;
const compiled = new Map<string, CompiledConstraint>();

/** A vocabulary of one token a byte. */
function byteIndex(): Promise<VocabularyIndex> {
  bytes ??= buildIndex({
    vocabSize: endToken + 1,
    isControl: (id) => id === endToken,
    isEndOfGeneration: (id) => id === endToken,
    tokenText: (id) => (id === endToken ? '<end>' : String.fromCharCode(id)),
    writeTokenBytes: (id, into, at) => {
      if (at < into.length) into[at] = id;
      return 1;
    },
  });
  return bytes;
}

/** @throws {PacelineError} `usage` for a language that can't be checked, `param` being its field */
async function language(spec: TextSpec, param: string): Promise<CompiledConstraint> {
  const key = JSON.stringify(spec);
  const known = compiled.get(key);
  if (known !== undefined) return known;
  const index = await byteIndex();
  try {
    const fresh = compileConstraint(spec, index, { characters: key.length });
    if (compiled.size >= mostCompiled) compiled.delete(compiled.keys().next().value ?? '');
    compiled.set(key, fresh);
    return fresh;
  } catch (error) {
    if (!PacelineError.is(error) || error.code !== 'usage') throw error;
    const { message, hint, details } = error;
    throw new PacelineError('usage', `${param}: ${message}`, {
      ...(hint === undefined ? {} : { hint }),
      details: { ...details, param },
      cause: error,
    });
  }
}

/**
 * Compiles a format, so that what can't be checked is refused before anything is said; gives what will
 * not be checked, in sentences.
 * @throws {PacelineError} `usage`, as our own engine does
 */
export async function checkableFormat(format: OutputFormat): Promise<readonly string[]> {
  const { warnings } = await language(specOf(format), 'response_format');
  return warnings.map(({ message }) => message);
}

/**
 * Refuses strict tools whose arguments can't be checked as a whole; gives what of the others will not be
 * checked, in sentences.
 * @throws {PacelineError} `usage`
 */
export async function checkableTools(tools: readonly ToolDefinition[]): Promise<readonly string[]> {
  const found: string[] = [];
  for (const { name, parameters, strict = false } of tools) {
    try {
      const { warnings } = await language(schemaSpec(parameters, strict), `tools: ${name}`);
      found.push(...warnings.map(({ message }) => `${name}: ${message}`));
    } catch (error) {
      if (strict || !PacelineError.is(error) || error.code !== 'usage') throw error;
      found.push(error.message);
    }
  }
  return found;
}

/** Whether a whole text keeps to a format. */
export function keepsFormat(text: string, format: OutputFormat): Promise<boolean> {
  return keeps(text, specOf(format), 'response_format');
}

/** Whether the arguments of a call are what its tool declares. */
export function keepsParameters(text: string, tool: ToolDefinition): Promise<boolean> {
  return keeps(text, schemaSpec(tool.parameters, tool.strict === true), 'tools');
}

function specOf(format: OutputFormat): TextSpec {
  if (format.type !== 'json-schema') return format;
  return schemaSpec(format.schema, format.strict ?? true);
}

function schemaSpec(schema: unknown, strict: boolean): TextSpec {
  return { type: 'json-schema', schema, strict };
}

async function keeps(text: string, spec: TextSpec, param: string): Promise<boolean> {
  const isJson = spec.type === 'json' || spec.type === 'json-schema';
  const data = Buffer.from(isJson ? withoutSpace(text) : text);
  if (data.length > mostBytes) return false;
  const state = (await language(spec, param)).start();
  for (let at = 0; at < data.length; at++) {
    if (at % slice === slice - 1) await setImmediate();
    const byte = data[at] as number;
    if (!state.allows(byte)) return false;
    state.accept(byte);
  }
  return state.canEnd;
}

/** JSON without the white space between its tokens: backends may lay it out as they like. */
function withoutSpace(json: string): string {
  return json.replace(/("(?:[^"\\]|\\.)*")|\s+/g, (_, string: string | undefined) => string ?? '');
}
