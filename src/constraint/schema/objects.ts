/**
 * Objects as languages: members in any order, each named one at most once, required ones before the
 * end. A state is the set of names that came; states arise as texts reach them, so that thousands of
 * optional properties cost nothing. Knows nothing of schemas or of how members are written.
 */
import { work } from '../core/budget.js';
import type { Language } from '../core/derivatives.js';
import { LEAVE, NOTHING } from '../core/expressions.js';
import { KeyList, type KeyOwner } from '../core/key-list.js';
import type { ObjectNotation } from './notation.js';

export interface Member {
  readonly name: string;
  readonly value: number;
  readonly required: boolean;
}

export interface ObjectFacts {
  /** In the order of the schema. Values without any text are members that must not come. */
  readonly members: readonly Member[];
  /** Other members: their keys, with what ends a key, and values. */
  readonly others: readonly { readonly key: number; readonly value: number }[];
  readonly least: number;
  readonly most: number | undefined;
  /** Members come in the order of the schema, others after them. */
  readonly inOrder: boolean;
}

/** The language of an object. */
export function objectLanguage(
  language: Language,
  notation: ObjectNotation,
  facts: ObjectFacts,
): number {
  return new ObjectWriter(language, notation, facts).whole();
}

interface State {
  readonly seen: Uint32Array;
  readonly count: number;
  /** Required names that are still to come. */
  readonly missing: number;
}

class ObjectWriter {
  private readonly list: KeyList;
  private readonly states = new Map<string, number>();

  constructor(
    private readonly language: Language,
    private readonly notation: ObjectNotation,
    private readonly facts: ObjectFacts,
  ) {
    this.list = new KeyList(facts.members.map(({ name }) => notation.key(name)));
  }

  whole(): number {
    const { language, notation, facts } = this;
    const seen = new Uint32Array((facts.members.length + 31) >>> 5);
    const missing = facts.members.filter(({ required }) => required).length;
    const start: State = { seen, count: 0, missing };
    const rule = language.rule(
      () => {
        const parts = [language.concat(notation.first, this.keys(start))];
        if (this.mayClose(start)) parts.push(language.concat(notation.closeEmpty, LEAVE));
        return language.either(parts);
      },
      () => this.least(start),
    );
    return language.concat(notation.open, language.call(rule));
  }

  private has({ seen }: State, index: number): boolean {
    return (((seen[index >>> 5] as number) >>> (index & 31)) & 1) === 1;
  }

  /** How deep a text nests at least from here: the deepest value that has to come. */
  private least(state: State): number {
    const { members } = this.facts;
    let deepest = 0;
    work(members.length / 16);
    for (let index = 0; index < members.length; index++) {
      const member = members[index] as Member;
      if (member.required && !this.has(state, index)) {
        deepest = Math.max(deepest, this.needOf(member.value));
      }
    }
    return deepest + 1;
  }

  private needOf(value: number): number {
    return value === NOTHING ? 255 : (this.language.need[value] as number);
  }

  private mayClose({ missing, count }: State): boolean {
    return missing === 0 && count >= this.facts.least;
  }

  /** Whether one more member may come that is not required. */
  private hasRoom({ missing, count }: State): boolean {
    return this.facts.most === undefined || count + missing + 1 <= this.facts.most;
  }

  private mayCome(state: State, index: number): boolean {
    const { members, inOrder, least, others } = this.facts;
    const { required, value } = members[index] as Member;
    if (this.has(state, index) || this.needOf(value) > this.language.limits.nesting) return false;
    if (!required && !this.hasRoom(state)) return false;
    if (!inOrder) return true;
    work(index / 16);
    for (let before = 0; before < index; before++) {
      if ((members[before] as Member).required && !this.has(state, before)) return false;
    }
    return others.length > 0 || state.count + (members.length - index) >= least;
  }

  /** The members that may come next. */
  private keys(state: State): number {
    const { language, list, facts } = this;
    const owner: KeyOwner = {
      list,
      allowed: (at) => this.mayCome(state, list.origin[at] as number),
      after: (at) => {
        const index = list.origin[at] as number;
        const { value } = facts.members[index] as Member;
        return this.member(value, this.next(state, index));
      },
      need: (at) => this.needOf((facts.members[list.origin[at] as number] as Member).value) + 1,
    };
    const parts = [language.keys(language.addOwner(owner))];
    if (this.hasRoom(state) && !(facts.inOrder && state.missing > 0)) {
      for (const { key, value } of facts.others) {
        const after = this.member(value, this.next(state, undefined));
        parts.push(language.concat(key, after));
      }
    }
    return language.either(parts);
  }

  private member(value: number, rest: number): number {
    const { colon, afterValue } = this.notation;
    return this.language.concat(colon, value, afterValue, rest);
  }

  private next(state: State, index: number | undefined): number {
    const { members, inOrder, least, most } = this.facts;
    const seen = state.seen.slice();
    work(seen.length / 4);
    const mark = (at: number) => {
      seen[at >>> 5] = (seen[at >>> 5] as number) | (1 << (at & 31));
    };
    if (inOrder) {
      const end = index ?? members.length;
      for (let before = 0; before < end; before++) mark(before);
    }
    let { missing } = state;
    if (index !== undefined) {
      mark(index);
      if (members[index]?.required) missing--;
    }
    // Counts matter up to the bounds only.
    const counted = most === undefined ? Math.min(state.count + 1, least) : state.count + 1;
    return this.after({ seen, missing, count: counted });
  }

  /** After a member: the end, or a further one. */
  private after(state: State): number {
    const { language, notation } = this;
    const key = `${state.count} ${state.seen.join()}`;
    let rule = this.states.get(key);
    if (rule === undefined) {
      rule = language.rule(
        () => {
          const parts = [language.concat(notation.between, this.keys(state))];
          if (this.mayClose(state)) parts.push(language.concat(notation.close, LEAVE));
          return language.either(parts);
        },
        () => this.least(state),
      );
      this.states.set(key, rule);
    }
    return language.call(rule);
  }
}
