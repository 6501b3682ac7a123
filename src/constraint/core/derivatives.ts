/**
 * Derivatives (Brzozowski, 1964): what may follow one symbol, computed when first asked for and
 * remembered, so that expressions are the states of an automaton that is built as texts walk it. A
 * conjunction or complement without any text becomes the empty language, found by search; nothing
 * leads into a dead end. Knows nothing of tokens.
 */
import { work } from './budget.js';
import { EMPTY, Expressions, Kind, LEAVE, NOTHING } from './expressions.js';
import type { KeyOwner } from './key-list.js';
import type { MarkerSet } from './markers.js';
import { type ByteSet, SYMBOL_BITS } from './symbols.js';
import { IntMap } from './tables.js';

/** Depth of calls inside each other while one derivative is computed. */
const RECURSION = 1500;

export class Language extends Expressions {
  private readonly derivatives = new IntMap();
  private readonly rawKnown = new IntMap();
  /** 1: has a text, 2: has none. */
  private readonly alive = new Map<number, boolean>();
  private recursion = 0;
  /** Derivatives computed so far. */
  work = 0;

  /** What may follow `symbol`; `NOTHING` where it may not come. */
  derive(expression: number, symbol: number): number {
    const key = (expression << SYMBOL_BITS) | symbol;
    const known = this.derivatives.get(key);
    if (known !== -1) return known;
    this.work++;
    work();
    if (this.recursion >= RECURSION) {
      throw this.overBudget('rules call each other too deeply without taking a character');
    }
    this.recursion++;
    let result: number;
    try {
      result = this.compute(expression, symbol);
    } finally {
      this.recursion--;
    }
    this.derivatives.set(key, result);
    return result;
  }

  private compute(expression: number, symbol: number): number {
    let at = expression;
    if (this.kind[at] !== Kind.CONCAT) return this.computePart(at, symbol);
    const found: number[] = [];
    while (this.kind[at] === Kind.CONCAT) {
      const head = this.a.at(at);
      const tail = this.b.at(at);
      const rest = this.derive(head, symbol);
      if (rest !== NOTHING) found.push(this.join(rest, tail));
      if (!this.nullable(head)) return this.either(found);
      at = tail;
    }
    found.push(this.derive(at, symbol));
    return this.either(found);
  }

  private computePart(id: number, symbol: number): number {
    const a = this.a.at(id);
    const b = this.b.at(id);
    switch (this.kind[id]) {
      case Kind.SET:
        return symbol < 256 && (this.sets[a] as ByteSet).has(symbol) ? EMPTY : NOTHING;
      case Kind.SPECIAL:
        return symbol === a ? EMPTY : NOTHING;
      case Kind.LITERAL: {
        const bytes = this.strings[a] as Uint8Array;
        return bytes[b] === symbol ? this.literal(bytes, b + 1) : NOTHING;
      }
      case Kind.EITHER: {
        const found: number[] = [];
        for (const member of this.lists.get(a)) {
          const rest = this.derive(member, symbol);
          if (rest !== NOTHING) found.push(rest);
        }
        return this.either(found);
      }
      case Kind.REPEAT: {
        const rest = this.derive(a, symbol);
        if (rest === NOTHING) return NOTHING;
        const most = this.c.at(id);
        const again = this.repeat(a, Math.max(0, b - 1), most === -1 ? undefined : most - 1);
        return this.join(rest, again);
      }
      case Kind.BOTH:
      case Kind.NOT: {
        const rest = this.deriveRegular(id, symbol);
        return rest !== NOTHING && this.hasText(rest) ? rest : NOTHING;
      }
      case Kind.KEYS:
        return this.deriveKeys(a, b, symbol);
      case Kind.UNTIL:
        return this.deriveUntil(a, b, symbol);
      case Kind.CALL:
        return this.derive(this.body(a), symbol);
      default:
        return NOTHING;
    }
  }

  private deriveKeys(range: number, owner: number, symbol: number): number {
    if (symbol > 255) return NOTHING;
    const [low, high, depth] = this.range(range) as unknown as [number, number, number];
    const { list } = this.owners[owner] as KeyOwner;
    const [from, to] = list.narrow(low, high, depth, symbol);
    return from === to ? NOTHING : this.keys(owner, from, to, depth + 1);
  }

  private deriveUntil(id: number, state: number, symbol: number): number {
    const set = this.markerSets[id] as MarkerSet;
    const next = set.step(state, symbol);
    if (next === -1) return NOTHING;
    const ending = set.ending(next);
    if (ending !== -1) return set.markers[ending]?.after ?? NOTHING;
    return this.make(Kind.UNTIL, id, next, 0);
  }

