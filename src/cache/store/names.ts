/**
 * Names of blocks: a hash chained over the name of the block before, so that a name stands for all
 * tokens up to its block's end. The first block's parent is the name of the model's state, so that
 * nothing of another model, element type or layout can have the same name.
 */
import { createHash } from 'node:crypto';

/** Counts changes of the format of files and of what their names are made of. */
export const formatVersion = 2;

/** The parent of first blocks, and the name of the folder. */
export function rootName(fingerprint: string, blockTokens: number): string {
  return hash(JSON.stringify({ formatVersion, fingerprint, blockTokens }));
}

/** The name of the block with these tokens behind `parent`. */
export function blockName(parent: string, tokens: ArrayLike<number>): string {
  return hash(parent, new Uint8Array(Uint32Array.from(tokens).buffer));
}

/** Whether it is a name that the functions above give. */
export function isName(text: string): boolean {
  return /^[0-9a-f]{40}$/.test(text);
}

function hash(...parts: readonly (string | Uint8Array)[]): string {
  const sum = createHash('sha256');
  for (const part of parts) sum.update(part);
  return sum.digest('hex').slice(0, 40);
}
