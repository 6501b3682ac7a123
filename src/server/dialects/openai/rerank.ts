/** `POST /v1/rerank`, as Jina, Cohere and llama-server have it: bodies to texts, scores to the API's shape. */
import { z } from 'zod';
import type { RankRequest, RankResult } from '../../../chat/request.js';
import { checkBody, ignored } from '../dialect.js';

/** Most documents of a request, as for embeddings. */
const mostDocuments = 2048;

export const rerankSchema = z.strictObject({
  model: z.string().min(1),
  query: z.string(),
  documents: z
    .array(z.union([z.string(), z.strictObject({ text: z.string() })]))
    .min(1)
    .max(mostDocuments),
  top_n: z.int().min(1).optional(),
  return_documents: z.boolean().optional(),
  user: ignored,
});

export interface RerankExchange {
  readonly request: RankRequest;
  body(result: RankResult): unknown;
}

/** @throws {PacelineError} `usage` naming the field that is wrong. */
export function rerankExchange(given: unknown): RerankExchange {
  const { model, query, documents, top_n, return_documents } = checkBody(rerankSchema, given);
  const texts = documents.map((document) =>
    typeof document === 'string' ? document : document.text,
  );
  return {
    request: { model, query, documents: texts },
    body: ({ results, tokens }) => ({
      model,
      object: 'list',
      usage: { prompt_tokens: tokens, total_tokens: tokens },
      results: results.slice(0, top_n).map(({ index, score }) => ({
        index,
        relevance_score: score,
        ...(return_documents ? { document: { text: texts[index] } } : {}),
      })),
    }),
  };
}
