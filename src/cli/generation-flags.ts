/** The flags that load a model and shape a text, shared by every command that generates. */
import { type Command, Option } from 'commander';
import { kvTypes } from '../cache/kv-names.js';
import { defaultSampling } from '../decode/sampling-settings.js';
import { draftKinds } from '../engine/draft-kinds.js';
import type { DraftKind, GenerateOptions, KvType, LoadOptions } from '../engine/types.js';
import { AliasOption } from './alias.js';
import { byteCount } from './cache-flags.js';
import { type ConstraintFlags, constraintFlags, constraintOf } from './constraint-flags.js';
import { collect, integer, number } from './numbers.js';

/** Values of the flags of `addLoadFlags`. */
export interface LoadFlags extends DeviceFlags {
  readonly ctx?: number;
  readonly threads?: number;
  readonly kv?: KvType;
  readonly portable?: boolean;
}

/** Values of the flags of `addDeviceFlags`. */
export interface DeviceFlags {
  readonly device?: string;
  readonly gpuLayers?: number | 'auto';
  readonly cpuMoe?: boolean;
  readonly cpuMoeLayers?: number;
  readonly expertMemory?: number | 'auto';
  readonly exact?: boolean;
  readonly experts?: string;
}

/** Adds the flags that say what computes, and with how much of a mixture. */
export function addDeviceFlags(command: Command): Command {
  const layers = integer(0, 10_000);
  const flags = [
    new Option(
      '--device <names>',
      'auto, cpu, or cards as `paceline devices` lists them, with commas between (default: auto)',
    ),
    new Option(
      '--gpu-layers <count>',
      'layers on cards, the last ones (default: auto, as many as fit)',
    ).argParser((text) => (text === 'auto' ? text : layers(text))),
    new Option('--cpu-moe', 'experts of a mixture stay with the CPU'),
    new Option(
      '--cpu-moe-layers <count>',
      'the same for the experts of the first layers',
    ).argParser(layers),
    new Option(
      '--expert-memory <size>',
      'experts of a mixture stay in the file but for as many as fit into this, such as 8GB (default: ' +
        'auto, all in memory if the model fits)',
    ).argParser((text) => (text === 'auto' ? text : byteCount(text))),
    new Option(
      '--exact',
      'on cards: compute near-ties again alone, so that drafts never change the text',
    ),
  ];
  for (const flag of flags) command.addOption(flag.helpGroup('Devices:'));
  return command.addOption(
    new Option(
      '--experts <file>',
      'only these experts of a mixture, as `experts select` chose them',
    ).helpGroup('Loading:'),
  );
}

/** The engine's loading options for the flags of `addDeviceFlags`. */
export function deviceOptions(flags: DeviceFlags): LoadOptions {
  return given<LoadOptions>({
    device: flags.device,
    gpuLayers: flags.gpuLayers,
    cpuMoe: flags.cpuMoe ? true : flags.cpuMoeLayers,
    expertMemory: flags.expertMemory,
    exact: flags.exact,
    experts: flags.experts,
  } as LoadOptions);
}

/** Values of the flags of `addGenerationFlags`. */
export interface GenerationFlags extends ConstraintFlags {
  readonly n?: number;
  readonly temp?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repeatPenalty?: number;
  readonly presencePenalty?: number;
  readonly frequencyPenalty?: number;
  readonly penaltyWindow?: number;
  readonly seed?: number;
  readonly stop?: readonly string[];
  readonly logprobs?: number;
  readonly draft?: DraftKind;
  readonly draftModel?: readonly string[];
  readonly draftMax?: number;
  readonly draftWindow?: number;
}

/** Tokens of a text that is continued when nobody says how many: such a text has no end of its own. */
export const continuationTokens = 512;

/** Adds the flags that say how a model is loaded. */
export function addLoadFlags(command: Command): Command {
  const context = new Option(
    '--ctx <tokens>',
    'longest context (default: the model’s own, at most 8192)',
  ).argParser(integer(1, 2 ** 31 - 1));
  return addDeviceFlags(command)
    .addOption(context.helpGroup('Loading:'))
    .addOption(new AliasOption('--ctx-size', context))
    .addOption(
      new Option('--threads <count>', 'threads that compute (default: physical cores)')
        .argParser(integer(1, 1024))
        .helpGroup('Loading:'),
    )
    .addOption(kvOption().helpGroup('Loading:'))
    .addOption(
      new Option(
        '--portable',
        'the same text from the same seed on every x64 and arm64 machine, several times slower',
      ).helpGroup('Loading:'),
    );
}

/** The flag that names the type of the KV cache. */
export function kvOption(): Option {
  return new Option(
    '--kv <type>',
    'element type of the KV cache (default: i16 with AVX-512 VNNI, where the heads fit; otherwise f16)',
  ).choices(kvTypes);
}

