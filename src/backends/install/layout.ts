/**
 * Where installed backends are: for each a folder in the user's data folder, with
 *   `installed.json`        the receipt: what is installed, and in which of the folders beside it
 *   `<variant>-<pid>-<hex>` an installation, whole if the receipt names it, else unfinished or replaced
 *   `downloads/<sha256>`    parts of archives on their way
 *   `lock`                  held by whoever changes any of this
 * A new installation grows beside the old one, and takes its place when the receipt is renamed.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { PacelineError } from '../../base/errors.js';
import { writeError, writeFileAtomically } from '../../base/files.js';
import { dataFolder } from '../../base/paths.js';
import type { BackendName } from '../descriptor.js';
import { processesIn } from './processes.js';

/** What is installed. */
export interface Receipt {
  readonly version: 1;
  readonly variant: string;
  /** Of the engine; of archives, the release's tag. */
  readonly release: string;
  /** The chip that an archive was chosen for. */
  readonly chip?: string;
  /** Name of the folder beside the receipt. */
  readonly folder: string;
  /** Relative to the folder; what follows are arguments that always come first. */
  readonly program: readonly [string, ...string[]];
  /** Variables that it needs; `{folder}` stands for its folder. */
  readonly environment: Readonly<Record<string, string>>;
  /** What tells one plan of an installation from another. */
  readonly fingerprint: string;
  /** On the disk, when it was installed. */
  readonly bytes: number;
  readonly installed: string;
}

export class BackendFolder {
  readonly path: string;

  /** @param data the data folder, for tests. */
  constructor(name: BackendName, data: string = dataFolder()) {
    this.path = join(data, 'backends', name);
  }

  get lock(): string {
    return join(this.path, 'lock');
  }

  get downloads(): string {
    return join(this.path, 'downloads');
  }

  get #receipt(): string {
    return join(this.path, 'installed.json');
  }

  /** Makes a folder for a new installation; its name has this process in it. */
  async make(variant: string): Promise<{ name: string; path: string }> {
    const name = `${variant}-${process.pid}-${randomBytes(4).toString('hex')}`;
    const path = join(this.path, name);
    try {
      await mkdir(path, { recursive: true });
    } catch (error) {
      throw writeError(path, error);
    }
    return { name, path };
  }

  /**
   * What is installed; undefined: nothing.
   * @throws {PacelineError} `broken-file` when the receipt is none, `io`.
   */
  async receipt(): Promise<Receipt | undefined> {
    let text: string;
    try {
      text = await readFile(this.#receipt, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw new PacelineError('io', `Cannot read ${this.#receipt}: ${(error as Error).message}`, {
        hint: 'Check the rights of the file.',
        details: { file: this.#receipt },
        cause: error,
      });
    }
    const receipt = receiptOf(text);
    if (receipt !== undefined) return receipt;
    throw new PacelineError('broken-file', `${this.#receipt} does not say what is installed`, {
      hint: 'Remove the file, then install the backend again.',
      details: { file: this.#receipt },
    });
  }

  async writeReceipt(receipt: Receipt): Promise<void> {
    await writeFileAtomically(this.#receipt, async (sink) => {
      await sink.write(new TextEncoder().encode(`${JSON.stringify(receipt, undefined, 2)}\n`));
    });
  }

  /** From here on nothing is installed. */
  async removeReceipt(): Promise<void> {
    await rm(this.#receipt, { force: true });
  }

  /** Installations that the receipt does not name. */
  async unnamed(receipt: Receipt | undefined): Promise<string[]> {
    const names = await readdir(this.path).catch(() => []);
    return names.filter(
      (name) => /^[a-z0-9-]+-\d+-[0-9a-f]{8}$/.test(name) && name !== receipt?.folder,
    );
  }

  /** Bytes of interrupted work: whether there is any. */
  async hasUnfinished(receipt: Receipt | undefined): Promise<boolean> {
    const parts = await readdir(this.downloads).catch(() => []);
    return parts.length > 0 || (await this.unnamed(receipt)).length > 0;
  }

  /** Removes what the receipt does not name and nobody runs. Only for who holds the lock. */
  async removeUnnamed(receipt: Receipt | undefined): Promise<void> {
    for (const name of await this.unnamed(receipt)) {
      const path = join(this.path, name);
      if ((await processesIn(path)).length === 0) await rm(path, { recursive: true, force: true });
    }
  }
}

function receiptOf(text: string): Receipt | undefined {
  let found: Partial<Receipt> | null;
  try {
    found = JSON.parse(text) as Partial<Receipt> | null;
  } catch {
    return undefined;
  }
  if (found === null || typeof found !== 'object' || found.version !== 1) return undefined;
  const { variant, release, folder, program, environment, fingerprint } = found;
  const texts = [variant, release, folder, fingerprint].every((value) => typeof value === 'string');
  const words = Array.isArray(program) && program.every((word) => typeof word === 'string');
  const inside = typeof folder === 'string' && /^[a-z0-9-]+$/.test(folder);
  if (!texts || !words || program.length === 0 || !inside) return undefined;
  if (environment === null || typeof environment !== 'object') return undefined;
  return found as Receipt;
}
