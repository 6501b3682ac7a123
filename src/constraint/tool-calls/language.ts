/**
 * Answers with tool calls as languages: text that may go over into calls, calls alone, one tool's
 * calls, or text without any. From a call's opening mark on, the format and the tools' schemas hold.
 */
import { refused } from '../core/budget.js';
import type { Language } from '../core/derivatives.js';
import { NOTHING } from '../core/expressions.js';
import { KeyList } from '../core/key-list.js';
import { ByteSet } from '../core/symbols.js';
import { type Clause, merge, Type } from '../schema/clause.js';
import { SchemaCompiler } from '../schema/compile.js';
import { SchemaDocument } from '../schema/document.js';
import type { Json } from '../schema/json.js';
import {
  gemmaNotation,
  jsonNotation,
  type Notation,
  type ObjectNotation,
  plainSpelling,
  type Spelling,
  whiteSpace,
  withoutText,
} from '../schema/notation.js';
import { onlyTypes } from '../schema/own-rules.js';
import { Report } from '../schema/report.js';
import type { ConstraintWarning, Tool, ToolChoice, ToolsSpec } from '../spec.js';
import type { Marks } from '../tokens/marks.js';
import type { CallWriter, ElementNotation } from './format.js';
import { toolFormat } from './formats.js';

/** White space before a call that has to come. */
const BEFORE = 2;

export interface ToolLanguageOptions {
  readonly language: Language;
  readonly marks: Marks;
  /** Takes what is not enforced. */
  readonly warnings: ConstraintWarning[];
  /** The language of an answer without calls; undefined: any text, also before calls. */
  readonly answer: number | undefined;
}

/** The language of an answer. @throws {PacelineError} `usage`, with a JSON pointer */
export function toolLanguage(spec: ToolsSpec, options: ToolLanguageOptions): number {
  const { language, marks, answer } = options;
  const format = toolFormat(spec.format);
  const { choice = 'auto', parallel = true } = spec;
  const tools = chosenTools(spec.tools, choice);
  const writer = new Writer(spec, options);
  const kind = tools.length === 0 ? 'free' : choice === 'auto' ? 'auto' : 'required';
  if (format.text) return format.text({ writer, tools, choice: kind, answer });
  const calls = kind === 'free' ? NOTHING : format.calls(writer, tools, parallel);
  if (kind !== 'required' && answer === undefined) {
    return marks.free({ endOk: true, marks: [{ text: format.opening, after: calls }] });
  }
  if (kind === 'free') return answer ?? NOTHING;
  // A reader takes the mark for a call wherever it stands, also in a string.
  const said = language.both([answer ?? NOTHING, withoutText(language, format.opening)]);
  const space = language.set(ByteSet.of([0x0a, 0x0a], [0x20, 0x20]));
  const called = language.concat(
    language.repeat(space, 0, BEFORE),
    marks.mark(format.opening),
    calls,
  );
  return kind === 'required' ? called : language.either([called, said]);
}

function chosenTools(tools: readonly Tool[], choice: ToolChoice): readonly Tool[] {
  if (choice === 'none') return [];
  const names = new Set<string>();
  for (const [index, { name }] of tools.entries()) {
    if (!/^[A-Za-z0-9_.:/-]{1,128}$/.test(name) || names.has(name)) {
      const problem = names.has(name) ? 'is there twice' : 'is no name of a tool';
      throw refused(`Tool ${index}: ${JSON.stringify(name)} ${problem}`, {
        pointer: `/tools/${index}/name`,
      });
    }
    names.add(name);
  }
  if (choice === 'auto') return tools;
  const chosen = choice === 'required' ? tools : tools.filter(({ name }) => name === choice.name);
  if (chosen.length === 0) {
    const wanted =
      choice === 'required'
        ? 'A call is required, but there are no tools'
        : `There is no tool '${choice.name}'`;
    throw refused(wanted, { pointer: '/choice' }, 'Name one of the tools, or send tools.');
  }
  return chosen;
}

