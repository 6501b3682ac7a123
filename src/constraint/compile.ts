/**
 * From a description of what a text has to be to a constraint for a vocabulary: the entrance of this
 * folder. Everything that a stranger may send is checked here or below, within budgets.
 */
import {
  compilingSteps,
  defaultLimits,
  type Limits,
  refused,
  tooComplex,
  withWork,
} from './core/budget.js';
import { Language } from './core/derivatives.js';
import { NOTHING } from './core/expressions.js';
import { KeyList } from './core/key-list.js';
import { ByteSet } from './core/symbols.js';
import { compileGrammar } from './grammar/compile.js';
import { compilePattern } from './regex/compile.js';
import { Type } from './schema/clause.js';
import { SchemaCompiler } from './schema/compile.js';
import { SchemaDocument } from './schema/document.js';
import type { Json } from './schema/json.js';
import { jsonNotation, plainSpelling } from './schema/notation.js';
import { Report } from './schema/report.js';
import type { ConstraintSpec, ConstraintWarning, ReasoningSection } from './spec.js';
import { Marks } from './tokens/marks.js';
import { MaskMaker } from './tokens/masks.js';
import { ConstraintMachine, TokenConstraint } from './tokens/token-constraint.js';
import type { VocabularyIndex } from './tokens/vocabulary-index.js';
import { toolLanguage } from './tool-calls/language.js';

export interface ConstraintOptions {
  /** Length of the description as JSON: a longer one may take more steps. Default 0. */
  readonly characters?: number;
  readonly reasoning?: ReasoningSection;
  readonly limits?: Partial<Limits>;
}

export interface CompiledConstraint {
  /** What is not enforced; empty where the caller was strict. */
  readonly warnings: readonly ConstraintWarning[];
  /** The constraint of a new text. */
  start(): TokenConstraint;
}

/** Expressions after which a new text gets fresh tables, so that long-lived constraints do not grow. */
const FRESH_AFTER = 400_000;

/**
 * Compiles a constraint.
 * @throws {PacelineError} `usage` with a JSON pointer or a position in `details`, for what is wrong,
 * not supported, or too complex
 */
export function compileConstraint(
  spec: ConstraintSpec,
  vocabulary: VocabularyIndex,
  options: ConstraintOptions = {},
): CompiledConstraint {
  let compiled = compile(spec, vocabulary, options);
  return {
    warnings: compiled.warnings,
    start: () => {
      if (compiled.machine.language.count > compiled.size + FRESH_AFTER) {
        compiled = compile(spec, vocabulary, options);
      }
      return new TokenConstraint(compiled.machine, compiled.root);
    },
  };
}

function compile(spec: ConstraintSpec, vocabulary: VocabularyIndex, options: ConstraintOptions) {
  const compiling = compilingSteps(options.characters ?? 0);
  const limits = { ...defaultLimits, compiling, ...options.limits };
  const exceeded = () => tooComplex(`it takes more than ${limits.compiling} steps to compile`);
  return withWork(limits.compiling, exceeded, () =>
    compileWithin(limits, spec, vocabulary, options),
  );
}

function compileWithin(
  limits: Limits,
  spec: ConstraintSpec,
  vocabulary: VocabularyIndex,
  options: ConstraintOptions,
) {
  const language = new Language(limits);
  const marks = new Marks(language, vocabulary.specials);
  const warnings: ConstraintWarning[] = [];
  const main = languageOf(spec, language, marks, warnings);
  const root = withReasoning(language, marks, main, options.reasoning);
  language.settle();
  if (root === NOTHING || (language.need[root] as number) > language.limits.nesting) {
    throw refused('No text satisfies the constraint', { pointer: '' });
  }
  const masks = new MaskMaker(language, vocabulary, marks.symbols);
  const machine = new ConstraintMachine(language, vocabulary, masks, marks.symbols);
  return { machine, root, warnings, size: language.count };
}

function languageOf(
  spec: ConstraintSpec,
  language: Language,
  marks: Marks,
  warnings: ConstraintWarning[],
): number {
  switch (spec.type) {
    case 'json-schema':
    case 'json': {
      const report = new Report(spec.type === 'json' || (spec.strict ?? true));
      const document = new SchemaDocument(spec.type === 'json' ? true : (spec.schema as Json));
      const notation = jsonNotation(language, spec.whiteSpace ?? 'bounded');
      const inOrder = spec.schemaOrder ?? false;
      const compiler = new SchemaCompiler(language, notation, document, report, { inOrder });
      const root = compiler.root(spec.type === 'json' ? Type.OBJECT : Type.ALL);
      warnings.push(...report.warnings);
      return root;
    }
    case 'regex': {
      const { characters, spelling } = plainSpelling(language);
      return compilePattern(language, spec.pattern, { characters, spelling, whole: true });
    }
    case 'grammar':
      return compileGrammar(language, spec.grammar, (text) => marks.special(text));
    case 'choice': {
      if (spec.choices.length === 0)
        throw refused('A choice needs at least one text', { pointer: '/choices' });
      const texts = spec.choices.map((text) => new TextEncoder().encode(text));
      return language.oneOf(new KeyList(texts));
    }
    case 'tools': {
      const { answer } = spec;
      return toolLanguage(spec, {
        language,
        marks,
        warnings,
        answer: answer && languageOf(answer, language, marks, warnings),
      });
    }
  }
}

/** White space between the end of reasoning and what follows. */
const AFTER_REASONING = 4;

function withReasoning(
  language: Language,
  marks: Marks,
  main: number,
  reasoning: ReasoningSection | undefined,
): number {
  if (!reasoning) return main;
  const space = language.set(ByteSet.of([0x0a, 0x0a], [0x20, 0x20]));
  const after = language.concat(language.repeat(space, 0, AFTER_REASONING), main);
  const section = marks.free({ endOk: false, marks: [{ text: reasoning.end, after }] });
  if (reasoning.begin === undefined) return section;
  return language.either([main, language.concat(marks.mark(reasoning.begin), section)]);
}