/** Adds the flags that shape a text. */
export function addGenerationFlags(command: Command): Command {
  const defaults = defaultSampling;
  const group = (option: Option): Option => option.helpGroup('Text:');
  const draft = (option: Option): Option => option.helpGroup('Speed (never changes the text):');
  const length = new Option(
    '-n <tokens>',
    'most tokens to generate, also --max-tokens or --n-predict; -1: until the model ends ' +
      `(default: -1 for answers, ${continuationTokens} where a text is continued)`,
  ).argParser(integer(-1));
  const temperature = new Option(
    '--temp <number>',
    `temperature, also --temperature; 0 is greedy (default: ${defaults.temperature})`,
  ).argParser(number(0));
  const repeat = new Option(
    '--repeat-penalty <factor>',
    'make repeated tokens less likely; 1: off (default: 1)',
  ).argParser(number(0));
  const flags = [
    length,
    temperature,
    new Option(
      '--top-k <count>',
      `sample from the k likeliest tokens; 0: all (default: ${defaults.topK})`,
    ).argParser(integer(0)),
    new Option(
      '--top-p <share>',
      `sample from the likeliest tokens that reach this probability (default: ${defaults.topP})`,
    ).argParser(number(0, 1)),
    new Option(
      '--min-p <share>',
      `drop tokens below this share of the likeliest one (default: ${defaults.minP})`,
    ).argParser(number(0, 1)),
    repeat,
    new Option('--presence-penalty <number>', 'lower tokens that occurred (default: 0)').argParser(
      number(-1e6, 1e6),
    ),
    new Option(
      '--frequency-penalty <number>',
      'lower tokens by how often they occurred (default: 0)',
    ).argParser(number(-1e6, 1e6)),
    new Option(
      '--penalty-window <tokens>',
      `last tokens the penalties look at; -1: all (default: ${defaults.penaltyWindow})`,
    ).argParser(integer(-1)),
    new Option(
      '--seed <number>',
      'same seed, same text, with the same kernels and type of KV cache (default: random)',
    ).argParser(integer(0)),
    new Option('--stop <text>', 'end before this text; may be given several times').argParser<
      string[]
    >(collect),
    new Option(
      '--logprobs <count>',
      'with --json: log-probabilities of each token and this many alternatives',
    ).argParser(integer(0, 100)),
  ];
  const speed = [
    new Option('--draft <kind>', 'which drafter may propose tokens (default: auto)').choices(
      draftKinds,
    ),
    new Option(
      '--draft-model <file>',
      'a GGUF with a drafter (DFlash, DSpark, multi-token prediction, gemma4-assistant); may be repeated',
    ).argParser(collect),
    new Option('--draft-max <tokens>', 'most tokens drafted at once').argParser(integer(1, 64)),
    new Option(
      '--draft-window <tokens>',
      'how far draft models look back, which bounds their memory (default: 512)',
    ).argParser(integer(1)),
  ];
  for (const flag of [...flags, ...constraintFlags()]) command.addOption(group(flag));
  for (const flag of speed) command.addOption(draft(flag));
  for (const name of ['--max-tokens', '--n-predict']) {
    command.addOption(new AliasOption(name, length));
  }
  command.addOption(new AliasOption('--temperature', temperature));
  command.addOption(new AliasOption('--repetition-penalty', repeat));
  return command;
}

/** Drops the entries that are undefined. */
function given<T extends object>(options: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as T;
}

/** The engine's loading options for the flags. */
export function loadOptions(
  flags: LoadFlags & Pick<GenerationFlags, 'draftModel' | 'draftWindow'>,
): LoadOptions {
  return given<LoadOptions>({
    contextLength: flags.ctx,
    threads: flags.threads,
    kvType: flags.kv,
    ...deviceOptions(flags),
    reproducible: flags.portable ? 'everywhere' : undefined,
    draftModels: flags.draftModel,
    draftWindow: flags.draftWindow,
  } as LoadOptions);
}

/** The engine's options for the flags. */
export function generateOptions(flags: GenerationFlags): GenerateOptions {
  return given<GenerateOptions>({
    maxTokens: flags.n === -1 ? Number.MAX_SAFE_INTEGER : flags.n,
    temperature: flags.temp,
    topK: flags.topK,
    topP: flags.topP,
    minP: flags.minP,
    repetitionPenalty: flags.repeatPenalty,
    presencePenalty: flags.presencePenalty,
    frequencyPenalty: flags.frequencyPenalty,
    penaltyWindow: flags.penaltyWindow,
    seed: flags.seed,
    stop: flags.stop,
    logprobs: flags.logprobs,
    constraint: constraintOf(flags),
    draft: flags.draft,
    draftMax: flags.draftMax,
  } as GenerateOptions);
}
