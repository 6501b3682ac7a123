/**
 * Finds special tokens in a text before anything else is done with it: the longest first, each from
 * left to right, never overlapping. Time is linear in the text for every token that occurs. Knows
 * nothing of merging.
 */
import { Attribute, type Vocabulary } from './vocabulary.js';

/** A token found in the text, or (`token` -1) the plain text `[start, end)`. */
export interface Fragment {
  readonly token: number;
  readonly start: number;
  readonly end: number;
}

interface Node {
  readonly next: Map<number, Node>;
  token: number;
}

const FREE = 0;
const TAKEN = 1;

export class SpecialFinder {
  private readonly root: Node = { next: new Map(), token: -1 };
  private readonly startsToken = new Uint8Array(0x10000);
  private readonly order = new Map<number, number>();

  /** @param hidden whether control and unknown tokens are looked for, too */
  constructor(
    private readonly vocabulary: Vocabulary,
    hidden: boolean,
  ) {
    const skip = hidden ? 0 : Attribute.CONTROL | Attribute.UNKNOWN;
    for (const id of vocabulary.specialIds) {
      if (((vocabulary.attributes[id] as number) & skip) === 0) this.insert(id);
    }
  }

  private insert(id: number): void {
    const text = this.vocabulary.texts[id] as string;
    let node = this.root;
    for (let index = 0; index < text.length; index++) {
      const unit = text.charCodeAt(index);
      let next = node.next.get(unit);
      if (!next) {
        next = { next: new Map(), token: -1 };
        node.next.set(unit, next);
      }
      node = next;
    }
    this.startsToken[text.charCodeAt(0)] = 1;
    this.order.set(id, this.order.size);
    node.token = id;
  }

  /** The text as tokens and what is between them, in order; no empty fragments. */
  split(text: string): Fragment[] {
    if (text.length === 0) return [];
    const present = this.present(text);
    if (present.length === 0) return [{ token: -1, start: 0, end: text.length }];
    const state = new Uint8Array(text.length);
    const found: Fragment[] = [];
    for (const token of present) this.claim(text, token, state, found);
    return this.assemble(found, state);
  }

  /** Ids of the tokens that occur anywhere, overlapping or not, in order of precedence. */
  private present(text: string): number[] {
    const seen = new Set<number>();
    const { startsToken } = this;
    for (let start = 0; start < text.length; start++) {
      if (startsToken[text.charCodeAt(start)] === 0) continue;
      let node: Node | undefined = this.root;
      for (let index = start; index < text.length; index++) {
        node = node.next.get(text.charCodeAt(index));
        if (!node) break;
        if (node.token >= 0) seen.add(node.token);
      }
    }
    const rank = (id: number) => this.order.get(id) ?? 0;
    return [...seen].sort((a, b) => rank(a) - rank(b));
  }

  /** Takes every free occurrence of a token, and the white space that it swallows. */
  private claim(text: string, token: number, state: Uint8Array, found: Fragment[]): void {
    const wanted = this.vocabulary.texts[token] as string;
    const attribute = this.vocabulary.attributes[token] as number;
    let from = 0;
    for (;;) {
      const start = text.indexOf(wanted, from);
      if (start < 0) return;
      const end = start + wanted.length;
      let free = start;
      while (free < end && state[free] === FREE) free++;
      if (free < end) {
        while (free < text.length && state[free] !== FREE) free++;
        // No occurrence that starts before the taken part can be free.
        from = free;
        continue;
      }
      state.fill(TAKEN, start, end);
      found.push({ token, start, end });
      from = end;
      if ((attribute & Attribute.STRIP_LEFT) !== 0) {
        for (let at = start - 1; at >= 0 && state[at] === FREE && isSpace(text, at); at--) {
          state[at] = TAKEN;
        }
      }
      if ((attribute & Attribute.STRIP_RIGHT) !== 0) {
        for (; from < text.length && state[from] === FREE && isSpace(text, from); from++) {
          state[from] = TAKEN;
        }
      }
    }
  }

  private assemble(found: Fragment[], state: Uint8Array): Fragment[] {
    found.sort((a, b) => a.start - b.start);
    const fragments: Fragment[] = [];
    const plain = (start: number, end: number) => {
      let [left, right] = [start, end];
      while (left < right && state[left] === TAKEN) left++;
      while (left < right && state[right - 1] === TAKEN) right--;
      if (left < right) fragments.push({ token: -1, start: left, end: right });
    };
    let done = 0;
    for (const fragment of found) {
      plain(done, fragment.start);
      fragments.push(fragment);
      done = fragment.end;
    }
    plain(done, state.length);
    return fragments;
  }
}

/** ASCII white space, as the reference strips it. */
function isSpace(text: string, index: number): boolean {
  const unit = text.charCodeAt(index);
  return unit === 0x20 || (unit >= 0x09 && unit <= 0x0d);
}
