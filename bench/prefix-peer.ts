/**
 * node-llama-cpp as a peer of `bench/prefix.ts`, with its own files of a sequence's state. Imported, it
 * starts itself as a program beside the installed peer and talks to it in lines of JSON.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';

interface PeerSequence {
  readonly nextTokenIndex: number;
  adaptStateToTokens(tokens: readonly number[], allowShift: boolean): Promise<void>;
  evaluateWithoutGeneratingNewTokens(tokens: readonly number[]): Promise<void>;
  evaluate(
    tokens: readonly number[],
    options: { readonly temperature: number; readonly yieldEogToken: boolean },
  ): AsyncGenerator<number, void, undefined>;
  saveStateToFile(path: string): Promise<{ readonly fileSize: number }>;
  loadStateFromFile(path: string, risk: { readonly acceptRisk: true }): Promise<void>;
}

interface Peer {
  getLlama(options: {
    readonly gpu: false;
    readonly build: 'never';
    readonly maxThreads: number;
    readonly logLevel: string;
  }): Promise<{
    loadModel(options: { readonly modelPath: string; readonly useMmap: boolean }): Promise<{
      createContext(options: {
        readonly contextSize: number;
        readonly sequences: number;
        readonly batchSize: number;
        readonly threads: { readonly ideal: number; readonly min: number };
      }): Promise<{ getSequence(): PeerSequence }>;
    }>;
  }>;
}

interface Request {
  /** Which sequence. */
  readonly at: number;
  /** Read into it before. */
  readonly load?: string;
  /** Up to its first token, unless it is empty. */
  readonly prompt: readonly number[];
  /** Written from it afterwards. */
  readonly save?: string;
}

export interface PeerTimes {
  readonly loadMs: number;
  /** From the loaded state to the first token. */
  readonly firstMs: number;
  readonly cachedTokens: number;
  readonly saveMs: number;
  readonly fileBytes: number;
}

export interface PeerSettings {
  /** The entry of the installed package. */
  readonly entry: string;
  readonly model: string;
  readonly threads: number;
  /** Of each sequence. */
  readonly context: number;
  readonly sequences: number;
}

/** A process of the peer with one model loaded. */
export class StatePeer implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    if (child.stdout === null) throw new Error('The peer’s output is not connected');
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  static async start(settings: PeerSettings): Promise<StatePeer> {
    const own = fileURLToPath(import.meta.url);
    const args = ['--import', import.meta.resolve('tsx'), own, JSON.stringify(settings)];
    const peer = new StatePeer(
      spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] }),
    );
    await peer.#answer();
    return peer;
  }

  async run(request: Request): Promise<PeerTimes> {
    this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
    return (await this.#answer()) as PeerTimes;
  }

  async #answer(): Promise<unknown> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done === true) throw new Error('node-llama-cpp ended early');
      if (value.startsWith('{')) return JSON.parse(value) as unknown;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.stdin?.end();
    if (this.#child.exitCode === null) await closed;
  }
}

async function main({ entry, model, threads, context, sequences }: PeerSettings): Promise<void> {
  const { getLlama } = (await import(pathToFileURL(entry).href)) as Peer;
  const llama = await getLlama({
    ...{ gpu: false, build: 'never', maxThreads: threads, logLevel: 'error' },
  });
  const loaded = await llama.loadModel({ modelPath: model, useMmap: true });
  const peer = await loaded.createContext({
    ...{ contextSize: context, sequences, batchSize: 512 },
    threads: { ideal: threads, min: threads },
  });
  const all = Array.from({ length: sequences }, () => peer.getSequence());
  const answer = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`);
  answer({ ready: true });
  for await (const line of createInterface({ input: process.stdin })) {
    const { at, load, prompt, save } = JSON.parse(line) as Request;
    const sequence = all[at] as PeerSequence;
    const began = performance.now();
    if (load !== undefined) await sequence.loadStateFromFile(load, { acceptRisk: true });
    const there = performance.now();
    const cachedTokens = prompt.length === 0 ? 0 : await firstToken(sequence, prompt);
    const first = performance.now();
    const saved = save === undefined ? undefined : await sequence.saveStateToFile(save);
    const end = performance.now();
    answer({
      ...{ loadMs: there - began, firstMs: first - there, cachedTokens, saveMs: end - first },
      fileBytes: saved?.fileSize ?? 0,
    });
  }
}

/** Evaluates what is new of a prompt, up to its first token; how many tokens were there. */
async function firstToken(sequence: PeerSequence, prompt: readonly number[]): Promise<number> {
  await sequence.adaptStateToTokens(prompt.slice(0, -1), false);
  const cached = sequence.nextTokenIndex;
  const rest = prompt.slice(cached, -1);
  if (rest.length > 0) await sequence.evaluateWithoutGeneratingNewTokens(rest);
  const options = { temperature: 0, yieldEogToken: true };
  for await (const _ of sequence.evaluate(prompt.slice(-1), options)) break;
  return cached;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main(JSON.parse(process.argv[2] ?? '') as PeerSettings);
  process.exit(0);
}
