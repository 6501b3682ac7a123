/**
 * What drafters take of memory, from the headers of their files: for questions before loading. The
 * bytes of a loaded drafter are the drafter's word.
 */
import { draftStateBytes, mostMtpDrafts, usualWindow } from '../decode/draft-window.js';
import { cacheLayers } from '../gguf/kv-layout.js';
import {
  type DflashForm,
  type DraftHeader,
  dflashForm,
  hasUsableMtpBlock,
  isAssistant,
  isDflash,
} from '../models/draft-kind.js';

export interface DraftMemory {
  readonly name: 'mtp' | 'dflash';
  /** What a DFlash model's header says of its form. */
  readonly form?: DflashForm | undefined;
  /** Bytes of the drafter's weights. */
  readonly weightBytes: number;
  /** Bytes for each sequence: its own cache, and the hidden rows that it keeps. */
  readonly stateBytes: number;
}

export interface DraftMemoryOptions {
  readonly contextLength: number;
  /** Positions that drafters look back on; default: the usual window. */
  readonly window?: number | undefined;
}

/**
 * Memory of the drafter in a file; undefined when there is none, or the header does not say enough.
 * @throws {PacelineError} `broken-file` when a key has a value of the wrong kind.
 */
export function draftMemory(
  file: DraftHeader,
  { contextLength, window = usualWindow }: DraftMemoryOptions,
): DraftMemory | undefined {
  if (isAssistant(file)) return assistantMemory(file);
  const dflash = isDflash(file) ? dflashForm(file) : undefined;
  if (dflash === undefined && !hasUsableMtpBlock(file)) return undefined;
  const key = (name: string) => `${file.optionalString('general.architecture')}.${name}`;
  const width = file.optionalInteger(key('embedding_length'));
  const blocks = cacheLayers(file, dflash ? 'trunk' : 'nextn');
  if (width === undefined || blocks === undefined) return undefined;
  const layers = dflash ? blocks : blocks.slice(0, 1);
  // Of a residual of several streams a block reads all, and a tap their mean.
  const parts = dflash?.taps.length ?? file.optionalInteger(key('hyper_connection.count')) ?? 1;
  const stateBytes = draftStateBytes({
    contextLength,
    window,
    guesses: dflash?.blockSize ?? mostMtpDrafts,
    width: width * parts,
    layout: layers,
  });
  let weightBytes = 0;
  for (const [name, { bytes }] of file.tensors) {
    if (dflash || isOfBlock(file, name)) weightBytes += bytes;
  }
  return { name: dflash ? 'dflash' : 'mtp', form: dflash, weightBytes, stateBytes };
}

/** It keeps the last hidden row of a text, and attends over the target's own keys and values. */
function assistantMemory(file: DraftHeader): DraftMemory {
  let weightBytes = 0;
  for (const { bytes } of file.tensors.values()) weightBytes += bytes;
  const width = file.optionalInteger('gemma4-assistant.embedding_length_out') ?? 0;
  return { name: 'mtp', weightBytes, stateBytes: 4 * width };
}

/** Whether a tensor belongs to a block that has `nextn` tensors. */
function isOfBlock({ tensors }: DraftHeader, name: string): boolean {
  const block = /^blk\.\d+\./.exec(name)?.[0];
  return block !== undefined && tensors.has(`${block}nextn.eh_proj.weight`);
}
