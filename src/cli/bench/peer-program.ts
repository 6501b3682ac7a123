/**
 * Runs in a process of its own, beside an installed node-llama-cpp: answers each line on stdin
 * (a JSON request) with one line on stdout. Keeps the model loaded, so that runs can take turns.
 * The peer is not a dependency, hence the few types below.
 */
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

interface PeerPredictor {
  updateInputTokens(tokens: readonly number[]): void;
}

interface PeerSequence {
  readonly nextTokenIndex: number;
  readonly tokenPredictions: { readonly validated: number; readonly refuted: number };
  evaluateWithoutGeneratingNewTokens(tokens: readonly number[]): Promise<void>;
  evaluate(
    tokens: readonly number[],
    options: {
      readonly temperature: number;
      readonly seed: number;
      readonly topP: number;
      readonly topK: number;
      readonly yieldEogToken: boolean;
    },
  ): AsyncGenerator<number, void, undefined>;
  dispose(): void;
}

interface PeerContext {
  readonly currentThreads: number;
  getSequence(options?: { readonly tokenPredictor: PeerPredictor }): PeerSequence;
}

interface PeerModel {
  createContext(options: {
    readonly contextSize: number;
    readonly batchSize: number;
    readonly threads: { readonly ideal: number; readonly min: number };
  }): Promise<PeerContext>;
}

interface Peer {
  readonly InputLookupTokenPredictor: new (options: {
    readonly predictionLength?: { readonly max: number };
  }) => PeerPredictor;
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
  readonly temperature: number;
  readonly seed: number;
  /** Drafts by its lookup of the input: at most so many tokens, 0 for its default; else none. */
  readonly lookup?: number;
}

/** Times of one run in milliseconds, and what it drafted. */
export interface PeerAnswer {
  readonly prefillMs: number;
  readonly decodeMs: number;
  readonly tokens: number;
  readonly drafted: number;
  readonly accepted: number;
}

async function main(entry: string, modelPath: string, threads: number, context: number) {
  const { getLlama, InputLookupTokenPredictor } = (await import(pathToFileURL(entry).href)) as Peer;
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
  const answer = (value: unknown): void => {
    process.stdout.write(`${JSON.stringify(value)}\n`);
  };
  answer({ ready: true });
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line) as Request;
    const { lookup } = request;
    const length = lookup === 0 ? {} : { predictionLength: { max: lookup ?? 1 } };
    const predictor = lookup === undefined ? undefined : new InputLookupTokenPredictor(length);
    const sequence = peer.getSequence(
      predictor === undefined ? undefined : { tokenPredictor: predictor },
    );
    predictor?.updateInputTokens(request.prompt);
    answer(await measure(sequence, request));
    sequence.dispose();
  }
}

/** Prefills all but the last token, then generates from it; the first token is warm-up. */
async function measure(sequence: PeerSequence, request: Request): Promise<PeerAnswer> {
  const started = performance.now();
  await sequence.evaluateWithoutGeneratingNewTokens(request.prompt.slice(0, -1));
  const prefilled = performance.now();
  const last = request.prompt.slice(-1);
  let tokens = 0;
  let first = prefilled;
  let end = prefilled;
  const { temperature, seed } = request;
  const options = { temperature, seed, topP: 1, topK: 0, yieldEogToken: true };
  for await (const _token of sequence.evaluate(last, options)) {
    end = performance.now();
    if (tokens === 0) first = end;
    tokens++;
    if (tokens > request.generate) break;
  }
  const { validated, refuted } = sequence.tokenPredictions;
  return {
    prefillMs: prefilled - started,
    decodeMs: end - first,
    tokens: tokens - 1,
    drafted: validated + refuted,
    accepted: validated,
  };
}

const [entry = '', modelPath = '', threads = '1', context = '1024'] = process.argv.slice(2);
await main(entry, modelPath, Number(threads), Number(context));
process.exit(0);
