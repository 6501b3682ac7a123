/**
 * The slots of one model: sessions whose caches outlive their requests, and the choice of the one
 * that makes a prompt cheapest. At most `limit` sessions exist; a busy one is never touched. What a
 * request computed stays in its slot however it ended. Knows nothing of text.
 */
import { PacelineError } from '../base/errors.js';
import type { Session } from '../engine/session.js';
import { commonPrefix } from '../engine/text.js';

/** What the choice looks at: an idle slot, and what it has in common with the prompt. */
export interface IdleSlot {
  /** Tokens in its cache. */
  readonly length: number;
  /** Tokens that it shares with the prompt. */
  readonly prefix: number;
  /** When it was last used, in any unit. */
  readonly lastUsed: number;
  /** Whether it last served the same agent. */
  readonly sameClient: boolean;
}

export type SlotChoice =
  | { readonly action: 'use'; readonly slot: number }
  /** Copy the common prefix of `from` into a new slot, in place of `evict` where all are taken. */
  | { readonly action: 'fork'; readonly from: number; readonly evict?: number }
  | { readonly action: 'new'; readonly evict?: number };

/** A prefix below this many tokens is worth little, unless it is most of the prompt. */
const worthKeeping = 16;

/**
 * Which slot serves a prompt. The longest common prefix wins; but a slot that would lose more than
 * half of its tokens is another conversation with the same beginning (a system prompt), so it is
 * copied and not cut, as long as another slot can be had for the copy.
 */
export function chooseSlot(
  idle: readonly IdleSlot[],
  options: { readonly promptLength: number; readonly room: boolean },
): SlotChoice | undefined {
  const { promptLength, room } = options;
  let best = -1;
  let oldest = -1;
  for (const [index, slot] of idle.entries()) {
    if (best < 0 || isBetter(slot, idle[best] as IdleSlot)) best = index;
    if (oldest < 0 || isOlder(slot, idle[oldest] as IdleSlot)) oldest = index;
  }
  const found = idle[best];
  if (found === undefined) return room ? { action: 'new' } : undefined;
  const { prefix, length, sameClient } = found;
  if (prefix >= Math.min(worthKeeping, Math.max(1, promptLength / 2))) {
    if (prefix * 2 >= length || (sameClient && prefix * 8 >= length)) {
      return { action: 'use', slot: best };
    }
    if (room) return { action: 'fork', from: best };
    return oldest === best
      ? { action: 'use', slot: best }
      : { action: 'fork', from: best, evict: oldest };
  }
  const empty = idle.findIndex((slot) => slot.length === 0);
  if (empty >= 0) return { action: 'use', slot: empty };
  return room ? { action: 'new' } : { action: 'use', slot: oldest };
}

function isBetter(a: IdleSlot, b: IdleSlot): boolean {
  if (a.prefix !== b.prefix) return a.prefix > b.prefix;
  if (a.sameClient !== b.sameClient) return a.sameClient;
  return a.lastUsed > b.lastUsed;
}

function isOlder(a: IdleSlot, b: IdleSlot): boolean {
  return a.lastUsed < b.lastUsed;
}

/** A session that is lent to a request. */
export interface Slot {
  readonly id: number;
  readonly session: Session;
}

/** A slot for a prompt. */
export interface Acquired {
  readonly slot: Slot;
  /** Tokens of the prompt that need not be computed. */
  readonly cached: number;
  /** Tokens that stood where the prompt first differs, if both go on from there. */
  readonly missed?: { readonly at: number; readonly had: readonly number[] };
}

/** So many of the tokens that stood there are told. */
const shownTokens = 12;

interface Entry extends Slot {
  busy: boolean;
  lastUsed: number;
  client: string | undefined;
}

export class SlotPool {
  readonly #create: () => Session;
  readonly #limit: number;
  #entries: Entry[] = [];
  #clock = 0;
  #ids = 0;

  constructor(options: { readonly limit: number; readonly create: () => Session }) {
    this.#limit = options.limit;
    this.#create = options.create;
  }

