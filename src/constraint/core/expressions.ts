/**
 * Languages as expressions: every expression exists once (equal ones have equal ids), so that a
 * state of a text is one integer. Construction simplifies, and drops what nests too deeply, so that
 * no state leads into a dead end. Derivatives are in `derivatives.ts`; this module knows nothing of
 * what the languages describe, nor of tokens.
 */

import { exhausted, type Limits, tooComplex, work } from './budget.js';
import { ByteClasses } from './byte-classes.js';
import type { KeyList, KeyOwner } from './key-list.js';
import type { MarkerSet } from './markers.js';
import { ByteSet } from './symbols.js';
import { hash, IntList, ListTable } from './tables.js';

export const Kind = {
  /** No text at all. */
  NOTHING: 0,
  /** The empty text. */
  EMPTY: 1,
  /** One byte of a set. */
  SET: 2,
  /** One special token. */
  SPECIAL: 3,
  /** The rest of a byte string: string, offset. */
  LITERAL: 4,
  /** One after the other: head (never a CONCAT), tail. */
  CONCAT: 5,
  /** One of a list. */
  EITHER: 6,
  /** Repeated: what, least, most (-1: no end). */
  REPEAT: 7,
  /** All of a list at once; regular parts only. */
  BOTH: 8,
  /** Bytes that are not of a regular language. */
  NOT: 9,
  /** One of a key list's values and what its owner says follows: range, owner. */
  KEYS: 10,
  /** Anything up to a marker: set, state. */
  UNTIL: 11,
  /** A rule. */
  CALL: 12,
  /** The end of something that nests: the empty text, counted in a state's depth. */
  LEAVE: 13,
} as const;

/** The language without texts, and the one with only the empty text. */
export const NOTHING = 0;
export const EMPTY = 1;
export const LEAVE = 2;

interface Rule {
  body: number;
  readonly expand: (() => number) | undefined;
  /** For expanded rules: how deep their texts nest at least. */
  readonly least: (() => number) | undefined;
  nullable: boolean;
  need: number;
}

/** What existed when a rule had been defined. */
interface Section {
  readonly nodes: number;
  readonly rules: number;
  readonly defined: number;
}

/** More than any limit of nesting: a rule without any text. */
const NEVER = 255;

export class Expressions {
  kind: Uint8Array = new Uint8Array(4096);
  readonly a = new IntList();
  readonly b = new IntList();
  readonly c = new IntList();
  /** How deep a text nests at least until it ends, and how many levels are open at the end. */
  need: Uint8Array = new Uint8Array(4096);
  depth: Uint8Array = new Uint8Array(4096);
  /** 0: not known yet, 1: no, 2: yes. */
  protected nullability: Uint8Array = new Uint8Array(4096);
  count = 0;

  readonly classes = new ByteClasses();
  readonly lists = new ListTable();
  readonly sets: ByteSet[] = [];
  readonly strings: Uint8Array[] = [];
  readonly owners: KeyOwner[] = [];
  readonly markerSets: MarkerSet[] = [];
  readonly rules: Rule[] = [];
  /** Names of expressions of one character, for masks that many constraints share. */
  readonly characterNames = new Map<number, string>();

  private slots = new Int32Array(8192).fill(-1);
  private readonly setIds = new Map<string, number>();
  private readonly stringIds = new Map<string, number>();
  private readonly ranges: Int32Array[] = [];
  private readonly rangeIds = new Map<string, number>();
  private settled = false;
  private readonly known = new WeakSet<KeyList>();
  private readonly sections: Section[] = [];

  constructor(readonly limits: Limits) {
    this.make(Kind.NOTHING, 0, 0, 0);
    this.make(Kind.EMPTY, 0, 0, 0);
    this.make(Kind.LEAVE, 0, 0, 0);
  }

  /** While compiling the constraint is at fault, afterwards the text that was generated. */
  protected overBudget(what: string, details: Readonly<Record<string, unknown>> = {}) {
    return this.settled ? exhausted(what, details) : tooComplex(what, details);
  }

