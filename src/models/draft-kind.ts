/** What a file holds of drafters, from its header alone. */
import type { GgufMetadata } from '../gguf/metadata.js';

/** The header of a file. */
export interface DraftHeader extends GgufMetadata {
  readonly tensors: ReadonlyMap<string, { readonly bytes: number }>;
}

/** Whether the file is a DFlash model. */
export function isDflash(file: GgufMetadata): boolean {
  return file.metadata.get('general.architecture')?.value === 'dflash';
}

/** Whether the file has a multi-token prediction block, alone or behind a model. */
export function hasMtpBlock(file: Pick<DraftHeader, 'tensors'>): boolean {
  return [...file.tensors.keys()].some((name) => name.endsWith('.nextn.eh_proj.weight'));
}

/** Whether the file holds a drafter and no model that could generate by itself. */
export function isDraftOnly(file: DraftHeader): boolean {
  return isDflash(file) || (hasMtpBlock(file) && !file.tensors.has('blk.0.attn_norm.weight'));
}
