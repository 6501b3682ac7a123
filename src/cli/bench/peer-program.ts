/**
 * Runs in a process of its own, beside an installed node-llama-cpp: answers each line on stdin
 * (a JSON request) with one line on stdout. Keeps the model loaded, so that runs can take turns.
 * The peer is not a dependency, hence the few types below.
 */
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

interface PeerSequence {
  readonly nextTokenIndex: number;
  clearHistory(): Promise<void>;
  evaluateWithoutGeneratingNewTokens(tokens: readonly number[]): Promise<void>;
  evaluate(
    tokens: readonly number[],
    options: { readonly temperature: number; readonly yieldEogToken: boolean },
  ): AsyncGenerator<number, void, undefined>;
}

interface PeerContext {
  readonly currentThreads: number;
  getSequence(): PeerSequence;
}

interface PeerModel {
  createContext(options: {
    readonly contextSize: number;
    readonly batchSize: number;
    readonly threads: { readonly ideal: number; readonly min: number };
  }): Promise<PeerContext>;
}

interface Peer {
  getLlama(options: {
    readonly gpu: false;
    readonly build: 'never';
    readonly maxThreads: number;
    readonly logLevel: string;
  }): Promise<{
    loadModel(options: {
      readonly modelPath: string;
      readonly useMmap: boolean;
    }): Promise<PeerModel>;
  }>;
}

interface Request {
  readonly prompt: readonly number[];
  readonly generate: number;
}

/** Times of one run in milliseconds. */
export interface PeerAnswer {
  readonly prefillMs: number;
  readonly decodeMs: number;
  readonly tokens: number;
}

async function main(entry: string, modelPath: string, threads: number, context: number) {
  const { getLlama } = (await import(pathToFileURL(entry).href)) as Peer;
  const llama = await getLlama({
    gpu: false,
    build: 'never',
    maxThreads: threads,
    logLevel: 'error',
  });
  const model = await llama.loadModel({ modelPath, useMmap: true });
  const peer = await model.createContext({
    contextSize: context,
    batchSize: 512,
    threads: { ideal: threads, min: threads },
  });
  const sequence = peer.getSequence();
  const answer = (value: unknown): void => {
    process.stdout.write(`${JSON.stringify(value)}\n`);
  };
  answer({ ready: true });
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line) as Request;
    answer(await measure(sequence, request));
  }
}

/** Prefills all but the last token, then generates greedily from it; the first token is warm-up. */
async function measure(sequence: PeerSequence, request: Request): Promise<PeerAnswer> {
  await sequence.clearHistory();
  const started = performance.now();
  await sequence.evaluateWithoutGeneratingNewTokens(request.prompt.slice(0, -1));
  const prefilled = performance.now();
  const last = request.prompt.slice(-1);
  let tokens = 0;
  let first = prefilled;
  let end = prefilled;
  const options = { temperature: 0, yieldEogToken: true };
  for await (const _token of sequence.evaluate(last, options)) {
    end = performance.now();
    if (tokens === 0) first = end;
    tokens++;
    if (tokens > request.generate) break;
  }
  return { prefillMs: prefilled - started, decodeMs: end - first, tokens: tokens - 1 };
}

const [entry = '', modelPath = '', threads = '1', context = '1024'] = process.argv.slice(2);
await main(entry, modelPath, Number(threads), Number(context));
process.exit(0);