  protected make(kind: number, a: number, b: number, c: number): number {
    const { slots } = this;
    const mask = slots.length - 1;
    let slot =
      hash(hash(hash(kind ^ Math.imul(a, 0x9e3779b1)) ^ b) ^ Math.imul(c, 0x85ebca6b)) & mask;
    for (;;) {
      const id = slots[slot] as number;
      if (id === -1) break;
      if (
        this.kind[id] === kind &&
        this.a.at(id) === a &&
        this.b.at(id) === b &&
        this.c.at(id) === c
      ) {
        return id;
      }
      slot = (slot + 1) & mask;
    }
    if (this.count >= this.limits.expressions)
      throw this.overBudget(`more than ${this.count} states`);
    work();
    const id = this.count++;
    if (id === this.kind.length) {
      this.kind = doubled(this.kind);
      this.need = doubled(this.need);
      this.depth = doubled(this.depth);
      this.nullability = doubled(this.nullability);
    }
    this.kind[id] = kind;
    this.a.push(a);
    this.b.push(b);
    this.c.push(c);
    slots[slot] = id;
    this.measure(id);
    if (this.count * 2 > slots.length) this.rehash();
    return id;
  }

  private rehash(): void {
    const slots = new Int32Array(this.slots.length * 2).fill(-1);
    const mask = slots.length - 1;
    for (let id = 0; id < this.count; id++) {
      const mixed = hash((this.kind[id] as number) ^ Math.imul(this.a.at(id), 0x9e3779b1));
      let slot = hash(hash(mixed ^ this.b.at(id)) ^ Math.imul(this.c.at(id), 0x85ebca6b)) & mask;
      while (slots[slot] !== -1) slot = (slot + 1) & mask;
      slots[slot] = id;
    }
    this.slots = slots;
  }

  /** Computes how deep an expression nests, from its parts. */
  private measure(id: number): void {
    let need = 0;
    let depth = 0;
    const a = this.a.at(id);
    switch (this.kind[id]) {
      case Kind.LEAVE:
        need = 1;
        depth = 1;
        break;
      case Kind.CONCAT: {
        const tail = this.b.at(id);
        depth = (this.depth[a] as number) + (this.depth[tail] as number);
        const inside = (this.need[a] as number) + (this.depth[tail] as number);
        need = Math.max(inside, this.need[tail] as number);
        break;
      }
      case Kind.EITHER:
        need = NEVER;
        for (const member of this.lists.get(a)) {
          need = Math.min(need, this.need[member] as number);
          depth = Math.max(depth, this.depth[member] as number);
        }
        break;
      case Kind.REPEAT:
        need = this.b.at(id) === 0 ? 0 : (this.need[a] as number);
        break;
      case Kind.CALL:
        need = (this.rules[a] as Rule).need;
        break;
      case Kind.KEYS:
        need = this.leastKey(a, this.b.at(id));
        break;
    }
    this.need[id] = Math.min(need, NEVER);
    this.depth[id] = Math.min(depth, NEVER);
  }

  private leastKey(range: number, owner: number): number {
    const facts = this.owners[owner] as KeyOwner;
    if (!facts.need) return 0;
    const [low, high] = this.ranges[range] as unknown as [number, number];
    let least = NEVER;
    work((high - low) / 8);
    for (let index = low; index < high && least > 0; index++) {
      if (facts.allowed(index)) least = Math.min(least, facts.need(index));
    }
    return least;
  }

  set(set: ByteSet): number {
    const { key } = set;
    let id = this.setIds.get(key);
    if (id === undefined) {
      if (set.words.every((word) => word === 0)) return NOTHING;
      id = this.sets.push(set) - 1;
      this.setIds.set(key, id);
      work(8);
      this.classes.split(set);
    }
    return this.make(Kind.SET, id, 0, 0);
  }

  special(symbol: number): number {
    return this.make(Kind.SPECIAL, symbol, 0, 0);
  }

  literal(bytes: Uint8Array | string, from = 0): number {
    const data = typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes;
    if (from >= data.length) return EMPTY;
    const key = Buffer.from(data).toString('latin1');
    let id = this.stringIds.get(key);
    if (id === undefined) {
      id = this.strings.push(data) - 1;
      this.stringIds.set(key, id);
      work(data.length / 8);
      this.classes.singleOut(data);
    }
    return this.make(Kind.LITERAL, id, from, 0);
  }

