/**
 * The constraints of a model's texts: compiled when first asked for, since an agent sends the same
 * tools and schemas with every request, and kept while they are used.
 */
import { checkSpec } from '../constraint/check-spec.js';
import { type CompiledConstraint, compileConstraint } from '../constraint/compile.js';
import type { ConstraintSpec, ReasoningSection } from '../constraint/spec.js';
import { vocabularyIndex } from '../constraint/tokens/vocabulary-index.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';

/** Compiled constraints that are kept. */
const mostKept = 64;

export class Constraints {
  readonly #tokenizer: Tokenizer;
  /** By description. Least recently used first. */
  readonly #kept = new Map<string, CompiledConstraint>();

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
  }

  /**
   * The compiled constraint; its `start` gives one for a new text.
   * @throws {PacelineError} `usage` for what is wrong or cannot be enforced, `aborted`.
   */
  async compile(
    given: ConstraintSpec,
    options: {
      readonly reasoning?: ReasoningSection | undefined;
      readonly signal?: AbortSignal | undefined;
    },
  ): Promise<CompiledConstraint> {
    const { reasoning, signal } = options;
    const { spec, text } = checkSpec(given);
    const index = await vocabularyIndex(this.#tokenizer, signal ? { signal } : {});
    const key = JSON.stringify([text, reasoning]);
    const known = this.#kept.get(key);
    this.#kept.delete(key);
    const compiled =
      known ??
      compileConstraint(spec, index, {
        characters: text.length,
        ...(reasoning ? { reasoning } : {}),
      });
    this.#kept.set(key, compiled);
    for (const [oldest] of this.#kept) {
      if (this.#kept.size <= mostKept) break;
      this.#kept.delete(oldest);
    }
    return compiled;
  }
}
