/** What the page knows: conversations, the server, and how it is looked at. */
import { computed, effect, signal } from '@preact/signals';
import { getStatus, needsKey, RequestError } from '../data/api.js';
import type { ModelBody, StatusBody } from '../data/bodies.js';
import { newId, remember, remembered, windowId } from '../data/browser.js';
import { Database, type Summary } from '../data/database.js';
import { type Conversation, pathTo, type Turn } from '../lib/tree.js';
import type { LiveAnswer } from './live.js';

export const summaries = signal<readonly Summary[]>([]);
export const current = signal<Conversation | undefined>(undefined);
/** Answers that come now, by the turn or conversation that they are for. */
export const lives = signal<ReadonlyMap<string, LiveAnswer>>(new Map());
export const status = signal<StatusBody | undefined>(undefined);
/** Whether the server has answered lately. */
export const online = signal(true);
/** One sentence for everybody, read aloud by screen readers. */
export const notice = signal<{ readonly text: string; readonly bad: boolean } | undefined>(
  undefined,
);
/** What only screen readers are told. */
export const announcement = signal('');

export type Theme = 'auto' | 'light' | 'dark';
export const theme = signal<Theme>((remembered('theme') as Theme | undefined) ?? 'auto');
export const colours = signal(remembered('colours') !== 'off');
export type PanelTab = 'settings' | 'drafts' | 'cache' | 'memory' | 'schedule' | 'models';
export const panel = signal<PanelTab | undefined>(undefined);
export const sidebar = signal(false);
/** The turn that is looked at; undefined: the last answer. */
export const chosenTurn = signal<string | undefined>(undefined);
/** The answer that is being proved. */
export const proving = signal<Turn | undefined>(undefined);

export const models = computed<readonly ModelBody[]>(() => status.value?.models ?? []);
export const model = computed<ModelBody | undefined>(
  () => models.value.find(({ id }) => id === current.value?.model) ?? models.value[0],
);
export const path = computed<readonly Turn[]>(() => {
  const { turns = {}, leaf } = current.value ?? {};
  return pathTo(turns, leaf);
});
/** The answer whose numbers are shown. */
export const watchedTurn = computed<Turn | undefined>(() => {
  const answers = path.value.filter(({ role }) => role === 'assistant');
  return answers.find(({ id }) => id === chosenTurn.value) ?? answers.at(-1);
});

/** The model that the address asks for. */
const wantedModel = new URLSearchParams(location.search).get('model') ?? undefined;

let database: Database | undefined;