  /** One after the other. */
  concat(...parts: readonly number[]): number {
    let result = EMPTY;
    for (let index = parts.length - 1; index >= 0; index--) {
      result = this.join(parts[index] as number, result);
    }
    return result;
  }

  protected join(head: number, tail: number): number {
    if (head === NOTHING || tail === NOTHING) return NOTHING;
    if (head === EMPTY) return this.tooDeep(tail) ? NOTHING : tail;
    if (tail === EMPTY) return head;
    // A chain is nested to the right, so that its first part is always at hand.
    if (this.kind[head] === Kind.CONCAT) {
      const heads: number[] = [];
      let last = head;
      while (this.kind[last] === Kind.CONCAT) {
        heads.push(this.a.at(last));
        last = this.b.at(last);
      }
      let result = this.link(last, tail);
      for (let index = heads.length - 1; index >= 0 && result !== NOTHING; index--) {
        result = this.link(heads[index] as number, result);
      }
      return result;
    }
    return this.link(head, tail);
  }

  private link(head: number, tail: number): number {
    if (tail === NOTHING) return NOTHING;
    if (
      head === LEAVE &&
      (tail === LEAVE || (this.kind[tail] === Kind.CONCAT && this.a.at(tail) === LEAVE))
    ) {
      // Two levels that end together are one: a rule that calls itself last does not nest.
      return tail;
    }
    const id = this.make(Kind.CONCAT, head, tail, 0);
    return this.tooDeep(id) ? NOTHING : id;
  }

  private tooDeep(id: number): boolean {
    return this.settled && (this.need[id] as number) > this.limits.nesting;
  }

  /** One of several; of none: nothing. */
  either(members: readonly number[]): number {
    if (members.length === 1) return members[0] as number;
    const flat: number[] = [];
    for (const member of members) {
      if (this.kind[member] === Kind.EITHER) flat.push(...this.lists.get(this.a.at(member)));
      else if (member !== NOTHING && !this.tooDeep(member)) flat.push(member);
    }
    if (flat.length === 0) return NOTHING;
    if (flat.length === 1) return flat[0] as number;
    work(flat.length / 4);
    let list = sortedUnique(flat);
    if (list.length > 1) list = this.factor(list);
    if (list.length > this.limits.members) {
      throw this.overBudget(`${list.length} alternatives at once`, { alternatives: list.length });
    }
    if (list.length === 1) return list[0] as number;
    return this.make(Kind.EITHER, this.lists.intern(list), 0, 0);
  }

  /** Joins sets of bytes, and the heads of chains that have the same tail. */
  private factor(list: Int32Array): Int32Array {
    let sets = 0;
    let chains = 0;
    for (const member of list) {
      if (this.kind[member] === Kind.SET) sets++;
      else if (this.kind[member] === Kind.CONCAT) chains++;
    }
    if (sets < 2 && chains < 2) return list;
    const rest: number[] = [];
    const union = new ByteSet();
    const byTail = new Map<number, number[]>();
    for (const member of list) {
      if (sets > 1 && this.kind[member] === Kind.SET) {
        union.addAll(this.sets[this.a.at(member)] as ByteSet);
      } else if (this.kind[member] === Kind.CONCAT) {
        const heads = byTail.get(this.b.at(member));
        if (heads) heads.push(this.a.at(member));
        else byTail.set(this.b.at(member), [this.a.at(member)]);
      } else {
        rest.push(member);
      }
    }
    if (sets > 1) rest.push(this.set(union));
    for (const [tail, heads] of byTail) {
      const head = heads.length === 1 ? (heads[0] as number) : this.either(heads);
      rest.push(this.join(head, tail));
    }
    return sortedUnique(rest.filter((member) => member !== NOTHING));
  }

  /** Repeated from `least` to `most` times; `most` undefined: without end. */
  repeat(what: number, least: number, most?: number): number {
    if (most === 0 || what === EMPTY) return EMPTY;
    if (what === NOTHING) return least === 0 ? EMPTY : NOTHING;
    if (most !== undefined && most < least) return NOTHING;
    if (least === 1 && most === 1) return what;
    return this.make(Kind.REPEAT, what, least, most ?? -1);
  }

  optional(what: number): number {
    return this.either([EMPTY, what]);
  }