  /** The derivative of a conjunction or complement, which may have no text. */
  private deriveRegular(id: number, symbol: number): number {
    const key = (id << SYMBOL_BITS) | symbol;
    const known = this.rawKnown.get(key);
    if (known !== -1) return known;
    this.work++;
    work();
    let result: number;
    // A special token is no text, so that it is not "not" of a text either.
    if (symbol > 255) result = NOTHING;
    else if (this.kind[id] === Kind.NOT) result = this.rawNot(this.derive(this.a.at(id), symbol));
    else {
      const parts: number[] = [];
      for (const member of this.lists.get(this.a.at(id))) {
        const rest = this.regularStep(member, symbol);
        if (rest === NOTHING) {
          parts.length = 0;
          parts.push(NOTHING);
          break;
        }
        parts.push(rest);
      }
      result = this.rawBoth(parts);
    }
    this.rawKnown.set(key, result);
    return result;
  }

  private regularStep(id: number, symbol: number): number {
    const kind = this.kind[id];
    if (kind === Kind.BOTH || kind === Kind.NOT) return this.deriveRegular(id, symbol);
    return this.derive(id, symbol);
  }

  /** All of several regular languages at once; without any text it is `NOTHING`. */
  both(members: readonly number[]): number {
    const id = this.rawBoth(members);
    return this.hasText(id) ? id : NOTHING;
  }

  /** The bytes that are not of a regular language. */
  not(what: number): number {
    const id = this.rawNot(what);
    return this.hasText(id) ? id : NOTHING;
  }

  /** Whether a regular language has any text: a search for the shortest one, remembered. */
  hasText(expression: number): boolean {
    const kind = this.kind[expression];
    if (kind !== Kind.BOTH && kind !== Kind.NOT) return expression !== NOTHING;
    const known = this.alive.get(expression);
    if (known !== undefined) return known;
    if (this.surelyHasText(expression)) {
      this.alive.set(expression, true);
      return true;
    }
    const budget = this.work + this.limits.search;
    const parents = new Map<number, number>([[expression, -1]]);
    const queue = [expression];
    for (let at = 0; at < queue.length; at++) {
      const state = queue[at] as number;
      if (this.settledAlive(state)) {
        for (let on = state; on !== -1; on = parents.get(on) as number) this.alive.set(on, true);
        return true;
      }
      if (this.work > budget || queue.length > this.limits.search) {
        throw this.overBudget('conditions on one text that cannot be decided', {
          states: queue.length,
        });
      }
      for (const symbol of this.classes.members) {
        const rest = this.regularStep(state, symbol);
        if (rest === NOTHING || parents.has(rest) || this.alive.get(rest) === false) continue;
        parents.set(rest, state);
        queue.push(rest);
      }
    }
    for (const state of queue) this.alive.set(state, false);
    return false;
  }

  /** Endless repeats with finite exceptions, which needs no search. */
  private surelyHasText(expression: number): boolean {
    if (this.kind[expression] === Kind.NOT) return this.isFinite(this.a.at(expression));
    return this.endlessRun(expression) !== undefined;
  }

  private isFinite(expression: number): boolean {
    const kind = this.kind[expression];
    return kind === Kind.KEYS || kind === Kind.LITERAL || kind === Kind.SET || kind === Kind.EMPTY;
  }

  /** In a conjunction of one endless repeat and finite exceptions, the repeat; else undefined. */
  endlessRun(both: number): number | undefined {
    let found: number | undefined;
    for (const member of this.lists.get(this.a.at(both))) {
      if (this.kind[member] === Kind.REPEAT && this.c.at(member) === -1 && found === undefined) {
        found = member;
      } else if (this.kind[member] !== Kind.NOT || !this.isFinite(this.a.at(member)))
        return undefined;
    }
    return found;
  }

  private settledAlive(state: number): boolean {
    const kind = this.kind[state];
    if (kind !== Kind.BOTH && kind !== Kind.NOT) return true;
    return this.alive.get(state) === true || this.nullable(state);
  }

  /** The state after a text, or `NOTHING`. */
  walk(from: number, bytes: Uint8Array): number {
    let state = from;
    for (const byte of bytes) {
      state = this.derive(state, this.classes.standIn[byte] as number);
      if (state === NOTHING) break;
    }
    return state;
  }

  /** Whether a whole text is in the language. */
  matches(expression: number, bytes: Uint8Array): boolean {
    const end = this.walk(expression, bytes);
    return end !== NOTHING && this.nullable(end);
  }

  /** Wraps something that nests, so that the end of it is counted. */
  nested(body: number): number {
    return this.join(body, LEAVE);
  }
}
