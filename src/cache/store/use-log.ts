/**
 * What the store was good for: a line for each text that asked it, appended to a file that several
 * processes share. Lines that make no sense are skipped; nothing depends on the file.
 */
import { appendFile, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomically } from '../../base/files.js';

const useSchema = z.object({
  /** Milliseconds since 1970. */
  time: z.number(),
  /** Name of the last block that was used; '' for none. */
  block: z.string(),
  prompt: z.number().min(0),
  /** Prompt tokens that came from the store. */
  cached: z.number().min(0),
  /** Milliseconds of prefill that this saved, about. */
  savedMs: z.number().min(0),
});

export type Use = z.output<typeof useSchema>;

const fileName = 'uses.jsonl';
/** A longer file is cut to its newer half. */
const mostBytes = 1 << 20;

/** All uses that are noted in a folder, the oldest first. */
export async function readUses(folder: string): Promise<Use[]> {
  let text: string;
  try {
    text = await readFile(join(folder, fileName), 'utf8');
  } catch {
    return [];
  }
  return text.split('\n').flatMap((line) => {
    try {
      const use = useSchema.safeParse(JSON.parse(line));
      return use.success ? [use.data] : [];
    } catch {
      return [];
    }
  });
}

/** Notes a use; failures are of no importance. */
export async function noteUse(folder: string, use: Use): Promise<void> {
  const path = join(folder, fileName);
  try {
    await appendFile(path, `${JSON.stringify(use)}\n`, { mode: 0o600 });
    if ((await stat(path)).size <= mostBytes) return;
    const uses = await readUses(folder);
    const newer = uses.slice(Math.floor(uses.length / 2));
    const lines = newer.map((kept) => `${JSON.stringify(kept)}\n`).join('');
    await writeFileAtomically(path, (sink) => sink.write(Buffer.from(lines)), { mode: 0o600 });
  } catch {}
}

/** Forgets all uses of a folder. */
export async function removeUses(folder: string): Promise<void> {
  await rm(join(folder, fileName), { force: true });
}