  protected rawBoth(members: readonly number[]): number {
    const all = this.anything();
    const flat: number[] = [];
    for (const member of members) {
      if (member === NOTHING) return NOTHING;
      if (this.kind[member] === Kind.BOTH) flat.push(...this.lists.get(this.a.at(member)));
      else if (member !== all) flat.push(member);
    }
    if (flat.length === 0) return all;
    work(flat.length / 4);
    const list = sortedUnique(flat);
    if (list.length === 1) return list[0] as number;
    if (list.length > this.limits.members)
      throw this.overBudget(`${list.length} conditions at once`);
    return this.make(Kind.BOTH, this.lists.intern(list), 0, 0);
  }

  protected rawNot(what: number): number {
    const all = this.anything();
    if (what === NOTHING) return all;
    // A choice that has every text leaves none, however its other members go on: a search would find
    // that out by looking at all their ends.
    const members = this.kind[what] === Kind.EITHER ? this.lists.get(this.a.at(what)) : [what];
    if (members.includes(all)) return NOTHING;
    if (this.kind[what] === Kind.NOT) return this.a.at(what);
    return this.make(Kind.NOT, what, 0, 0);
  }

  /** Any bytes. */
  anything(): number {
    return this.repeat(this.set(ByteSet.of([0, 255])), 0);
  }

  /** One of an owner's values from [low, high), of which `depth` bytes have matched. */
  keys(owner: number, low = 0, high = -1, depth = 0): number {
    const facts = this.owners[owner] as KeyOwner;
    const { values } = facts.list;
    let from = low;
    let to = high === -1 ? values.length : high;
    while (from < to && !facts.allowed(from)) from++;
    while (to > from && !facts.allowed(to - 1)) to--;
    work((from - low + (high === -1 ? values.length : high) - to) / 8);
    if (from === to) return NOTHING;
    const first = values[from] as Uint8Array;
    if (to === from + 1) return this.join(this.literal(first, depth), facts.after(from));
    if (first.length === depth) {
      return this.either([facts.after(from), this.keys(owner, from + 1, to, depth)]);
    }
    const key = `${from},${to},${depth}`;
    let range = this.rangeIds.get(key);
    if (range === undefined) {
      range = this.ranges.push(Int32Array.of(from, to, depth)) - 1;
      this.rangeIds.set(key, range);
    }
    return this.make(Kind.KEYS, range, owner, 0);
  }

  range(id: number): Int32Array {
    return this.ranges[id] as Int32Array;
  }

  addOwner(owner: KeyOwner): number {
    if (!this.known.has(owner.list)) {
      work(owner.list.values.length / 8);
      for (const value of owner.list.values) this.classes.singleOut(value);
      this.known.add(owner.list);
    }
    return this.owners.push(owner) - 1;
  }

  /** One of a list of byte strings. */
  oneOf(list: KeyList): number {
    return this.keys(this.addOwner({ list, allowed: () => true, after: () => EMPTY }));
  }

  until(set: MarkerSet): number {
    for (const { symbols } of set.markers) {
      this.classes.singleOut(Uint8Array.from(symbols.filter((symbol) => symbol < 256)));
    }
    return this.make(Kind.UNTIL, this.markerSets.push(set) - 1, 0, 0);
  }

  /**
   * A rule to be defined later.
   * @param expand gives the body when it is first needed; such a rule says itself how deep its texts
   * nest at `least` (default 0), and whether the empty text is one of them
   */
  rule(expand?: () => number, least?: () => number, nullable = false): number {
    if (this.rules.length >= this.limits.rules)
      throw this.overBudget(`more than ${this.rules.length} rules`);
    work(4);
    const need = this.settled ? (least?.() ?? 0) : 0;
    this.rules.push({ body: -1, expand, least, nullable, need });
    return this.rules.length - 1;
  }

  define(rule: number, body: number): void {
    (this.rules[rule] as Rule).body = body;
    this.sections.push({ nodes: this.count, rules: this.rules.length, defined: rule });
  }

  call(rule: number): number {
    const id = this.make(Kind.CALL, rule, 0, 0);
    return this.tooDeep(id) ? NOTHING : id;
  }

  protected body(rule: number): number {
    const facts = this.rules[rule] as Rule;
    if (facts.body === -1) {
      if (!facts.expand) throw new Error(`Rule ${rule} has no body`);
      facts.body = facts.expand();
    }
    return facts.body;
  }

