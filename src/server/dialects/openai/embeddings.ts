/** `POST /v1/embeddings`: bodies to texts, vectors to the API's shapes. */
import { z } from 'zod';
import type { EmbedRequest, EmbedResult } from '../../../chat/request.js';
import { checkBody, ignored } from '../dialect.js';

/** Most texts of a request, as the API has it. */
const mostInputs = 2048;

const tokens = z.array(z.int().min(0)).min(1);

export const embeddingSchema = z.strictObject({
  model: z.string().min(1),
  input: z.union([
    z.string(),
    z.array(z.string()).min(1).max(mostInputs),
    tokens,
    z.array(tokens).min(1).max(mostInputs),
  ]),
  encoding_format: z.enum(['float', 'base64']).optional(),
  dimensions: z.int().min(1).optional(),
  user: ignored,
});

export interface EmbedExchange {
  readonly request: EmbedRequest;
  body(result: EmbedResult): unknown;
}

/** @throws {PacelineError} `usage` naming the field that is wrong. */
export function embeddingExchange(given: unknown): EmbedExchange {
  const body = checkBody(embeddingSchema, given);
  const { model, dimensions, encoding_format: format = 'float' } = body;
  return {
    request: {
      model,
      texts: listOf(body.input),
      ...(dimensions === undefined ? {} : { dimensions }),
    },
    body: ({ vectors, tokens: count }) => ({
      object: 'list',
      data: vectors.map((vector, index) => ({
        object: 'embedding',
        index,
        embedding: format === 'base64' ? base64(vector) : [...vector],
      })),
      model,
      usage: { prompt_tokens: count, total_tokens: count },
    }),
  };
}

function listOf(input: z.infer<typeof embeddingSchema>['input']): EmbedRequest['texts'] {
  if (typeof input === 'string') return [input];
  const [first] = input;
  return typeof first === 'number' ? [input as number[]] : (input as string[] | number[][]);
}

/** Little-endian floats, as the official clients read them. */
function base64(vector: Float32Array): string {
  const bytes = Buffer.alloc(vector.length * 4);
  for (const [index, value] of vector.entries()) bytes.writeFloatLE(value, index * 4);
  return bytes.toString('base64');
}
