/** Asks the server for answers and continuations, and writes down what comes. */
import { getActivity, lines, request } from '../data/api.js';
import { newId, windowId } from '../data/browser.js';
import { RunList } from '../lib/runs.js';
import { requestFields } from '../lib/settings.js';
import {
  type Conversation,
  messagesOf,
  pathTo,
  type Turn,
  type TurnReport,
  titleOf,
  withTurn,
} from '../lib/tree.js';
import { type Chunk, eventData } from '../lib/wire.js';
import { LiveAnswer } from './live.js';
import { announcement, current, lives, lookNow, model, say, setLive, update } from './store.js';

/** An answer under way is written down so often, so that a page that is left loses little. */
const keepEveryMs = 1500;

/** The tools that a person wrote. @throws Error when they are no list */
export function readTools(text: string): readonly unknown[] {
  if (text.trim() === '') return [];
  let tools: unknown;
  try {
    tools = JSON.parse(text);
  } catch (error) {
    throw new Error(`The tools are no JSON: ${error instanceof Error ? error.message : error}`);
  }
  if (!Array.isArray(tools)) throw new Error('The tools must be a JSON list');
  return tools.map((tool) =>
    typeof tool === 'object' && tool !== null && 'function' in tool
      ? tool
      : { type: 'function', function: tool },
  );
}

/** The body that asks for the answer behind `parent`. @throws as `readTools` */
export function chatBody(conversation: Conversation, parent: string | undefined): object {
  const { system, settings, turns, tools } = conversation;
  const given = readTools(tools);
  return {
    model: nameOf(conversation),
    messages: messagesOf(system, pathTo(turns, parent)),
    ...(given.length > 0 ? { tools: given } : {}),
    ...requestFields(settings),
    prompt_cache_key: conversation.id,
  };
}

function nameOf(conversation: Conversation): string {
  return conversation.model ?? model.value?.id ?? 'default';
}

/** Says something, and has it answered. */
export async function send(
  conversation: Conversation,
  said: Pick<Turn, 'role' | 'text' | 'files' | 'callId'> & { readonly parent: string | undefined },
): Promise<void> {
  const turn: Turn = { ...said, id: newId(), createdAt: Date.now(), state: 'done' };
  await update(conversation.id, (old) => withTurn(old, turn));
  await answer(conversation.id, turn.id);
}

/** Has the turn `parent` answered, beside the answers that it has. */
export async function answer(conversationId: string, parent: string): Promise<void> {
  const conversation = current.value;
  if (conversation?.id !== conversationId) return;
  const turn: Turn = {
    id: newId(),
    parent,
    role: 'assistant',
    text: '',
    createdAt: Date.now(),
    state: 'streaming',
    window: windowId(),
  };
  const live = new LiveAnswer(nameOf(conversation));
  const { system, settings, tools } = conversation;
  live.report = { ...live.report, asked: { system, settings, tools } };
  setLive(turn.id, live);
  await update(conversationId, (old) => withTurn(old, turn));
  const keep = (state: Turn['state'], error?: string): Promise<void> =>
    update(conversationId, (old) =>
      withTurn(old, filled(turn, live, state, error), { stay: true }),
    );
  try {
    await stream('/v1/chat/completions', chatBody(conversation, parent), live, () =>
      keep('streaming'),
    );
    await keep('done');
    announcement.value = `Answer complete, ${live.report.tokens ?? live.tokens} tokens`;
  } catch (error) {
    await keep(live.abort.signal.aborted ? 'cut' : 'failed', explanation(error, live));
    announcement.value = live.abort.signal.aborted ? 'Answer stopped' : 'The answer failed';
  } finally {
    live.finished = true;
    setLive(turn.id, undefined);
    lookNow();
  }
}

function filled(turn: Turn, live: LiveAnswer, state: Turn['state'], error?: string): Turn {
  const { window: _, ...rest } = turn;
  const { text, reasoning, calls, runs, report } = live;
  return {
    ...rest,
    ...(state === 'streaming' ? { window: windowId() } : {}),
    text,
    state,
    runs: runs.runs.slice(),
    report,
    ...(reasoning === '' ? {} : { reasoning }),
    ...(calls.length > 0 ? { calls: calls.filter(Boolean) } : {}),
    ...(error === undefined ? {} : { error }),
  };
}

function explanation(error: unknown, live: LiveAnswer): string | undefined {
  if (live.abort.signal.aborted) return undefined;
  return error instanceof Error ? error.message : String(error);
}

/** Reads a stream into `live`. @throws what goes wrong, an abort too */
async function stream(
  path: string,
  body: object,
  live: LiveAnswer,
  keep: () => Promise<void>,
): Promise<void> {
  const { signal } = live.abort;
  announcement.value = 'Answering';
  void costs(live);
  const response = await request(path, { body: { ...body, stream: true, details: true }, signal });
  let kept = performance.now();
  for await (const batch of lines(response)) {
    for (const line of batch) {
      const data = eventData(line);
      if (data !== undefined) live.take(data as Chunk);
    }
    if (performance.now() - kept < keepEveryMs) continue;
    kept = performance.now();
    void keep();
  }
  // A connection that broke ends like an answer, but without a reason.
  if (live.report.finish === undefined) throw new Error('The connection to the server broke');
  await costs(live);
}

/** What a pass without drafts takes here, against which drafting is measured. */
async function costs(live: LiveAnswer): Promise<void> {
  try {
    const { pass_ms: passes, prompt_row_ms: row } = await getActivity(
      live.report.model,
      Number.MAX_SAFE_INTEGER,
    );
    live.report = {
      ...live.report,
      passMs: passes,
      ...(row === null ? {} : { promptTokenMs: row }),
    };
  } catch {
    // Numbers that could not be had are not shown.
  }
}

/** Continues the text of a conversation. */
export async function continueText(conversationId: string): Promise<void> {
  const conversation = current.value;
  if (conversation?.id !== conversationId || lives.value.has(conversationId)) return;
  const { text: before, runs } = conversation.draft;
  const live = new LiveAnswer(nameOf(conversation));
  setLive(conversationId, live);
  const typed = before.length - new RunList(runs).length;
  const covered = typed > 0 ? [...runs, { length: typed, typed: true } as const] : runs;
  const keep = (report: TurnReport): Promise<void> =>
    update(conversationId, (old) => ({
      ...old,
      title: old.title || titleOf(before),
      updatedAt: Date.now(),
      draft: {
        text: before + live.text,
        runs: [...covered, ...live.runs.runs],
        before: before.length,
        report,
      },
    }));
  const { max_tokens: most = usualContinuation, ...settings } = conversation.settings;
  const body = {
    model: nameOf(conversation),
    prompt: before,
    ...requestFields({ ...settings, max_tokens: most }),
    prompt_cache_key: conversationId,
  };
  try {
    await stream('/v1/completions', body, live, () => keep(live.report));
    announcement.value = `Continued by ${live.report.tokens ?? live.tokens} tokens`;
  } catch (error) {
    const why = explanation(error, live);
    if (why !== undefined) say(why, true);
    announcement.value = 'Stopped';
  } finally {
    await keep(live.report);
    live.finished = true;
    setLive(conversationId, undefined);
    lookNow();
  }
}

/** Tokens of a continuation where nobody said. */
export const usualContinuation = 200;

/** Stops what streams in the conversation that is shown. */
export function stop(): void {
  const shown = current.value;
  if (shown === undefined) return;
  for (const [key, live] of lives.value) {
    if (key === shown.id || shown.turns[key] !== undefined) live.abort.abort();
  }
}