  /**
   * Fixes how deep rules nest and which may be empty: after all rules are defined, before the first
   * derivative. Rules without any text become the empty language.
   */
  settle(): void {
    for (const rule of this.rules) rule.need = NEVER;
    this.sections.push({ nodes: this.count, rules: this.rules.length, defined: -1 });
    for (let id = 0; id < this.count; id++) this.measure(id);
    for (let changed = true; changed; ) {
      changed = false;
      // What is defined last lies innermost, so that one turn mostly suffices.
      for (let index = this.sections.length - 1; index >= 0; index--) {
        for (let twice = 0; twice < 2; twice++) changed = this.settleSection(index) || changed;
      }
      // Expressions outside of a rule that was measured late have not heard of it yet.
      if (!changed) changed = this.settleAll();
    }
    for (let changed = true; changed; ) {
      changed = false;
      this.nullability.fill(0);
      work(this.rules.length / 8 + this.count / 64);
      for (const rule of this.rules) {
        if (rule.nullable || rule.body === -1 || !this.nullable(rule.body)) continue;
        rule.nullable = true;
        changed = true;
      }
    }
    this.nullability.fill(0);
    this.settled = true;
  }

  /** Measures everything once more, parts before wholes. True: a rule turned out to be less deep. */
  private settleAll(): boolean {
    for (let id = 0; id < this.count; id++) this.measure(id);
    return this.rules.filter((rule) => this.settleRule(rule)).length > 0;
  }

  private settleRule(rule: Rule): boolean {
    const least = rule.body === -1 ? (rule.least?.() ?? 0) : (this.need[rule.body] as number);
    if (Math.min(NEVER, least) >= rule.need) return false;
    rule.need = least;
    return true;
  }

  /** Measures what came into being with one rule's body, and the rules there. */
  private settleSection(index: number): boolean {
    const { nodes, rules, defined } = this.sections[index] as Section;
    const before = index === 0 ? { nodes: 0, rules: 0 } : (this.sections[index - 1] as Section);
    work((nodes - before.nodes + rules - before.rules) / 16);
    for (let id = before.nodes; id < nodes; id++) this.measure(id);
    let changed = false;
    for (let rule = before.rules; rule < rules; rule++) {
      changed = this.settleRule(this.rules[rule] as Rule) || changed;
    }
    return defined >= 0 ? this.settleRule(this.rules[defined] as Rule) || changed : changed;
  }

  /** Whether the empty text is in the language. */
  nullable(expression: number): boolean {
    const known = this.nullability[expression] as number;
    if (known !== 0) return known === 2;
    let at = expression;
    let result = true;
    while (this.kind[at] === Kind.CONCAT && result) {
      result = this.nullable(this.a.at(at));
      at = this.b.at(at);
    }
    result = result && this.nullablePart(at);
    this.nullability[expression] = result ? 2 : 1;
    return result;
  }

  private nullablePart(id: number): boolean {
    const a = this.a.at(id);
    switch (this.kind[id]) {
      case Kind.EMPTY:
      case Kind.LEAVE:
        return true;
      case Kind.EITHER:
        return this.lists.get(a).some((member) => this.nullable(member));
      case Kind.BOTH:
        return this.lists.get(a).every((member) => this.nullable(member));
      case Kind.REPEAT:
        return this.b.at(id) === 0 || this.nullable(a);
      case Kind.NOT:
        return !this.nullable(a);
      case Kind.UNTIL:
        return (this.markerSets[a] as MarkerSet).endOk;
      case Kind.CALL:
        return (this.rules[a] as Rule).nullable;
      case Kind.CONCAT:
        return this.nullable(id);
      default:
        return false;
    }
  }
}

function doubled(array: Uint8Array): Uint8Array {
  const grown = new Uint8Array(array.length * 2);
  grown.set(array);
  return grown;
}

function sortedUnique(values: readonly number[]): Int32Array {
  const sorted = Int32Array.from(values).sort();
  let length = 0;
  for (let index = 0; index < sorted.length; index++) {
    if (index === 0 || sorted[index] !== sorted[index - 1]) {
      sorted[length++] = sorted[index] as number;
    }
  }
  return sorted.slice(0, length);
}