effect(() => {
  remember('theme', theme.value);
  if (theme.value === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
});
effect(() => remember('colours', colours.value ? 'on' : 'off'));

export function say(text: string, bad = false): void {
  notice.value = { text, bad };
}

/** Opens the database and the last conversation, and begins to ask the server how it is. */
export async function start(): Promise<void> {
  void watch();
  try {
    database = await Database.open();
  } catch {
    say('This browser keeps no conversations: they last as long as the page.', true);
  }
  database?.onChange(({ type, id }) => {
    if (type === 'deleted') forget(id);
    else void reload(id);
  });
  summaries.value = (await database?.summaries()) ?? [];
  const last = wantedModel === undefined ? summaries.value[0]?.id : undefined;
  const wanted = location.hash.slice(1) || last;
  if (wanted === undefined || !(await open(wanted))) fresh();
  addEventListener('hashchange', () => {
    const id = location.hash.slice(1);
    if (id !== '' && id !== current.value?.id) void open(id);
  });
}

function forget(id: string): void {
  summaries.value = summaries.value.filter((one) => one.id !== id);
  if (current.value?.id === id) fresh();
}

/** Another window has written. */
async function reload(id: string): Promise<void> {
  const found = await database?.get(id);
  if (found === undefined) return;
  note(found);
  const mine = current.value;
  if (mine?.id !== id) return;
  // What streams here is newer than what was written of it; where this window is looking stays.
  const streaming = Object.fromEntries(
    Object.entries(mine.turns).filter(([turn]) => lives.value.has(turn)),
  );
  // Where the other window went on from what is seen here, this one follows.
  const follows = pathTo(found.turns, found.leaf).some(({ id: turn }) => turn === mine.leaf);
  const leaf = follows || mine.leaf === undefined ? found.leaf : mine.leaf;
  current.value = { ...found, leaf, turns: { ...found.turns, ...streaming } };
}

function note({ id, kind, title, updatedAt }: Conversation): void {
  const others = summaries.value.filter((one) => one.id !== id);
  summaries.value = [{ id, kind, title, updatedAt }, ...others].sort(
    (a, b) => b.updatedAt - a.updatedAt,
  );
}

/** Shows a conversation; false when there is none of this id. */
export async function open(id: string): Promise<boolean> {
  const found = await database?.get(id);
  if (found === undefined) return false;
  current.value = withoutStale(found);
  chosenTurn.value = undefined;
  location.hash = id;
  return true;
}

const staleMs = 8000;

/** Answers that streamed into a page which is gone were cut. */
function withoutStale(conversation: Conversation): Conversation {
  const turns = Object.entries(conversation.turns).map(([id, turn]): [string, Turn] => {
    const gone = turn.window === windowId() || Date.now() - conversation.updatedAt > staleMs;
    const cut = turn.state === 'streaming' && !lives.value.has(id) && gone;
    return [id, cut ? { ...turn, state: 'cut' } : turn];
  });
  return { ...conversation, turns: Object.fromEntries(turns) };
}

/** A new conversation, which is kept from its first word on. */
export function fresh(kind?: Conversation['kind']): void {
  const { model: name = wantedModel, settings = {} } = current.value ?? {};
  const now = Date.now();
  const known = model.value;
  current.value = {
    id: newId(),
    kind: kind ?? usualKind(known),
    title: '',
    createdAt: now,
    updatedAt: now,
    model: name,
    system: '',
    tools: '',
    settings: { ...settings },
    turns: {},
    leaf: undefined,
    draft: { text: '', runs: [] },
  };
  chosenTurn.value = undefined;
  location.hash = '';
}

/** Base models continue a text; others answer. */
export function usualKind(known: ModelBody | undefined): Conversation['kind'] {
  if (known === undefined) return 'chat';
  return known.is_base_model || !known.has_chat_template ? 'text' : 'chat';
}

/** Whether nothing has been said yet. */
export function isEmpty({ turns, draft }: Conversation): boolean {
  return Object.keys(turns).length === 0 && draft.text === '';
}

/** Changes a conversation, on the page at once and in the database soon. */
export function update(id: string, change: (old: Conversation) => Conversation): Promise<void> {
  const shown = current.value;
  if (shown?.id === id) {
    const next = change(shown);
    current.value = next;
    return isEmpty(next) ? Promise.resolve() : save(next);
  }
  return (async () => {
    const found = await database?.get(id);
    if (found !== undefined) await save(change(found));
  })();
}

async function save(conversation: Conversation): Promise<void> {
  const { id } = conversation;
  note(conversation);
  if (current.value?.id === id && location.hash !== `#${id}`) location.hash = id;
  if (database === undefined) return;
  try {
    const whole = await database.save(conversation);
    if (whole === undefined) return forget(id);
    if (current.value?.id === id) {
      const turns = { ...whole.turns, ...current.value.turns };
      current.value = { ...current.value, turns };
    }
  } catch (error) {
    say(`The browser could not keep the conversation: ${error}`, true);
  }
}

export async function remove(id: string): Promise<void> {
  await database?.delete(id);
  forget(id);
}

export async function allConversations(): Promise<readonly Conversation[]> {
  return (await database?.getAll()) ?? [];
}

export async function addAll(conversations: readonly Conversation[]): Promise<void> {
  for (const conversation of conversations) await save(conversation);
}

export function setLive(key: string, live: LiveAnswer | undefined): void {
  const next = new Map(lives.value);
  if (live === undefined) next.delete(key);
  else next.set(key, live);
  lives.value = next;
}

let poke: () => void = () => {};

/** Asks for the server's state now instead of soon. */
export function lookNow(): void {
  poke();
}

/** Asks the server how it is, often while something happens. */
async function watch(): Promise<void> {
  for (;;) {
    try {
      const first = status.value === undefined;
      status.value = await getStatus();
      online.value = true;
      const shown = current.value;
      // The kind of the first conversation is known when the models are.
      if (first && shown !== undefined && isEmpty(shown)) {
        current.value = { ...shown, kind: usualKind(model.value) };
      }
    } catch (error) {
      online.value = error instanceof RequestError && error.status !== 0;
    }
    const busy =
      !online.value ||
      lives.value.size > 0 ||
      status.value?.engine !== 'ready' ||
      models.value.some(({ state }) => state === 'loading');
    const pause = needsKey.value ? 60_000 : document.hidden ? 10_000 : busy ? 700 : 4000;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, pause);
      poke = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
