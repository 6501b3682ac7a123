/**
 * A conversation as a tree: every edit and every new answer is a sibling, so that nothing that was said
 * is ever lost. Pure functions over plain data; what is shown is the path to one leaf.
 */
import type { Run } from './runs.js';
import type { Settings } from './settings.js';

export interface AttachedFile {
  readonly name: string;
  readonly text: string;
}

export interface ToolCall {
  readonly id: string;
  readonly name: string;
  /** JSON text. */
  readonly arguments: string;
}

/** `cut`: the page was left, or the answer was stopped. */
export type TurnState = 'done' | 'streaming' | 'cut' | 'failed';

export interface Turn {
  readonly id: string;
  readonly parent: string | undefined;
  readonly role: 'user' | 'assistant' | 'tool';
  readonly text: string;
  readonly createdAt: number;
  readonly state: TurnState;
  readonly files?: readonly AttachedFile[];
  readonly reasoning?: string;
  readonly runs?: readonly Run[];
  readonly calls?: readonly ToolCall[];
  /** Of a tool's result: the call that it answers. */
  readonly callId?: string;
  readonly error?: string;
  /** While it streams: the window that it streams into. */
  readonly window?: string;
  readonly report?: TurnReport;
}

/** What the server told of an answer. */
export interface TurnReport {
  readonly model: string;
  /** What the answer was asked with. */
  readonly asked?: Pick<Conversation, 'system' | 'settings' | 'tools'>;
  readonly finish?: string;
  readonly seed?: number;
  readonly promptTokens?: number;
  readonly cachedTokens?: number;
  readonly cachedInMemory?: number;
  readonly prefixEnd?: string;
  readonly restoreMs?: number;
  readonly queueMs?: number;
  readonly prefillMs?: number;
  readonly decodeMs?: number;
  readonly tokens?: number;
  readonly tokensPerSecond?: number;
  /** Milliseconds of one prompt token, and of passes by their rows, as measured by the server. */
  readonly promptTokenMs?: number;
  readonly passMs?: Readonly<Record<string, number>>;
  readonly steps?: number;
  readonly drafted?: number;
  readonly accepted?: number;
  readonly byDrafter?: Readonly<
    Record<string, { readonly drafted: number; readonly accepted: number }>
  >;
  readonly controller?: ControllerReport;
  readonly failed?: Readonly<Record<string, string>>;
  /** Which engine answered, where it was not the server's own. */
  readonly engine?: string;
  readonly warnings?: readonly string[];
}

export interface ControllerReport {
  readonly pass_ms: Readonly<Record<string, number>>;
  readonly plain_steps: number;
  readonly refused_steps: number;
  readonly balance: number;
  readonly drafters: readonly {
    readonly name: string;
    readonly steps: number;
    readonly trials: number;
    readonly drafted: number;
    readonly accepted: number;
    readonly acceptance: readonly number[];
    readonly draft_ms: Readonly<Record<string, number>>;
  }[];
  readonly changes: readonly {
    readonly token: number;
    readonly choice: string;
    readonly why: string;
  }[];
}

/** A text that is continued instead of answered. */
export interface Draft {
  readonly text: string;
  readonly runs: readonly Run[];
  /** Length of the text before the last continuation. */
  readonly before?: number;
  readonly report?: TurnReport;
}

export interface Conversation {
  readonly id: string;
  readonly kind: 'chat' | 'text';
  readonly title: string;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly model: string | undefined;
  readonly system: string;
  /** A JSON list of tools, as a person wrote it. */
  readonly tools: string;
  readonly settings: Settings;
  readonly turns: Readonly<Record<string, Turn>>;
  /** The turn that the shown path leads to. */
  readonly leaf: string | undefined;
  readonly draft: Draft;
}

/** The turns from the first to `leaf`. A parent that is missing, or a circle, ends the path. */
export function pathTo(turns: Conversation['turns'], leaf: string | undefined): readonly Turn[] {
  const path: Turn[] = [];
  const seen = new Set<string>();
  for (let id = leaf; id !== undefined && !seen.has(id); ) {
    seen.add(id);
    const turn: Turn | undefined = turns[id];
    if (turn === undefined) break;
    path.unshift(turn);
    id = turn.parent;
  }
  return path;
}