class Writer implements CallWriter {
  readonly language: Language;
  readonly marks: Marks;
  readonly space: number;
  private readonly warnings: ConstraintWarning[];
  private readonly json: Notation;
  private readonly plain: Spelling;
  private gemma: Notation | undefined;

  constructor(
    private readonly spec: ToolsSpec,
    { language, marks, warnings }: ToolLanguageOptions,
  ) {
    this.language = language;
    this.marks = marks;
    this.warnings = warnings;
    const kind = spec.whiteSpace ?? 'bounded';
    this.space = whiteSpace(language, kind);
    this.json = jsonNotation(language, kind);
    this.plain = plainSpelling(language);
  }

  argumentsOf(tool: Tool): number {
    return this.compile(tool, this.json, (compiler) => compiler.root(Type.OBJECT));
  }

  gemmaArgumentsOf(tool: Tool): number {
    this.gemma ??= gemmaNotation(this.language, this.marks);
    return this.compile(tool, this.gemma, (compiler) => compiler.root(Type.OBJECT));
  }

  elementsOf(tool: Tool, notation: ObjectNotation, element: ElementNotation): number {
    return this.compile(tool, this.json, (compiler, root) => {
      const { language } = this;
      const clauses = compiler.normalizer
        .all([root])
        .map((clause) => merge(clause, onlyTypes(Type.OBJECT)));
      const parts = clauses.map((clause) =>
        clause === undefined || clause.values !== undefined
          ? NOTHING
          : compiler.object(
              clause,
              notation,
              (schemas) => this.element(compiler, schemas, element),
              this.plain,
            ),
      );
      const result = language.either(parts);
      compiler.drain();
      return result;
    });
  }

  private compile(
    tool: Tool,
    notation: Notation,
    work: (compiler: SchemaCompiler, root: number) => number,
  ): number {
    const place = `/tools/${this.spec.tools.indexOf(tool)}/parameters`;
    const report = new Report(tool.strict ?? false, place);
    const schema = tool.parameters ?? { type: 'object', additionalProperties: false };
    const document = new SchemaDocument(schema as Json, place);
    const compiler = new SchemaCompiler(this.language, notation, document, report);
    const result = work(compiler, document.id(document.root, ''));
    this.warnings.push(...report.warnings);
    return result;
  }

  /** The value of one argument: a text as it is, anything else as JSON; then what ends it. */
  private element(
    compiler: SchemaCompiler,
    schemas: readonly number[],
    element: ElementNotation,
  ): number {
    const { language, marks } = this;
    const texts: number[] = [];
    const values: number[] = [];
    for (const clause of compiler.normalizer.all(schemas)) {
      const text = this.elementText(compiler, clause, element.end);
      if (text !== NOTHING) texts.push(text);
      const rest = merge(clause, onlyTypes(Type.ALL & ~Type.STRING));
      if (!rest) continue;
      const others = rest.values?.filter((value) => typeof value !== 'string');
      if (others?.length === 0) continue;
      values.push(...compiler.clause(others ? { ...rest, values: others } : rest, this.json));
    }
    return language.either([
      language.concat(element.beforeText, language.either(texts)),
      language.concat(element.beforeJson, language.either(values), marks.mark(element.end)),
    ]);
  }

  private elementText(compiler: SchemaCompiler, clause: Clause, end: string): number {
    const { language, marks, plain } = this;
    if ((clause.types & Type.STRING) === 0) return NOTHING;
    let content: number;
    if (clause.values) {
      const texts = compiler.fitting(clause).filter((value) => typeof value === 'string');
      if (texts.length === 0) return NOTHING;
      content = language.oneOf(new KeyList(texts.map((text) => plain.content(text))));
    } else {
      content = compiler.content(clause, plain);
      if (content === language.repeat(plain.anyCharacter, 0)) return marks.textBefore(end);
    }
    return language.concat(language.both([content, withoutText(language, end)]), marks.mark(end));
  }
}
