/**
 * A suffix automaton over tokens, built online (Blumer et al. 1985), that can also go back.
 *
 * After every append it knows the longest suffix of the text that occurred before, and where it
 * occurred last, without a search. Appending takes amortised constant time; `pop` undoes exactly
 * the last append from a log. Knows nothing of drafting.
 */

/** How many suffixes, longest first, learn of their newest occurrence at each append. */
const recencyDepth = 24;

/** A growing array of 32-bit integers. */
class Integers {
  data = new Int32Array(1024);
  length = 0;

  push(value: number): void {
    if (this.length === this.data.length) {
      const larger = new Int32Array(this.data.length * 2);
      larger.set(this.data);
      this.data = larger;
    }
    this.data[this.length++] = value;
  }

  at(index: number): number {
    return this.data[index] as number;
  }

  get bytes(): number {
    return this.data.byteLength;
  }
}

const root = 0;
const none = -1;
const setEnd = 0;
const setTarget = 1;
const setLink = 2;

export class SuffixAutomaton {
  readonly #tokens = new Integers();
  // States: a class of substrings that end at the same places.
  readonly #longest = new Integers(); // length of its longest string
  readonly #link = new Integers(); // the state of the longest suffix outside the class
  readonly #end = new Integers(); // where it ended last, as far as told (see `append`)
  readonly #firstEdge = new Integers();
  // Edges: in a list per state and in a chained hash table by (state, token).
  readonly #edgeState = new Integers();
  readonly #edgeToken = new Integers();
  readonly #edgeTarget = new Integers();
  readonly #edgeNext = new Integers();
  readonly #edgeChain = new Integers();
  #buckets = new Int32Array(2048).fill(none);
  // The undo log: (kind, index, old value), and per token where its part of everything begins.
  readonly #log = new Integers();
  readonly #frames = new Integers(); // log, states, edges, last
  #last = root;

  constructor() {
    this.#addState(0, none, none);
  }

  /** Tokens appended. */
  get length(): number {
    return this.#tokens.length;
  }

