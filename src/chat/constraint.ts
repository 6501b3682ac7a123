/**
 * From what a request demands of its text to the constraint that the engine enforces. The one place
 * that knows what can be enforced: what can't is refused by name, never ignored.
 */
import { PacelineError } from '../base/errors.js';
import type { ConstraintSpec, ReasoningSection, ToolFormatName } from '../constraint/spec.js';
import { detectToolFormat } from '../constraint/tool-calls/formats.js';
import type { Model } from '../engine/model.js';
import type { ReasoningMarks } from './reasoning.js';
import type { TextRequest, ToolUse } from './request.js';

export interface Enforcement {
  readonly constraint: ConstraintSpec;
  /** A thought that may come before; not where one was cut short. */
  readonly reasoning: ReasoningSection | undefined;
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

/**
 * What holds the text of a request to what it demands; undefined: nothing does.
 * @throws {PacelineError} `usage` naming what can't be enforced; `aborted`.
 */
export async function enforcement(
  model: Model,
  request: TextRequest,
  thought: ThoughtSection | undefined,
  signal: AbortSignal,
): Promise<Enforcement | undefined> {
  const tools = activeTools(request);
  const toolFormat = tools === undefined ? undefined : toolFormatOf(model);
  const constraint = specOf(request, tools, toolFormat);
  if (constraint === undefined) return undefined;
  // Harmony's channels are a part of its calls.
  const reasoning = toolFormat === 'harmony' ? undefined : reasoningOf(thought);
  try {
    // Refused here, before anything was said; the engine then finds it compiled.
    await model.runtime.constraints.compile(constraint, { reasoning, signal });
  } catch (error) {
    throw named(error, { tools: tools !== undefined, format: request.format !== undefined });
  }
  return { constraint, reasoning, toolFormat };
}

function reasoningOf(thought: ThoughtSection | undefined): ReasoningSection | undefined {
  if (thought === undefined) return undefined;
  const { open, close } = thought.marks;
  return thought.opened ? { end: close } : { begin: open, end: close };
}

function specOf(
  { format }: TextRequest,
  tools: ToolUse | undefined,
  toolFormat: ToolFormatName | undefined,
): ConstraintSpec | undefined {
  if (tools !== undefined && toolFormat !== undefined) {
    const { choice } = tools;
    return {
      type: 'tools',
      format: toolFormat,
      tools: tools.definitions.map(({ name, parameters, strict }) => ({
        name,
        parameters,
        ...(strict === undefined ? {} : { strict }),
      })),
      choice: choice.type === 'named' ? { name: choice.name } : choice.type,
      parallel: tools.parallel,
      ...(format === undefined ? {} : { answer: format }),
    };
  }
  return format;
}

/** Errors of the compiler point into the schema; the field of the request comes before. */
function named(
  error: unknown,
  has: { readonly tools: boolean; readonly format: boolean },
): unknown {
  if (!PacelineError.is(error) || error.code !== 'usage') return error;
  const { message, hint, details } = error;
  const ofTools = has.tools && (!has.format || /^\/(tools|choice)\b/.test(String(details.pointer)));
  const param = ofTools ? 'tools' : 'response_format';
  return new PacelineError('usage', `${param}: ${message}`, {
    ...(hint === undefined ? {} : { hint }),
    details: { ...details, param },
    cause: error,
  });
}
