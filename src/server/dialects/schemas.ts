/** Schemas that several dialects share: settings of sampling, and our extensions of them. */
import { z } from 'zod';
import type { TextSettings } from '../../chat/request.js';

/** A list of stop strings, or one. */
export const stopSchema = z.union([
  z.string().min(1),
  z.array(z.string().min(1, 'a stop string must have at least one character')).max(64),
]);

/** Fields beyond the APIs that this server takes in every dialect that has top-level settings. */
export const extensions = {
  top_k: z.int().min(0).max(1_000_000).optional().describe('Extension: 0 is off.'),
  min_p: z.number().min(0).max(1).optional().describe('Extension: 0 is off.'),
  repetition_penalty: z.number().positive().max(1000).optional().describe('Extension: 1 is off.'),
  penalty_window: z
    .int()
    .min(-1)
    .max(1_000_000)
    .optional()
    .describe('Extension: tokens that the penalties look at; -1 is all.'),
  draft: z
    .enum(['auto', 'none', 'ngram', 'mtp', 'dflash'])
    .optional()
    .describe('Extension: which drafter may propose tokens; never changes the text.'),
};

/** JSON schemas and variables of templates: any object. */
export const objectSchema = z.record(z.string(), z.unknown());

/** Names of tools, as the strictest of the APIs has them, and dots. */
export const toolName = z
  .string()
  .regex(/^[a-zA-Z0-9_.-]{1,128}$/, 'a name has 1 to 128 of a-z, A-Z, 0-9, _, - and .');

/** Settings without the entries that are undefined. */
export function settingsOf(
  given: {
    readonly [K in keyof TextSettings]?: TextSettings[K] | undefined;
  },
): TextSettings {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** One or several stop strings as a list. */
export function stopList(
  stop: string | readonly string[] | undefined,
): readonly string[] | undefined {
  return typeof stop === 'string' ? [stop] : stop;
}
