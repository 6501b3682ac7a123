/**
 * The peer to measure against: node-llama-cpp, installed into the user's cache folder when first
 * needed (only its CPU package, and the one of the card that is measured), and run in a process of its own.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { PacelineError } from '../base/errors.js';
import { removeLeftovers } from '../base/leftovers.js';
import type { PeerAnswer } from './peer-program.js';

/** The version that is measured against. */
export const peerVersion = '3.22.1';

const platformPackages: Readonly<Record<string, string>> = {
  'linux-x64': 'linux-x64',
  'linux-arm64': 'linux-arm64',
  'darwin-arm64': 'mac-arm64-metal',
  'darwin-x64': 'mac-x64',
  'win32-x64': 'win-x64',
  'win32-arm64': 'win-arm64',
};

/** What the peer computes on: the build of a card's library, or the CPU. */
export type PeerDevice = 'cuda' | 'vulkan' | 'metal' | undefined;

/** The packages of a card's library. */
function cardPackages(platform: string, device: PeerDevice): readonly string[] {
  if (device === undefined || device === 'metal') return [];
  const name = `${platform}-${device}`;
  return device === 'cuda' ? [name, `${name}-ext`] : [name];
}

/** npm, as the one that runs us or the one on the path. */
function npm(): { command: string; args: string[]; shell: boolean } {
  const script = process.env.npm_execpath;
  if (script !== undefined && /npm-cli\.c?js$/.test(script)) {
    return { command: process.execPath, args: [script], shell: false };
  }
  const windows = process.platform === 'win32';
  return { command: windows ? 'npm.cmd' : 'npm', args: [], shell: windows };
}

/**
 * Installs the peer into `cacheFolder` unless it is there.
 * @param options `onNote` hears once what is installed and where to; `device`: for a card.
 * @returns the path of its entry module.
 * @throws {PacelineError} `network` when npm fails, `platform` where it has no package.
 */
export async function installPeer(
  cacheFolder: string,
  {
    onNote,
    signal,
    device,
  }: {
    readonly onNote: (text: string) => void;
    readonly signal?: AbortSignal;
    readonly device?: PeerDevice;
  },
): Promise<string> {
  const suffix = device === undefined ? '' : `-${device}`;
  const folder = join(cacheFolder, 'peers', `node-llama-cpp-${peerVersion}${suffix}`);
  const entry = join('node_modules', 'node-llama-cpp', 'dist', 'index.js');
  if (existsSync(join(folder, entry))) return join(folder, entry);
  const platform = platformPackages[`${process.platform}-${process.arch}`];
  if (platform === undefined) {
    throw new PacelineError('platform', `node-llama-cpp has no CPU package for this platform`, {
      hint: 'Leave out --vs.',
    });
  }
  onNote(`installing node-llama-cpp ${peerVersion} into ${folder} ...`);
  await removeLeftovers(dirname(folder), (name) => {
    const [, pid] = /^node-llama-cpp-\d+\.\d+\.\d+(?:-[a-z]+)?\.(\d+)$/.exec(name) ?? [];
    return pid === undefined ? undefined : Number(pid);
  });
  const partial = `${folder}.${process.pid}`;
  await mkdir(partial, { recursive: true });
  await writeFile(join(partial, 'package.json'), '{"private": true}\n');
  const { command, args, shell } = npm();
  const words = [
    ...args,
    'install',
    // Under `npm start` the environment points to another project.
    '--prefix',
    partial,
    `node-llama-cpp@${peerVersion}`,
    ...[platform, ...cardPackages(platform, device)].map(
      (name) => `@node-llama-cpp/${name}@${peerVersion}`,
    ),
    // Its optional packages are those of every card: hundreds of megabytes.
    '--omit=optional',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ];
  const code = await new Promise<number | null>((resolve, reject) => {
    const options = { cwd: partial, shell, stdio: ['ignore', 2, 2] as ['ignore', 2, 2] };
    const child = spawn(command, words, signal === undefined ? options : { ...options, signal });
    child.on('error', reject);
    child.on('close', resolve);
  });
  if (code !== 0) {
    await rm(partial, { recursive: true, force: true });
    throw new PacelineError('network', `npm could not install node-llama-cpp (exit code ${code})`, {
      hint: 'Look at what npm says above; without a network, leave out --vs.',
    });
  }
  // Another process may have been faster; its folder is as good.
  if (!existsSync(folder)) await rename(partial, folder);
  else await rm(partial, { recursive: true, force: true });
  return join(folder, entry);
}

export interface PeerRunOptions {
  readonly temperature?: number;
  readonly seed?: number;
  /** Most tokens of its input lookup, 0 for its default; left out: no drafting. */
  readonly lookup?: number;
  /** What it is made to say, if given. */
  readonly written?: readonly number[] | undefined;
}

/** A running peer with one model loaded. */
export class PeerProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;
  #errors = '';

  private constructor(child: ChildProcess) {
    this.#child = child;
    const { stdout, stderr } = child;
    if (stdout === null || stderr === null) {
      throw new PacelineError('internal', 'The peer’s output is not connected');
    }
    this.#reader = createInterface({ input: stdout });
    this.#lines = this.#reader[Symbol.asyncIterator]();
    stderr.on('data', (chunk: Buffer) => {
      this.#errors = `${this.#errors}${chunk}`.slice(-2000);
    });
  }

  /** Starts the peer and waits until it has loaded the model. */
  static async start(options: {
    readonly entry: string;
    readonly model: string;
    readonly threads: number;
    readonly context: number;
    readonly device?: PeerDevice;
  }): Promise<PeerProcess> {
    const { entry, model, threads, context, device = '' } = options;
    // The same extension as this module: from sources, tsx runs the program as it runs us.
    const own = import.meta.url;
    const program = fileURLToPath(new URL(`./peer-program${extname(own)}`, own));
    const loader = extname(own) === '.ts' ? ['--import', import.meta.resolve('tsx')] : [];
    const child = spawn(
      process.execPath,
      [...loader, program, entry, model, String(threads), String(context), device],
      { stdio: ['pipe', 'pipe', 'pipe'] },
    );
    const peer = new PeerProcess(child);
    await peer.#answer();
    return peer;
  }

  /** Number of its process. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  async #answer(): Promise<unknown> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done === true) {
        throw new PacelineError('platform', 'node-llama-cpp ended early', {
          hint: this.#errors.trim() || 'It printed nothing.',
        });
      }
      // Its own messages may get between the answers.
      if (value.startsWith('{')) return JSON.parse(value) as unknown;
    }
  }

  /** One run: prefill of the prompt, then generation, greedy unless told otherwise. */
  async run(
    prompt: readonly number[],
    generate: number,
    options: PeerRunOptions = {},
  ): Promise<PeerAnswer> {
    const request = { prompt, generate, temperature: 0, seed: 0, ...options };
    this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
    return (await this.#answer()) as PeerAnswer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin?.end();
    if (this.#child.exitCode === null) {
      await new Promise<void>((resolve) => {
        this.#child.once('close', () => resolve());
      });
    }
    this.#reader.close();
  }
}
