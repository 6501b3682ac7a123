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

type Given = { readonly [K in keyof TextSettings]?: TextSettings[K] | undefined };

/** Fields of sampling, by the names that all APIs but Ollama's have for them. */
interface SamplingFields {
  readonly temperature?: Given['temperature'];
  readonly top_p?: Given['topP'];
  readonly top_k?: Given['topK'];
  readonly min_p?: Given['minP'];
  readonly repetition_penalty?: Given['repetitionPenalty'];
  readonly presence_penalty?: Given['presencePenalty'];
  readonly frequency_penalty?: Given['frequencyPenalty'];
  readonly penalty_window?: Given['penaltyWindow'];
  readonly logit_bias?: Given['logitBias'];
  readonly seed?: Given['seed'];
  readonly draft?: Given['draft'];
}

/** What a body says of sampling, as settings; what it does not say is undefined. */
export function samplingOf(body: SamplingFields): Given {
  return {
    temperature: body.temperature,
    topP: body.top_p,
    topK: body.top_k,
    minP: body.min_p,
    repetitionPenalty: body.repetition_penalty,
    presencePenalty: body.presence_penalty,
    frequencyPenalty: body.frequency_penalty,
    penaltyWindow: body.penalty_window,
    logitBias: body.logit_bias,
    seed: body.seed,
    draft: body.draft,
  };
}

/** Settings without the entries that are undefined. */
export function settingsOf(given: Given): TextSettings {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** One or several stop strings as a list. */
export function stopList(
  stop: string | readonly string[] | undefined,
): readonly string[] | undefined {
  return typeof stop === 'string' ? [stop] : stop;
}
