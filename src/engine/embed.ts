/**
 * Texts to vectors: what a model makes of a text (its hidden states after the output norm), pooled as
 * the model's file says. A vector depends on its text alone, not on the others or on how passes are
 * cut. Knows nothing of generation.
 */
import { PacelineError } from '../base/errors.js';
import { show } from '../base/options.js';
import { contextOverflow } from '../cache/overflow.js';
import type { GgufFile } from '../gguf/reader.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { type Checked, checkEmbedOptions } from './options.js';
import type { Runtime } from './runtime.js';
import type { Text } from './text.js';
import type { Embeddings, EmbedOptions, Pooling } from './types.js';

/** Values of `pooling_type` in GGUF, as llama.cpp numbers them. */
const poolings: readonly (Pooling | 'none' | 'rank')[] = ['none', 'mean', 'cls', 'last', 'rank'];

/**
 * Rows of a pass: few, since texts that are generated meanwhile wait for it; all where rows see those
 * after them.
 */
const causalRows = 128;

/**
 * How a model's file wants hidden states pooled; undefined: it does not say.
 * @throws {PacelineError} `broken-file` for a number that is none of those known.
 */
export function poolingOf(file: GgufFile): Pooling | 'rank' | undefined {
  const architecture = file.optionalString('general.architecture');
  const type = file.optionalNumber(`${architecture}.pooling_type`);
  if (type === undefined) return undefined;
  const pooling = poolings[type];
  if (pooling !== undefined) return pooling === 'none' ? undefined : pooling;
  throw new PacelineError('broken-file', `${architecture}.pooling_type is ${type}`, {
    hint: 'Known are 0 (none), 1 (mean), 2 (first), 3 (last) and 4 (rank).',
  });
}

/**
 * Vectors of length 1, one a text.
 * @throws {PacelineError} `usage`, `context-overflow`, `aborted`, `memory`, `busy`, `disposed`;
 *   `platform` for a model that ranks texts.
 */
export async function embed(
  runtime: Runtime,
  pooling: Pooling | 'rank' | undefined,
  texts: readonly (string | readonly number[])[],
  given: EmbedOptions,
): Promise<Embeddings> {
  const options = checkEmbedOptions(given);
  if (!Array.isArray(texts)) {
    throw new PacelineError('usage', `embed needs an array of texts, not ${show(texts)}`);
  }
  if (pooling === 'rank') {
    throw new PacelineError('platform', 'The model ranks texts, and makes no vectors of them');
  }
  const width = runtime.model.hyperparameters.embeddingLength;
  if (runtime.model.hiddenLength !== width) {
    throw new PacelineError(
      'platform',
      'The residual of this model has several streams: no vectors',
      {
        hint: 'Use another model for embeddings.',
      },
    );
  }
  const { dimensions = width, onProgress } = options;
  if (dimensions > width) {
    throw new PacelineError('usage', `The model's vectors have ${width} dimensions`, {
      hint: `Ask for at most ${width}.`,
      details: { param: 'dimensions' },
    });
  }
  const { tokenizer } = runtime;
  const inputs = texts.map((text) => tokensOf(tokenizer, text));
  const kind = options.pooling ?? pooling ?? (runtime.model.causal ? 'last' : 'mean');
  const vectors: Float32Array[] = [];
  const total = inputs.reduce((sum, { length }) => sum + length, 0);
  let done = 0;
  const text = runtime.createInput();
  try {
    for (const tokens of inputs) {
      text.truncate(0);
      const pooled = await pool(runtime, text, tokens, { ...options, pooling: kind });
      vectors.push(normalised(pooled.subarray(0, dimensions)));
      done += tokens.length;
      onProgress?.({ task: 'embedding', done, total, unit: 'tokens' });
    }
  } finally {
    runtime.release(text);
  }
  return { vectors, tokens: total, pooling: kind };
}

function tokensOf(tokenizer: Tokenizer, text: string | readonly number[]): readonly number[] {
  const tokens =
    typeof text === 'string'
      ? tokenizer.encode(text, { addSpecial: true, parseSpecial: true })
      : text;
  const isToken = (id: unknown): boolean =>
    Number.isInteger(id) && Number(id) >= 0 && Number(id) < tokenizer.vocabSize;
  if (!Array.isArray(tokens) || !tokens.every(isToken)) {
    throw new PacelineError('usage', `A text must be a string or token ids, not ${show(text)}`, {
      hint: `Token ids are whole numbers from 0 to ${tokenizer.vocabSize - 1}.`,
    });
  }
  const start = tokenizer.bosId ?? tokenizer.eosId;
  if (tokens.length > 0) return tokens;
  if (start !== undefined) return [start];
  throw new PacelineError('usage', 'A text is empty, and the model has no token to begin with');
}

/** One vector [embedding] of a text. */
async function pool(
  runtime: Runtime,
  text: Text,
  tokens: readonly number[],
  options: Checked<EmbedOptions> & { readonly pooling: Pooling },
): Promise<Float32Array> {
  const { pooling, signal } = options;
  const { contextLength } = runtime;
  if (tokens.length > contextLength) throw contextOverflow(tokens.length, contextLength);
  const passRows = runtime.model.causal ? causalRows : tokens.length;
  let sum: Float64Array | undefined;
  for (let start = 0; start < tokens.length; start += passRows) {
    const part = tokens.slice(start, start + passRows);
    const isLast = start + passRows >= tokens.length;
    const wanted = pooling === 'last' ? Number(isLast) : part.length;
    const features = wanted > 0 ? { hidden: true, rows: wanted } : undefined;
    const { hidden } = await runtime.run(text, part, { features, signal });
    if (hidden === undefined) continue;
    const { rows, width, data } = hidden;
    if (pooling === 'cls') {
      if (start === 0) sum = Float64Array.from(data.subarray(0, width));
      continue;
    }
    sum ??= new Float64Array(width);
    for (let row = 0; row < rows; row++) {
      for (let i = 0; i < width; i++) sum[i] = (sum[i] ?? 0) + (data[row * width + i] ?? 0);
    }
  }
  if (sum === undefined) throw new PacelineError('internal', 'A pass gave no hidden states');
  return Float32Array.from(sum);
}

/** The vector with length 1; a mean needs no division before. A vector of zeros stays one. */
function normalised(vector: Float32Array): Float32Array {
  let squares = 0;
  for (const value of vector) squares += value * value;
  const length = Math.sqrt(squares);
  return length > 0 ? vector.map((value) => value / length) : vector.slice();
}
