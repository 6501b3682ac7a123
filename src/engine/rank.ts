/**
 * Documents ranked by how well they answer a query, with models that read both together and rate
 * them by a classifier. A score depends on query and document alone, not on the other documents.
 */
import { PacelineError } from '../base/errors.js';
import { show } from '../base/options.js';
import { contextOverflow } from '../cache/overflow.js';
import { ControlTextGuard } from '../tokenizer/control-text.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { checkRankOptions } from './options.js';
import type { Runtime } from './runtime.js';
import type { RankedDocument, Ranking, RankOptions } from './types.js';

/** Rows of a pass, as for embeddings. */
const causalRows = 128;

/**
 * All documents, the best first.
 * @throws {PacelineError} `usage`, `context-overflow`, `aborted`, `memory`, `busy`, `disposed`;
 *   `platform` for a model that cannot rank.
 */
export async function rank(
  runtime: Runtime,
  query: string,
  documents: readonly string[],
  given: RankOptions,
): Promise<Ranking> {
  const { signal, onProgress } = checkRankOptions(given);
  checkTexts(query, documents);
  const { model, tokenizer, rankTemplate, contextLength } = runtime;
  if (model.head !== 'classes') {
    throw new PacelineError('platform', 'The model has no classifier, so it cannot rank texts', {
      hint: 'Take a reranking model, or compare the vectors of an embedding model.',
      details: { param: 'model' },
    });
  }
  const inputs = documents.map((document) => pairTokens(tokenizer, rankTemplate, query, document));
  const longest = inputs.reduce((most, { length }) => Math.max(most, length), 0);
  if (longest > contextLength) throw contextOverflow(longest, contextLength);
  const total = inputs.reduce((sum, { length }) => sum + length, 0);
  const results: RankedDocument[] = [];
  let done = 0;
  const text = runtime.createInput();
  try {
    for (const [index, tokens] of inputs.entries()) {
      text.truncate(0);
      // Encoders say it in the first row, which has seen everything, decoders in the last.
      const { logits } = model.causal
        ? await runtime.prefill(text, tokens, { chunk: causalRows, signal })
        : await runtime.run(text, tokens, { outputs: 'first', signal });
      results.push({ index, score: logits[0]?.[0] ?? Number.NaN });
      done += tokens.length;
      onProgress?.({ task: 'ranking', done, total, unit: 'tokens' });
    }
  } finally {
    runtime.release(text);
  }
  results.sort((a, b) => b.score - a.score || a.index - b.index);
  return { results, tokens: total };
}

function checkTexts(query: unknown, documents: unknown): void {
  const what =
    typeof query !== 'string'
      ? `a query that is a string, not ${show(query)}`
      : !Array.isArray(documents) || documents.some((text) => typeof text !== 'string')
        ? 'an array of documents, which are strings'
        : undefined;
  if (what !== undefined) throw new PacelineError('usage', `rank needs ${what}`);
}

/**
 * Query and document as the model was trained to see them: in the file's own words, or with the
 * vocabulary's separators. Names of control tokens in either are plain text.
 * @throws {PacelineError} `platform` when the file has neither.
 */
export function pairTokens(
  tokenizer: Tokenizer,
  template: string | undefined,
  query: string,
  document: string,
): number[] {
  if (template === undefined) return tokenizer.encodePair(query, document);
  const guard = new ControlTextGuard(tokenizer);
  const given = guard.protect(
    new Map([
      ['query', query],
      ['document', document],
    ]),
    template,
  );
  const text = template.replace(/\{(query|document)\}/g, (_, name: string) =>
    String(given.get(name)),
  );
  const tokens: number[] = [];
  tokenizer.appendText(tokens, text, true, (part) => guard.restore(part));
  return tokens;
}
