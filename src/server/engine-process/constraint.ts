/**
 * From what a request demands of its text to the constraint that the engine enforces. The one place
 * that knows what can be enforced: what can't is refused by name, never ignored. Compiled constraints
 * are kept, since an agent sends the same tools with every request.
 */
import { PacelineError } from '../../base/errors.js';
import { type ConstraintSpec, compileConstraint } from '../../constraint/compile.js';
import type { Constraint } from '../../constraint/constraint.js';
import { type VocabularyIndex, vocabularyIndex } from '../../constraint/tokens/vocabulary-index.js';
import type { ToolFormatName } from '../../constraint/tool-calls/format.js';
import { detectToolFormat } from '../../constraint/tool-calls/formats.js';
import type { Model } from '../../engine/model.js';
import { refuseField } from '../internal/failure.js';
import type { TextRequest, ToolUse } from '../internal/request.js';
import type { ReasoningMarks } from './reasoning.js';

export interface Enforcement {
  /** The constraint of a whole text, or of what comes after a thought that was cut short. */
  start(afterThought: boolean): Constraint;
  /** How calls are written, where there may be some. */
  readonly toolFormat: ToolFormatName | undefined;
}

/** Where a text may think before it keeps to its language. */
export interface ThoughtSection {
  readonly marks: ReasoningMarks;
  /** The prompt has begun the thought. */
  readonly opened: boolean;
}

/** Tools of a request that the model may call. */
export function activeTools(request: TextRequest): ToolUse | undefined {
  const { tools } = request;
  const active = tools !== undefined && tools.choice.type !== 'none';
  return active && tools.definitions.length > 0 ? tools : undefined;
}

/** How a model writes calls: as its template says, or as a template without tools is taught. */
export function toolFormatOf(model: Model): ToolFormatName {
  return detectToolFormat(model.runtime.chatTemplate.source(true)) ?? 'hermes';
}

/** Constraints that one model keeps. */
const mostKept = 64;

type Compiled = ReturnType<typeof compileConstraint>;
const kept = new WeakMap<Model, Map<string, Compiled>>();

/**
 * What holds the text of a request to what it demands; undefined: nothing does.
 * @throws {PacelineError} `usage` naming what can't be enforced; `aborted`.
 */
export async function enforcement(
  model: Model,
  request: TextRequest,
  thought: ThoughtSection | undefined,
): Promise<Enforcement | undefined> {
  const tools = activeTools(request);
  const format = tools === undefined ? undefined : toolFormatOf(model);
  const spec = specOf(request, tools, format);
  if (spec === undefined) return undefined;
  const vocabulary = await vocabularyIndex(model.tokenizer);
  const param = tools === undefined ? 'response_format' : 'tools';
  // Harmony's channels are a part of its calls.
  const section = format === 'harmony' ? undefined : thought;
  const whole = compiled(model, vocabulary, spec, section, param);
  const answer =
    section === undefined ? whole : compiled(model, vocabulary, spec, undefined, param);
  return {
    start: (afterThought) => (afterThought ? answer : whole).start(),
    toolFormat: format,
  };
}

function specOf(
  { format }: TextRequest,
  tools: ToolUse | undefined,
  toolFormat: ToolFormatName | undefined,
): ConstraintSpec | undefined {
  if (tools !== undefined && toolFormat !== undefined) {
    if (format !== undefined) {
      throw refuseField(
        'response_format',
        "A text can't be held to a format while tools may be called",
        'Leave out one of them, or set the tool choice to none.',
      );
    }
    const { choice } = tools;
    return {
      type: 'tools',
      format: toolFormat,
      tools: tools.definitions.map(({ name, parameters, strict }) => ({
        name,
        parameters: parameters as never,
        ...(strict === undefined ? {} : { strict }),
      })),
      choice: choice.type === 'named' ? { name: choice.name } : choice.type,
      parallel: tools.parallel,
    };
  }
  return format;
}

function compiled(
  model: Model,
  vocabulary: VocabularyIndex,
  spec: ConstraintSpec,
  thought: ThoughtSection | undefined,
  param: string,
): Compiled {
  const ofModel = kept.get(model) ?? new Map<string, Compiled>();
  kept.set(model, ofModel);
  const key = JSON.stringify([spec, thought]);
  const known = ofModel.get(key);
  if (known !== undefined) {
    ofModel.delete(key);
    ofModel.set(key, known);
    return known;
  }
  const made = compileNamed(vocabulary, spec, thought, param);
  ofModel.set(key, made);
  if (ofModel.size > mostKept) ofModel.delete(ofModel.keys().next().value ?? '');
  return made;
}

/** Errors of the compiler point into the schema; the field of the request comes before. */
function compileNamed(
  vocabulary: VocabularyIndex,
  spec: ConstraintSpec,
  thought: ThoughtSection | undefined,
  param: string,
): Compiled {
  try {
    if (thought === undefined) return compileConstraint(spec, vocabulary);
    const { open, close } = thought.marks;
    const reasoning = thought.opened ? { end: close } : { begin: open, end: close };
    return compileConstraint(spec, vocabulary, { reasoning });
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
