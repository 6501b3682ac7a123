/**
 * Conversations in the browser's database, shared by its windows: each write joins what another
 * window has written meanwhile, and tells the others. A deleted conversation stays deleted.
 */
import { type DBSchema, type IDBPDatabase, openDB } from 'idb';
import { type Conversation, merged } from '../lib/tree.js';

export type Summary = Pick<Conversation, 'id' | 'kind' | 'title' | 'updatedAt'>;

interface Schema extends DBSchema {
  conversations: { key: string; value: Conversation };
  summaries: { key: string; value: Summary };
}

/** What windows tell each other. */
export type Change = { readonly type: 'saved' | 'deleted'; readonly id: string };

export class Database {
  readonly #database: IDBPDatabase<Schema>;
  readonly #channel = new BroadcastChannel('paceline');
  /** Conversations that are or were in the database. */
  readonly #known = new Set<string>();

  private constructor(database: IDBPDatabase<Schema>) {
    this.#database = database;
  }

  static async open(): Promise<Database> {
    const database = await openDB<Schema>('paceline', 1, {
      upgrade(fresh) {
        fresh.createObjectStore('conversations', { keyPath: 'id' });
        fresh.createObjectStore('summaries', { keyPath: 'id' });
      },
      // A newer page in another window waits for this one to let go.
      blocking: () => database.close(),
    });
    return new Database(database);
  }

  onChange(listener: (change: Change) => void): void {
    this.#channel.addEventListener('message', ({ data }) => listener(data as Change));
  }

  /** The newest first. */
  async summaries(): Promise<readonly Summary[]> {
    const all = await this.#database.getAll('summaries');
    for (const { id } of all) this.#known.add(id);
    return all.sort((a, b) => b.updatedAt - a.updatedAt);
  }

  async get(id: string): Promise<Conversation | undefined> {
    const found = await this.#database.get('conversations', id);
    if (found !== undefined) this.#known.add(id);
    return found;
  }

  getAll(): Promise<readonly Conversation[]> {
    return this.#database.getAll('conversations');
  }

  /** Writes, joined with what is there; undefined when another window has deleted it. */
  async save(conversation: Conversation): Promise<Conversation | undefined> {
    const { id } = conversation;
    const transaction = this.#database.transaction(['conversations', 'summaries'], 'readwrite');
    const conversations = transaction.objectStore('conversations');
    const present = await conversations.get(id);
    if (present === undefined && this.#known.has(id)) {
      await transaction.done;
      return undefined;
    }
    const whole = present === undefined ? conversation : merged(conversation, present);
    const { kind, title, updatedAt } = whole;
    await Promise.all([
      conversations.put(whole),
      transaction.objectStore('summaries').put({ id, kind, title, updatedAt }),
      transaction.done,
    ]);
    this.#known.add(id);
    this.#tell({ type: 'saved', id });
    return whole;
  }

  async delete(id: string): Promise<void> {
    this.#known.add(id);
    const transaction = this.#database.transaction(['conversations', 'summaries'], 'readwrite');
    await Promise.all([
      transaction.objectStore('conversations').delete(id),
      transaction.objectStore('summaries').delete(id),
      transaction.done,
    ]);
    this.#tell({ type: 'deleted', id });
  }

  #tell(change: Change): void {
    this.#channel.postMessage(change);
  }
}