  get bytes(): number {
    let sum = this.#buckets.byteLength;
    for (const list of [this.#tokens, this.#longest, this.#link, this.#end, this.#firstEdge]) {
      sum += list.bytes;
    }
    for (const list of [this.#edgeState, this.#edgeToken, this.#edgeTarget, this.#edgeNext]) {
      sum += list.bytes;
    }
    return sum + this.#edgeChain.bytes + this.#log.bytes + this.#frames.bytes;
  }

  token(index: number): number {
    return this.#tokens.at(index);
  }

  /** Length of the longest suffix of the text that also ends earlier in it; 0 if none does. */
  get matchLength(): number {
    return this.#last === root ? 0 : this.#longest.at(this.#link.at(this.#last));
  }

  /** Index after an earlier end of that suffix: the most recent one. */
  get matchEnd(): number {
    return this.#last === root ? 0 : this.#end.at(this.#link.at(this.#last)) + 1;
  }

  append(token: number): void {
    const index = this.#tokens.length;
    this.#frames.push(this.#log.length);
    this.#frames.push(this.#longest.length);
    this.#frames.push(this.#edgeState.length);
    this.#frames.push(this.#last);
    this.#tokens.push(token);
    // Suffixes of the text so far ended at index - 1. They learn it only now, so that until now
    // they still told of the occurrence before.
    let state = this.#last;
    for (let step = 0; step < recencyDepth && state !== root; step++) {
      this.#set(setEnd, state, index - 1);
      state = this.#link.at(state);
    }
    const current = this.#addState(this.#longest.at(this.#last) + 1, root, index);
    let from = this.#last;
    let edge = none;
    while (from !== none) {
      edge = this.#find(from, token);
      if (edge !== none) break;
      this.#addEdge(from, token, current);
      from = this.#link.at(from);
    }
    if (edge !== none) this.#link.data[current] = this.#suffixState(from, edge, token);
    this.#last = current;
  }

  /** Forgets the last token; does nothing when there is none. */
  pop(): void {
    if (this.#tokens.length === 0) return;
    const frame = this.#frames.length - 4;
    const log = this.#frames.at(frame);
    for (let at = this.#log.length - 3; at >= log; at -= 3) {
      this.#listOf(this.#log.at(at)).data[this.#log.at(at + 1)] = this.#log.at(at + 2);
    }
    this.#log.length = log;
    const edges = this.#frames.at(frame + 2);
    for (let edge = this.#edgeState.length - 1; edge >= edges; edge--) {
      // The newest edge is the first of both its lists.
      const state = this.#edgeState.at(edge);
      this.#firstEdge.data[state] = this.#edgeNext.at(edge);
      this.#buckets[this.#bucket(state, this.#edgeToken.at(edge))] = this.#edgeChain.at(edge);
    }
    for (const list of [this.#edgeState, this.#edgeToken, this.#edgeTarget, this.#edgeNext]) {
      list.length = edges;
    }
    this.#edgeChain.length = edges;
    const states = this.#frames.at(frame + 1);
    for (const list of [this.#longest, this.#link, this.#end, this.#firstEdge]) {
      list.length = states;
    }
    this.#last = this.#frames.at(frame + 3);
    this.#frames.length = frame;
    this.#tokens.length -= 1;
  }

  /** The state of the longest suffix that `edge` of `from` leads to, split off where necessary. */
  #suffixState(from: number, edge: number, token: number): number {
    const target = this.#edgeTarget.at(edge);
    const length = this.#longest.at(from) + 1;
    if (length === this.#longest.at(target)) return target;
    const clone = this.#addState(length, this.#link.at(target), this.#end.at(target));
    for (let e = this.#firstEdge.at(target); e !== none; e = this.#edgeNext.at(e)) {
      this.#addEdge(clone, this.#edgeToken.at(e), this.#edgeTarget.at(e));
    }
    let state = from;
    let turned = edge;
    while (turned !== none && this.#edgeTarget.at(turned) === target) {
      this.#set(setTarget, turned, clone);
      state = this.#link.at(state);
      turned = state === none ? none : this.#find(state, token);
    }
    this.#set(setLink, target, clone);
    return clone;
  }

  #listOf(kind: number): Integers {
    return kind === setEnd ? this.#end : kind === setTarget ? this.#edgeTarget : this.#link;
  }

  #set(kind: number, index: number, value: number): void {
    const list = this.#listOf(kind);
    const old = list.at(index);
    if (old === value) return;
    this.#log.push(kind);
    this.#log.push(index);
    this.#log.push(old);
    list.data[index] = value;
  }

  #addState(longest: number, link: number, end: number): number {
    this.#longest.push(longest);
    this.#link.push(link);
    this.#end.push(end);
    this.#firstEdge.push(none);
    return this.#longest.length - 1;
  }

  #bucket(state: number, token: number): number {
    let hash = Math.imul(state, 0x9e3779b1) ^ Math.imul(token, 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 15), 0x735a2d97);
    return (hash ^ (hash >>> 13)) & (this.#buckets.length - 1);
  }

  #find(state: number, token: number): number {
    let edge = this.#buckets[this.#bucket(state, token)] as number;
    while (
      edge !== none &&
      (this.#edgeState.at(edge) !== state || this.#edgeToken.at(edge) !== token)
    ) {
      edge = this.#edgeChain.at(edge);
    }
    return edge;
  }

  #addEdge(state: number, token: number, target: number): void {
    if (this.#edgeState.length >= this.#buckets.length) this.#rehash();
    const edge = this.#edgeState.length;
    const bucket = this.#bucket(state, token);
    this.#edgeState.push(state);
    this.#edgeToken.push(token);
    this.#edgeTarget.push(target);
    this.#edgeNext.push(this.#firstEdge.at(state));
    this.#edgeChain.push(this.#buckets[bucket] as number);
    this.#firstEdge.data[state] = edge;
    this.#buckets[bucket] = edge;
  }

  #rehash(): void {
    this.#buckets = new Int32Array(this.#buckets.length * 2).fill(none);
    // In order of age, so that the newest edge stays the first of its chain.
    for (let edge = 0; edge < this.#edgeState.length; edge++) {
      const bucket = this.#bucket(this.#edgeState.at(edge), this.#edgeToken.at(edge));
      this.#edgeChain.data[edge] = this.#buckets[bucket] as number;
      this.#buckets[bucket] = edge;
    }
  }
}