/** Turns with the same parent, the oldest first. */
export function siblings(turns: Conversation['turns'], turn: Turn): readonly Turn[] {
  return Object.values(turns)
    .filter(({ parent }) => parent === turn.parent)
    .sort(byAge);
}

function byAge(a: Turn, b: Turn): number {
  return a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1);
}

/** The end of the newest path through a turn. */
export function newestLeaf(turns: Conversation['turns'], id: string): string {
  const children = new Map<string, Turn[]>();
  for (const turn of Object.values(turns)) {
    if (turn.parent === undefined) continue;
    children.set(turn.parent, [...(children.get(turn.parent) ?? []), turn]);
  }
  const seen = new Set<string>();
  let at = id;
  while (!seen.has(at)) {
    seen.add(at);
    const next = children.get(at)?.sort(byAge).at(-1);
    if (next === undefined) break;
    at = next.id;
  }
  return at;
}

/** The conversation with a turn added or replaced, and `leaf` at it unless `stay`. */
export function withTurn(
  conversation: Conversation,
  turn: Turn,
  { stay = false, now = Date.now() }: { readonly stay?: boolean; readonly now?: number } = {},
): Conversation {
  return {
    ...conversation,
    turns: { ...conversation.turns, [turn.id]: turn },
    leaf: stay ? conversation.leaf : turn.id,
    title: conversation.title || (turn.role === 'user' ? titleOf(turn.text) : ''),
    updatedAt: now,
  };
}

/** The first words of a text. */
export function titleOf(text: string): string {
  const line = text
    .trim()
    .replace(/^[#>*\-\s`]+/, '')
    .replace(/\s+/g, ' ');
  if (line.length <= 60) return line;
  return `${line.slice(0, 59).replace(/\s+\S*$/, '')}…`;
}

/**
 * Two versions of one conversation, as two windows may have: turns of both, and of the same turn
 * the one that is complete, or else says more. The rest is of the newer; the path is that of `mine`.
 */
export function merged(mine: Conversation, theirs: Conversation): Conversation {
  const turns: Record<string, Turn> = { ...theirs.turns };
  for (const [id, turn] of Object.entries(mine.turns)) {
    const other = turns[id];
    turns[id] = other === undefined ? turn : better(turn, other);
  }
  const newer = mine.updatedAt >= theirs.updatedAt ? mine : theirs;
  return { ...newer, turns, leaf: mine.leaf ?? theirs.leaf };
}

function better(a: Turn, b: Turn): Turn {
  const rank = ({ state, text }: Turn): number => (state === 'done' ? 1e12 : 0) + text.length;
  return rank(a) >= rank(b) ? a : b;
}

/** What is sent of a turn: its text, and the files that came with it. */
export function contentOf({ text, files = [] }: Turn): string {
  const parts = files.map(({ name, text: file }) => {
    const longest = Math.max(2, ...[...file.matchAll(/`{3,}/g)].map(([ticks]) => ticks.length));
    const fence = '`'.repeat(longest + 1);
    return `${name}\n${fence}\n${file.replace(/\n$/, '')}\n${fence}`;
  });
  return [...parts, text].filter((part) => part !== '').join('\n\n');
}

/** Messages of a path, as the server takes them. */
export function messagesOf(system: string, path: readonly Turn[]): readonly object[] {
  const said = path.map((turn) => {
    const content = contentOf(turn);
    if (turn.role === 'tool') return { role: 'tool', content, tool_call_id: turn.callId ?? '' };
    if (turn.role === 'user') return { role: 'user', content };
    const { reasoning, calls = [] } = turn;
    return {
      role: 'assistant',
      content,
      ...(reasoning ? { reasoning_content: reasoning } : {}),
      ...(calls.length > 0
        ? {
            tool_calls: calls.map(({ id, name, arguments: text }) => ({
              id,
              type: 'function',
              function: { name, arguments: text },
            })),
          }
        : {}),
    };
  });
  return system.trim() === '' ? said : [{ role: 'system', content: system }, ...said];
}
