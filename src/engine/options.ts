/**
 * The options of the public API as schemas: one place that checks them, for the library, the command
 * line and the server alike. `types.ts` has the same options as types with their documentation; a
 * test keeps the two together.
 */

import { z } from 'zod';
import { PacelineError } from '../base/errors.js';
import { abortSignal, callback, checkOptions, field, wholeNumber } from '../base/options.js';
import { kvTypes } from '../cache/kv-names.js';
import { constraintTypes } from '../constraint/check-spec.js';
import type { ConstraintSpec } from '../constraint/spec.js';
import { samplingFields } from '../decode/settings.js';
import { RawJson } from '../template/raw-json.js';
import { draftKinds } from './draft-kinds.js';
import type {
  ChatOptions,
  EmbedOptions,
  GenerateOptions,
  LoadOptions,
  OnProgress,
  RankOptions,
} from './types.js';

/** On which machines a model shall give the same bytes. */
const reproducibilities = ['everywhere'] as const;

const onProgress = callback<OnProgress>('a function');
const positive = 'a whole number above 0';
const strings = z.array(z.string());

const oneOf = <const T extends readonly [string, ...string[]]>(values: T) =>
  field(z.enum(values), `one of ${values.join(', ')}`);

const flag = field(z.boolean(), 'true or false');

const cacheSchema = z.strictObject({
  folder: field(z.string().min(1), 'a path'),
  budget: wholeNumber(0, 'a number of bytes'),
  blockTokens: field(z.number().int().min(64).max(65_536).multipleOf(64), 'a multiple of 64'),
  onWarning: callback<(text: string) => void>('a function'),
});

export const loadSchema = z.strictObject({
  threads: wholeNumber(1, 'a whole number from 1 to 65536', 65_536),
  contextLength: wholeNumber(1, 'a whole number from 1 to 2147483647', 2 ** 31 - 1),
  kvType: oneOf(kvTypes),
  device: field(z.string().min(1), 'auto, cpu or names of devices'),
  gpuLayers: field(
    z.union([z.literal('auto'), z.number().int().min(0)]),
    'auto, or a whole number, 0 or more',
  ),
  cpuMoe: field(
    z.union([z.boolean(), z.number().int().min(0)]),
    'true, false or a number of layers',
  ),
  expertMemory: field(
    z.union([z.literal('auto'), z.number().int().min(1).max(Number.MAX_SAFE_INTEGER)]),
    'auto, or a number of bytes, 1 or more',
  ),
  exact: flag,
  experts: field(z.string().min(1), 'a path'),
  reproducible: oneOf(reproducibilities),
  draftModels: field(strings, 'an array of paths'),
  draftWindow: wholeNumber(1, positive),
  prefillChunk: wholeNumber(1, positive),
  cache: field(z.union([z.boolean(), z.looseObject({})]), 'true, false or an object'),
  maxRunning: wholeNumber(1, positive),
  maxWaiting: wholeNumber(1, positive),
  onProgress,
  signal: abortSignal,
});

export const generateSchema = z.strictObject({
  ...samplingFields,
  maxTokens: wholeNumber(0, 'a whole number, 0 or more'),
  stop: field(z.union([z.string(), strings]), 'a string or an array of strings'),
  constraint: field(
    z.custom<ConstraintSpec>(
      (value) =>
        typeof value === 'object' &&
        value !== null &&
        'type' in value &&
        constraintTypes.some((type) => type === value.type),
    ),
    `an object with one of the types ${constraintTypes.join(', ')}`,
  ),
  reasoning: field(
    z.strictObject({ end: z.string().min(1), begin: z.string().min(1).optional() }),
    'an object with `end`, and perhaps `begin`',
  ),
  constrainedTokens: wholeNumber(0, 'a whole number, 0 or more'),
  controlText: field(z.boolean(), 'true or false'),
  draft: oneOf(draftKinds),
  draftMax: wholeNumber(1, positive),
  cache: flag,
  priority: field(z.number(), 'a number'),
  onProgress,
  signal: abortSignal,
});

export const embedSchema = z.strictObject({
  dimensions: wholeNumber(1, positive),
  pooling: oneOf(['mean', 'cls', 'last']),
  onProgress,
  signal: abortSignal,
});

const rankSchema = embedSchema.pick({ onProgress: true, signal: true });

const record = z.record(z.string(), z.unknown());

export const chatSchema = generateSchema.extend({
  tools: field(
    z.union([z.array(record), z.instanceof(RawJson)]),
    'an array of tool descriptions, or rawJson(text) of one',
  ),
  thinking: flag,
  templateVariables: field(record, 'an object'),
});

/** Checked options: their signal has all that an `AbortSignal` is used for. */
export type Checked<T> = Omit<T, 'signal'> & { readonly signal?: AbortSignal | undefined };

/** @throws {PacelineError} `usage`. */
export function checkLoadOptions(given: unknown): Checked<LoadOptions> {
  const options = checkOptions(loadSchema, given, 'loadModel') as Checked<LoadOptions>;
  if (typeof options.cache === 'object') checkOptions(cacheSchema, options.cache, 'cache');
  return options;
}

/** @throws {PacelineError} `usage`. */
export function checkGenerateOptions(given: unknown): Checked<GenerateOptions> {
  return checkOptions(generateSchema, given, 'generate') as Checked<GenerateOptions>;
}

/** @throws {PacelineError} `usage`. */
export function checkChatOptions(given: unknown): Checked<ChatOptions> {
  return checkOptions(chatSchema, given, 'chat') as Checked<ChatOptions>;
}

/** @throws {PacelineError} `usage`. */
export function checkEmbedOptions(given: unknown): Checked<EmbedOptions> {
  return checkOptions(embedSchema, given, 'embed') as Checked<EmbedOptions>;
}

/** @throws {PacelineError} `usage`. */
export function checkRankOptions(given: unknown): Checked<RankOptions> {
  return checkOptions(rankSchema, given, 'rank') as Checked<RankOptions>;
}

/** @throws {PacelineError} `usage` unless it is a string that is not empty. */
export function checkModelName(given: unknown): string {
  if (typeof given === 'string' && given !== '') return given;
  throw new PacelineError('usage', 'loadModel needs the name of a model', {
    hint: 'Give the path of a GGUF file, or "default" for the embedded model.',
  });
}
