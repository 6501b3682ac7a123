/** What the server's own routes take; the one source for their checks and their description. */
import { z } from 'zod';
import { chatSchema } from '../openai/chat-schema.js';
import { completionSchema } from '../openai/completions.js';

/** `POST /paceline/v1/models/unload`. */
export const modelSchema = z.strictObject({ model: z.string().min(1) });

/** `POST /paceline/v1/models/load`: a model of the server, or one of the disk. */
export const loadSchema = z.union([
  modelSchema,
  z.strictObject({
    library: z
      .string()
      .regex(/^[0-9a-f]{16}$/)
      .describe('The `id` of a model in /paceline/v1/library.'),
  }),
]);

/** `POST /paceline/v1/verify`: the body of the text that is to be proved. */
export const verifySchema = z
  .union([chatSchema, completionSchema])
  .describe('The body of /v1/chat/completions or /v1/completions whose text is to be proved.');
