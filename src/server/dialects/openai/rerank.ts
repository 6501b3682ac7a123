/** `POST /v1/rerank`: checked like any request, and refused by name: no architecture here ranks. */
import { z } from 'zod';
import { PacelineError } from '../../../base/errors.js';
import { checkBody } from '../dialect.js';

export const rerankSchema = z.strictObject({
  model: z.string().min(1),
  query: z.string(),
  documents: z.array(z.string()).min(1).max(2048),
  top_n: z.int().min(1).optional(),
  return_documents: z.boolean().optional(),
});

/** @throws {PacelineError} always: `usage` for a wrong body, otherwise `platform` (501). */
export function refuseRerank(given: unknown): never {
  const { model } = checkBody(rerankSchema, given);
  throw new PacelineError('platform', `The model ${model} can't rank texts`, {
    hint: 'Compare the vectors of /v1/embeddings instead.',
    details: { param: 'model' },
  });
}
