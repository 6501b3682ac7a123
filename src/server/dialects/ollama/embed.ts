/** `POST /api/embed` and the older `/api/embeddings`: bodies to texts, vectors to Ollama's shapes. */
import { refuseField } from '../../../chat/refusals.js';
import { checkBody } from '../dialect.js';
import type { EmbedExchange } from '../openai/embeddings.js';
import { ollamaEmbedSchema } from './schema.js';

/** @throws {PacelineError} `usage` naming the field that is wrong. */
export function ollamaEmbed(given: unknown): EmbedExchange {
  const { model, input, prompt, dimensions } = checkBody(ollamaEmbedSchema, given);
  const texts = input ?? prompt;
  if (texts === undefined) throw refuseField('input', 'input is missing');
  return {
    request: {
      model,
      texts: typeof texts === 'string' ? [texts] : texts,
      ...(dimensions === undefined ? {} : { dimensions }),
    },
    body: ({ vectors, tokens, milliseconds }) =>
      input === undefined
        ? { embedding: [...(vectors[0] ?? [])] }
        : {
            model,
            embeddings: vectors.map((vector) => [...vector]),
            total_duration: Math.round(milliseconds * 1e6),
            load_duration: 0,
            prompt_eval_count: tokens,
          },
  };
}
