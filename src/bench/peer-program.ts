/**
 * Runs in a process of its own, beside an installed node-llama-cpp: answers each line on stdin
 * (a JSON request) with one line on stdout. Keeps the model loaded, so that runs can take turns.
 * The peer is not a dependency, hence the few types below.
 */
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

interface PeerPredictor {
  predictTokens(): number[];
  updateInputTokens(tokens: readonly number[]): void;
}

interface PeerBias {
  set(token: number, bias: { readonly logit: number }): PeerBias;
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
      readonly tokenBias?: () => PeerBias;
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
  readonly TokenBias: { for(model: PeerModel): PeerBias };
  readonly InputLookupTokenPredictor: new (options: {
    readonly predictionLength?: { readonly max: number };
  }) => PeerPredictor;
  getLlama(options: {
    readonly gpu: string | false;
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
  /** What it is made to say, if given. */
  readonly written?: readonly number[];
}

/** Times of one run in milliseconds, and what it drafted. */
export interface PeerAnswer {
  readonly prefillMs: number;
  readonly decodeMs: number;
  readonly tokens: number;
  readonly drafted: number;
  readonly accepted: number;
  /** Tokens of what was written that it said before it said another; undefined: all. */
  readonly leftAfter?: number;
}

async function main(
  entry: string,
  modelPath: string,
  threads: number,
  context: number,
  device: string,
) {
  const { getLlama, InputLookupTokenPredictor, TokenBias } = (await import(
    pathToFileURL(entry).href
  )) as Peer;
  const llama = await getLlama({
    gpu: device || false,
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
    const writer = request.written && new Writer(request.written, sequence, predictor);
    const bias = writer && (() => TokenBias.for(model).set(writer.next(), { logit: peak }));
    answer(await measure(sequence, request, bias));
    sequence.dispose();
  }
}

/** Far above any logit. */
const peak = 1e4;

/**
 * Knows which token is to be said next. The peer asks once for each row of a pass, in order; with
 * which token a pass begins follows from how many guesses of the one before it has accepted.
 */
class Writer {
  readonly #written: readonly number[];
  readonly #sequence: PeerSequence;
  #said = 0;
  #row = 0;
  #validated = 0;

  constructor(
    written: readonly number[],
    sequence: PeerSequence,
    predictor: PeerPredictor | undefined,
  ) {
    this.#written = written;
    this.#sequence = sequence;
    if (predictor === undefined) return;
    const predict = predictor.predictTokens.bind(predictor);
    predictor.predictTokens = () => {
      this.#settle();
      return predict();
    };
  }

  next(): number {
    const token = this.#written[this.#said + this.#row] ?? 0;
    this.#row++;
    return token;
  }

  /** Called between passes. */
  #settle(): void {
    if (this.#row === 0) return;
    const { validated } = this.#sequence.tokenPredictions;
    this.#said += 1 + validated - this.#validated;
    this.#validated = validated;
    this.#row = 0;
  }
}

/** Prefills all but the last token, then generates from it; the first token is warm-up. */
async function measure(
  sequence: PeerSequence,
  request: Request,
  tokenBias: (() => PeerBias) | undefined,
): Promise<PeerAnswer> {
  const started = performance.now();
  await sequence.evaluateWithoutGeneratingNewTokens(request.prompt.slice(0, -1));
  const prefilled = performance.now();
  const last = request.prompt.slice(-1);
  let tokens = 0;
  let first = prefilled;
  let end = prefilled;
  const { temperature, seed } = request;
  const plain = { temperature, seed, topP: 1, topK: 0, yieldEogToken: true };
  const options = tokenBias === undefined ? plain : { ...plain, tokenBias };
  let leftAfter: number | undefined;
  for await (const token of sequence.evaluate(last, options)) {
    end = performance.now();
    if (tokens === 0) first = end;
    if (token !== (request.written?.[tokens] ?? token)) leftAfter ??= tokens;
    tokens++;
    if (tokens > request.generate) break;
  }
  // It may also have ended early.
  if (request.written !== undefined && tokens <= request.generate) leftAfter ??= tokens;
  const { validated, refuted } = sequence.tokenPredictions;
  return {
    prefillMs: prefilled - started,
    decodeMs: end - first,
    tokens: Math.max(0, tokens - 1),
    drafted: validated + refuted,
    accepted: validated,
    ...(leftAfter === undefined ? {} : { leftAfter }),
  };
}

const [entry = '', modelPath = '', threads = '1', context = '1024', device = ''] =
  process.argv.slice(2);
await main(entry, modelPath, Number(threads), Number(context), device);
process.exit(0);
