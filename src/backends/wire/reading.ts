/** Vectors, ranks and counts of texts from one upstream. */

import { isRecord } from '../../base/records.js';
import { refuseField } from '../../chat/refusals.js';
import type {
  EmbedRequest,
  EmbedResult,
  RankRequest,
  RankResult,
  TextRequest,
} from '../../chat/request.js';
import type { BackendDescriptor } from '../descriptor.js';
import type { UpstreamClient } from './http.js';
import { wireRequest } from './request.js';
import { type SilenceOptions, whileAlive } from './silence.js';
import { countOf, fieldOf, listOf } from './values.js';

export interface ReadOptions extends SilenceOptions {
  readonly client: UpstreamClient;
  readonly backend: BackendDescriptor;
  readonly model: string;
  readonly signal: AbortSignal;
}

/**
 * Vectors of texts, each of length 1.
 * @throws {PacelineError} `network` for an answer that is none; what the upstream answers.
 */
export async function embedOnWire(
  { texts, dimensions }: EmbedRequest,
  options: ReadOptions,
): Promise<EmbedResult> {
  const began = performance.now();
  const { client, model } = options;
  const body = {
    model,
    input: texts.length === 1 ? texts[0] : texts,
    encoding_format: 'float',
    ...(dimensions === undefined ? {} : { dimensions }),
  };
  const answer = await posted('/v1/embeddings', body, options);
  const entries = listOf(fieldOf(answer, 'data'));
  const vectors: Float32Array[] = [];
  for (const [place, entry] of entries.entries()) {
    const index = countOf(fieldOf(entry, 'index')) ?? place;
    const values = listOf(fieldOf(entry, 'embedding'));
    if (values.length === 0 || !values.every((value) => typeof value === 'number')) {
      throw client.broken('a vector holds something else than numbers');
    }
    if (dimensions !== undefined && values.length < dimensions) {
      throw refuseField(
        'dimensions',
        `The model's vectors have ${values.length} dimensions`,
        `Ask for at most ${values.length}.`,
      );
    }
    // Some engines give whole vectors whatever is asked.
    vectors[index] = normalised((values as readonly number[]).slice(0, dimensions));
  }
  if (entries.length !== texts.length || vectors.length !== texts.length) {
    throw client.broken(`it made ${entries.length} vectors of ${texts.length} texts`);
  }
  const tokens = countOf(fieldOf(fieldOf(answer, 'usage'), 'prompt_tokens')) ?? 0;
  return { vectors, tokens, milliseconds: performance.now() - began };
}

function normalised(values: readonly number[]): Float32Array {
  const length = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  return Float32Array.from(values, (value) => (length > 0 ? value / length : 0));
}

/** Documents, the best first. @throws as `embedOnWire` */
export async function rankOnWire(
  { query, documents }: RankRequest,
  options: ReadOptions,
): Promise<RankResult> {
  const began = performance.now();
  const { client, model } = options;
  const answer = await posted('/v1/rerank', { model, query, documents }, options);
  const results = listOf(fieldOf(answer, 'results')).map((entry) => {
    const index = countOf(fieldOf(entry, 'index'));
    const score = fieldOf(entry, 'relevance_score');
    if (index === undefined || index >= documents.length || typeof score !== 'number') {
      throw client.broken('a rank has no index or no score');
    }
    return { index, score };
  });
  results.sort((a, b) => b.score - a.score);
  const usage = fieldOf(answer, 'usage');
  const tokens =
    countOf(fieldOf(usage, 'prompt_tokens')) ?? countOf(fieldOf(usage, 'total_tokens'));
  return { results, tokens: tokens ?? 0, milliseconds: performance.now() - began };
}

/** Tokens of a prompt: the upstream's own count, or what it says of a text of one token. */
export async function countOnWire(request: TextRequest, options: ReadOptions): Promise<number> {
  const { client, backend, model } = options;
  const support = backend.fields.count_tokens;
  const short = { ...request, settings: { maxTokens: 1 }, choices: 1 };
  const { path, body } = wireRequest(short, { backend, model, choice: 0 });
  const chat = request.input.type === 'chat';
  if (support.by === 'backend' && chat) {
    const { messages, tools, chat_template_kwargs: variables } = body;
    const question = {
      model,
      messages,
      ...(tools === undefined ? {} : { tools }),
      ...(variables === undefined ? {} : { chat_template_kwargs: variables }),
    };
    const answer = await posted(support.as, question, options);
    const count = isRecord(answer) ? (answer.count ?? answer.input_tokens) : undefined;
    const tokens = countOf(count);
    if (tokens === undefined) throw client.broken(`${support.as} did not answer with a count`);
    return tokens;
  }
  const { stream_options: _, stream: __, ...whole } = body;
  const answer = await posted(path, { ...whole, stream: false }, options);
  const tokens = countOf(fieldOf(fieldOf(answer, 'usage'), 'prompt_tokens'));
  if (tokens === undefined) throw client.broken('it does not count prompts');
  return tokens;
}

/** The JSON that a route answers a body with. @throws as `UpstreamClient.json` and `whileAlive` */
function posted(path: string, body: unknown, options: ReadOptions): Promise<unknown> {
  const { client } = options;
  return whileAlive({ ...options, broken: (what) => client.broken(what) }, (signal) =>
    client.json('POST', path, body, { signal }),
  );
}
