/** One text from one upstream: the request in its words, its stream as our events, and what it owes checked. */
import { PacelineError } from '../../base/errors.js';
import { isRecord } from '../../base/records.js';
import type { TextEvent } from '../../chat/events.js';
import { messageForms } from '../../chat/message-forms.js';
import { refuseField } from '../../chat/refusals.js';
import type { TextRequest } from '../../chat/request.js';
import type { BackendDescriptor } from '../descriptor.js';
import { AnswerReader, notHeld } from './answer.js';
import { BodyReader } from './body.js';
import { checkableFormat, checkableTools, keepsFormat, keepsParameters } from './check.js';
import type { Answer, UpstreamClient } from './http.js';
import { isTemplateFailure } from './messages.js';
import { type Reading, type WireRequest, wireRequest } from './request.js';
import { type SilenceOptions, watchSilence, whileAlive } from './silence.js';
import { EventReader } from './sse.js';

export interface WireRunOptions extends SilenceOptions {
  readonly client: UpstreamClient;
  readonly backend: BackendDescriptor;
  /** What the upstream calls the model. */
  readonly model: string;
  readonly choice: number;
  readonly signal: AbortSignal;
  /** Told when the upstream has accepted the request. */
  readonly onAccepted?: () => void;
}

/**
 * Runs one choice of a request and yields its events.
 * @throws {PacelineError} `usage` naming what the backend can't serve; `context-overflow`; `network`,
 *   `busy` and `unavailable` with `details.retryable` where nothing was wrong with the request;
 *   `check-failed` for an answer that is not what it was held to; `aborted`.
 */
export async function* runOnWire(
  request: TextRequest,
  options: WireRunOptions,
): AsyncGenerator<readonly TextEvent[], void> {
  const { client, choice, signal } = options;
  const { answer, wire, warnings } = await openAnswer(request, options);
  options.onAccepted?.();
  const broken = (what: string, cause?: unknown): PacelineError => client.broken(what, cause);
  const { seed } = request.settings;
  const reader = new AnswerReader({
    reading: wire.reading,
    choice,
    seed: seed === undefined || seed < 0 ? undefined : seed + choice,
    engine: `${options.backend.name} ${new URL(client.url).host}`,
    broken,
  });
  const body = new BodyReader(answer.body, broken);
  const stopWatching = watchSilence(
    options,
    () => body.lastAt,
    (what) => body.fail(broken(what)),
  );
  const events = new EventReader();
  let complete = false;
  try {
    while (!complete) {
      const pieces = await body.next();
      if (pieces === undefined) break;
      const batch: TextEvent[] = [];
      for (const data of dataOf(pieces, events, broken)) {
        if (data === '[DONE]') {
          complete = true;
          break;
        }
        batch.push(...reader.push(parsed(data, broken)));
        if (reader.cut) break;
      }
      if (batch.length > 0) yield batch;
      if (reader.cut) break;
    }
    const last = reader.finish();
    // The end is not told before what it says has been checked.
    const end = last.at(-1);
    const before = last.slice(0, -1);
    if (before.length > 0) yield before;
    const found = [...warnings, ...(await check(request, wire.reading, reader))];
    if (end?.type !== 'end') throw broken('the stream has no end');
    const told = [...new Set([...(end.warnings ?? []), ...found])];
    yield [{ ...end, ...(told.length > 0 ? { warnings: told } : {}) }];
  } catch (error) {
    if (signal.aborted) throw new PacelineError('aborted', 'The request was given up');
    throw error;
  } finally {
    stopWatching();
    body.leave({ complete });
  }
}

/** Sends the request, in plainer forms where the upstream's template refuses the conversation. */
async function openAnswer(
  request: TextRequest,
  options: WireRunOptions,
): Promise<{
  readonly answer: Answer;
  readonly wire: WireRequest;
  /** What of the answer will not be checked. */
  readonly warnings: readonly string[];
}> {
  const { client, backend, model, choice } = options;
  const { input, format, tools } = request;
  // What can't be checked is refused by the same names as by our own engine, before anything is said.
  const warnings = [
    ...(format === undefined ? [] : await checkableFormat(format)),
    ...(tools === undefined ? [] : await checkableTools(tools.definitions)),
  ];
  let first: PacelineError | undefined;
  for (const form of input.type === 'chat' ? messageForms : [undefined]) {
    const messages =
      input.type === 'chat' ? { messages: form?.(input.messages) ?? input.messages } : {};
    const wire = wireRequest(request, { backend, model, choice, ...messages });
    const answer = await whileAlive(
      { ...options, broken: (what) => client.broken(what) },
      (together) => client.call('POST', wire.path, wire.body, { signal: together }),
    );
    if (answer.status < 400) return { answer, wire, warnings };
    const failure = await client.failureOf(answer);
    first ??= failure;
    if (answer.status >= 501 || !isTemplateFailure(failure.message)) throw failure;
  }
  throw refuseField('messages', first?.message ?? 'The conversation was refused');
}

function* dataOf(
  pieces: readonly Buffer[],
  events: EventReader,
  broken: (what: string, cause?: unknown) => PacelineError,
): Generator<string, void> {
  for (const piece of pieces) {
    try {
      yield* events.push(piece);
    } catch (error) {
      if (error instanceof RangeError) throw broken(error.message);
      throw error;
    }
  }
}

function parsed(data: string, broken: (what: string, cause?: unknown) => PacelineError): unknown {
  try {
    return JSON.parse(data);
  } catch (cause) {
    throw broken(`an event is no JSON: ${JSON.stringify(data.slice(0, 100))}`, cause);
  }
}

/**
 * Whether the text is what it was held to; gives what is not quite, in sentences.
 * @throws {PacelineError} `check-failed`
 */
async function check(
  request: TextRequest,
  { format, kind }: Reading,
  reader: AnswerReader,
): Promise<readonly string[]> {
  const { tools } = request;
  const reason = reader.endReason;
  if (reason === 'length' || reason === 'stop-text') return [];
  const { calls, whole } = reader;
  if (tools !== undefined && calls.length === 0) {
    const { choice } = tools;
    if (choice.type === 'required' || choice.type === 'named') {
      throw notHeld('a call of a tool is required, and the upstream made none');
    }
  }
  const warnings: string[] = [];
  for (const call of calls) {
    if (tools?.choice.type === 'named' && call.name !== tools.choice.name) {
      throw notHeld(`${tools.choice.name} was to be called, and the upstream called ${call.name}`);
    }
    const tool = tools?.definitions.find(({ name }) => name === call.name);
    if (!isJsonObject(call.arguments)) {
      throw notHeld(`the arguments of the call of ${call.name} are no JSON object`);
    }
    if (tool === undefined || (await keepsParameters(call.arguments, tool))) continue;
    const what = `the arguments of the call of ${call.name} do not keep to its schema`;
    if (tool.strict === true || kind !== 'text') throw notHeld(what);
    warnings.push(`The upstream does not enforce schemas of tools here: ${what}.`);
  }
  if (format !== undefined && calls.length === 0 && !(await keepsFormat(whole, format))) {
    throw notHeld('the text does not keep to the response format');
  }
  return warnings;
}

function isJsonObject(text: string): boolean {
  try {
    return isRecord(JSON.parse(text === '' ? '{}' : text));
  } catch {
    return false;
  }
}
