/** `POST /v1/embeddings`: checked like any request, and refused by name: the engine has no pooling. */
import { z } from 'zod';
import { PacelineError } from '../../../base/errors.js';
import { checkBody, ignored } from '../dialect.js';

const tokens = z.array(z.int().min(0)).min(1);

export const embeddingSchema = z.strictObject({
  model: z.string().min(1),
  input: z.union([z.string(), z.array(z.string()).min(1), tokens, z.array(tokens).min(1)]),
  encoding_format: z.enum(['float', 'base64']).optional(),
  dimensions: z.int().min(1).optional(),
  user: ignored,
});

/** @throws {PacelineError} always: `usage` for a wrong body, otherwise `platform` (501). */
export function refuseEmbeddings(given: unknown): never {
  const { model } = checkBody(embeddingSchema, given);
  throw embeddingsMissing(model);
}

export function embeddingsMissing(model: string): PacelineError {
  return new PacelineError('platform', `The model ${model} can't make embeddings`, {
    hint: 'This version generates text only.',
    details: { param: 'model' },
  });
}
