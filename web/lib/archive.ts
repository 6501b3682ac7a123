/** Conversations as a file, and back. What comes in is checked: it may come from anywhere. */
import { numberFields, readNumber, type Settings } from './settings.js';
import type { Conversation, Turn } from './tree.js';

const format = 'paceline-conversations';

export function exportConversations(conversations: readonly Conversation[]): string {
  return JSON.stringify({ format, version: 1, conversations }, undefined, 1);
}

/** The conversations of a file; those that are broken are counted and left out. @throws Error */
export function importConversations(text: string): {
  readonly conversations: readonly Conversation[];
  readonly broken: number;
} {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    throw new Error('The file is no JSON');
  }
  if (!isObject(data) || data.format !== format || !Array.isArray(data.conversations)) {
    throw new Error('The file has no conversations of this page');
  }
  if (data.version !== 1) throw new Error('The file is of a newer page');
  const read = data.conversations.map(readConversation);
  const conversations = read.filter((one) => one !== undefined);
  return { conversations, broken: read.length - conversations.length };
}

type Unknown = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Unknown {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function time(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}

function readConversation(given: unknown): Conversation | undefined {
  if (!isObject(given) || typeof given.id !== 'string' || !isObject(given.turns)) return undefined;
  const turns: Record<string, Turn> = {};
  for (const [id, value] of Object.entries(given.turns)) {
    const turn = readTurn(id, value);
    if (turn === undefined) return undefined;
    turns[id] = turn;
  }
  const draft = isObject(given.draft) ? given.draft : {};
  return {
    id: given.id,
    kind: given.kind === 'text' ? 'text' : 'chat',
    title: text(given.title),
    createdAt: time(given.createdAt),
    updatedAt: time(given.updatedAt),
    model: typeof given.model === 'string' ? given.model : undefined,
    system: text(given.system),
    tools: text(given.tools),
    settings: readSettings(given.settings),
    turns,
    leaf: typeof given.leaf === 'string' && turns[given.leaf] ? given.leaf : undefined,
    draft: { text: text(draft.text), runs: readRuns(draft.runs) },
  };
}

function readSettings(given: unknown): Settings {
  if (!isObject(given)) return {};
  const numbers = numberFields.flatMap((field) => {
    const value = readNumber(String(given[field.key] ?? ''), field);
    return value === undefined ? [] : [[field.key, value] as const];
  });
  return {
    ...Object.fromEntries(numbers),
    ...(typeof given.draft === 'string' ? { draft: given.draft } : {}),
    ...(given.thinking === 'off' ? { thinking: 'off' as const } : {}),
  };
}

const roles = ['user', 'assistant', 'tool'] as const;

function readTurn(id: string, given: unknown): Turn | undefined {
  if (!isObject(given) || typeof given.text !== 'string') return undefined;
  const role = roles.find((one) => one === given.role);
  if (role === undefined) return undefined;
  const files = list(given.files).map((file) => ({ name: text(file.name), text: text(file.text) }));
  const calls = list(given.calls).map((call) => ({
    id: text(call.id),
    name: text(call.name),
    arguments: text(call.arguments),
  }));
  return {
    id,
    parent: typeof given.parent === 'string' ? given.parent : undefined,
    role,
    text: given.text,
    createdAt: time(given.createdAt),
    state: given.state === 'done' ? 'done' : given.state === 'failed' ? 'failed' : 'cut',
    ...(files.length > 0 ? { files } : {}),
    ...(calls.length > 0 ? { calls } : {}),
    ...(typeof given.reasoning === 'string' ? { reasoning: given.reasoning } : {}),
    ...(typeof given.callId === 'string' ? { callId: given.callId } : {}),
    ...(typeof given.error === 'string' ? { error: given.error } : {}),
    ...(given.runs === undefined ? {} : { runs: readRuns(given.runs) }),
  };
}

function list(given: unknown): readonly Unknown[] {
  return Array.isArray(given) ? given.filter(isObject) : [];
}

function readRuns(given: unknown) {
  return list(given).flatMap(({ length, drafter, wrong, typed }) => {
    if (typeof length !== 'number' || !(length >= 0)) return [];
    return [
      {
        length,
        ...(typeof drafter === 'string' ? { drafter } : {}),
        ...(typed === true ? { typed: true as const } : {}),
        ...(isObject(wrong)
          ? { wrong: { drafter: text(wrong.drafter), text: text(wrong.text) } }
          : {}),
      },
    ];
  });
}
