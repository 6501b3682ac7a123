/** What a file holds of drafters, from its header alone. */
import { PacelineError } from '../base/errors.js';
import type { GgufMetadata } from '../gguf/metadata.js';

/** The header of a file. */
export interface DraftHeader extends GgufMetadata {
  readonly tensors: ReadonlyMap<string, { readonly bytes: number }>;
}

/** Whether the file is a DFlash model. */
export function isDflash(file: GgufMetadata): boolean {
  return file.metadata.get('general.architecture')?.value === 'dflash';
}

/** Whether the file is Gemma 4's drafter, which attends over the keys and values of its target. */
export function isAssistant(file: GgufMetadata): boolean {
  return file.metadata.get('general.architecture')?.value === 'gemma4-assistant';
}

/** Drafts of published models have 8 to 32 rows; every one costs memory in each sequence. */
const mostBlock = 256;
const mostTaps = 1024;
const usualBlock = 16;

/** What the header of a DFlash model says of its form. */
export interface DflashForm {
  /** Of which kind its guesses are, for users. */
  readonly variant: 'DFlash' | 'DFlash2' | 'DSpark';
  /** Rows of a block: the last token and masks. */
  readonly blockSize: number;
  /** The first row that guesses: 0 guesses what follows the last token, 1 what stands in its own place. */
  readonly firstGuess: 0 | 1;
  /** Most guesses of a pass. */
  readonly guesses: number;
  /** Layers of the target that it reads, from 1. */
  readonly taps: readonly number[];
  /** Whether its residual is several streams, as DeepSeek V4's is. */
  readonly streams: boolean;
}

/** @throws {PacelineError} `broken-file`. */
export function dflashForm(file: DraftHeader): DflashForm {
  const dspark = file.tensors.has('markov_w1.weight');
  const anchored = file.optionalBoolean('dflash.sample_from_anchor') ?? true;
  const blockSize = dflashBlockSize(file);
  const firstGuess = dspark && anchored ? 0 : 1;
  return {
    ...{ blockSize, firstGuess, guesses: blockSize - firstGuess },
    variant: dspark ? 'DSpark' : file.tensors.has('selector_hidden.weight') ? 'DFlash2' : 'DFlash',
    taps: dflashTaps(file),
    streams: (file.optionalInteger('dflash.hyper_connection.count') ?? 0) > 0,
  };
}

/** A form in words. */
export function dflashFormText({ variant, guesses, taps, streams }: DflashForm): string {
  const own = streams ? ', layers as in DeepSeek V4' : '';
  return `${variant}, ${guesses} guesses a pass, reads the inputs of layers ${taps.join(', ')}${own}`;
}

/** Rows of a DFlash model's block: the last token and the guesses. @throws `broken-file`. */
function dflashBlockSize(file: GgufMetadata): number {
  return file.optionalInteger('dflash.block_size', { least: 2, most: mostBlock }) ?? usualBlock;
}

/** Layers of the target that a DFlash model reads, from 1. @throws `broken-file`. */
export function dflashTaps(file: GgufMetadata): readonly number[] {
  const taps = file.numberArray('dflash.target_layers');
  const proper = taps.every((layer) => Number.isInteger(layer) && layer >= 1 && layer <= mostTaps);
  if (proper && taps.length > 0 && taps.length <= mostTaps) return taps;
  const found = taps.length > 8 ? `${taps.length} items` : `[${taps.join(', ')}]`;
  throw new PacelineError(
    'broken-file',
    `Metadata key dflash.target_layers holds ${found}, expected layers from 1 on`,
    { hint: 'Take the draft file that was made for this model.' },
  );
}

/** Whether the file has a multi-token prediction block, alone or behind a model. */
export function hasMtpBlock(file: Pick<DraftHeader, 'tensors'>): boolean {
  return [...file.tensors.keys()].some((name) => name.endsWith('.nextn.eh_proj.weight'));
}

/** Architectures whose prediction blocks `mtp.ts` computes; others run without. */
const mtpArchitectures: ReadonlySet<unknown> = new Set([
  ...['deepseek4', 'qwen3', 'qwen35', 'qwen35moe'],
]);

/** Whether the file has a multi-token prediction block that can draft here. */
export function hasUsableMtpBlock(file: DraftHeader): boolean {
  const { value } = file.metadata.get('general.architecture') ?? {};
  return hasMtpBlock(file) && mtpArchitectures.has(value);
}

/** Whether the file holds a drafter and no model that could generate by itself. */
export function isDraftOnly(file: DraftHeader): boolean {
  if (isDflash(file) || isAssistant(file)) return true;
  return hasMtpBlock(file) && !file.tensors.has('blk.0.attn_norm.weight');
}