  /** What each slot holds, for reports. */
  get states(): readonly {
    readonly id: number;
    readonly busy: boolean;
    readonly tokens: number;
  }[] {
    return this.#entries.map(({ id, busy, session }) => ({
      id,
      busy,
      tokens: session.tokens.length,
    }));
  }

  /**
   * The slot for a prompt, lent until `release`. `cached` of its tokens need not be computed.
   * @throws {PacelineError} `busy` when all are lent; `memory`.
   */
  acquire(tokens: readonly number[], client?: string): Acquired {
    const idle = this.#entries.filter((entry) => !entry.busy);
    const choice = chooseSlot(
      idle.map(({ session, lastUsed, client: last }) => ({
        length: session.tokens.length,
        prefix: commonPrefix(session.tokens, tokens),
        lastUsed,
        sameClient: client !== undefined && client === last,
      })),
      { promptLength: tokens.length, room: this.#entries.length < this.#limit },
    );
    if (choice === undefined) {
      throw new PacelineError('busy', 'All slots of the model are taken', {
        hint: 'Try again, or allow more slots (--slots).',
      });
    }
    const nearest = choice.action === 'new' ? undefined : idle[from(choice)];
    const missed = nearest && missOf(nearest.session.tokens, tokens);
    const entry = this.#carryOut(choice, idle, tokens);
    entry.busy = true;
    entry.client = client;
    // Some states go back in steps only: what is really left says how much is cached.
    const { session } = entry;
    session.truncate(
      Math.max(0, Math.min(commonPrefix(session.tokens, tokens), tokens.length - 1)),
    );
    const cached = session.tokens.length;
    return { slot: entry, cached, ...(missed === undefined ? {} : { missed }) };
  }

  /** Another slot with the same past as a lent one that does not generate. @throws as `acquire` */
  fork(slot: Slot): Slot {
    if (this.#entries.length >= this.#limit) this.#evictOldest();
    const entry = this.#add(slot.session.fork());
    entry.busy = true;
    return entry;
  }

  release(slot: Slot): void {
    const entry = this.#entries.find(({ id }) => id === slot.id);
    if (entry === undefined) return;
    entry.busy = false;
    entry.lastUsed = ++this.#clock;
  }

  /** Ends what runs in the slots, and frees their memory. */
  dispose(): void {
    for (const entry of [...this.#entries]) this.#drop(entry);
  }

  #carryOut(choice: SlotChoice, idle: readonly Entry[], tokens: readonly number[]): Entry {
    if (choice.action === 'use') return idle[choice.slot] as Entry;
    if (choice.evict !== undefined) this.#drop(idle[choice.evict] as Entry);
    if (choice.action === 'new') return this.#add(this.#create());
    const from = (idle[choice.from] as Entry).session;
    const session = from.fork();
    session.truncate(commonPrefix(from.tokens, tokens));
    return this.#add(session);
  }

  #evictOldest(): void {
    const idle = this.#entries.filter((entry) => !entry.busy);
    const oldest = idle.reduce<Entry | undefined>(
      (found, entry) => (found === undefined || isOlderEntry(entry, found) ? entry : found),
      undefined,
    );
    if (oldest === undefined) {
      throw new PacelineError('busy', 'All slots of the model are taken', {
        hint: 'Ask for fewer texts at once, or allow more slots (--slots).',
      });
    }
    this.#drop(oldest);
  }

  #add(session: Session): Entry {
    const entry: Entry = {
      id: this.#ids++,
      session,
      busy: false,
      lastUsed: ++this.#clock,
      client: undefined,
    };
    this.#entries.push(entry);
    return entry;
  }

  #drop(entry: Entry): void {
    this.#entries = this.#entries.filter((other) => other !== entry);
    entry.session.dispose();
  }
}

function isOlderEntry(a: Entry, b: Entry): boolean {
  return a.lastUsed < b.lastUsed;
}

function from(choice: Exclude<SlotChoice, { action: 'new' }>): number {
  return choice.action === 'fork' ? choice.from : choice.slot;
}

/** Where a prompt leaves what a slot holds; undefined when one continues the other. */
function missOf(held: readonly number[], tokens: readonly number[]): Acquired['missed'] {
  const at = commonPrefix(held, tokens);
  // A prefix of a token or two is another conversation, and no miss.
  if (at < worthKeeping || at >= held.length || at >= tokens.length) return undefined;
  return { at, had: held.slice(at, at + shownTokens) };
}
