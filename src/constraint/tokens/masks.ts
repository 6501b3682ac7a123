/**
 * The mask of a state: a walk over the vocabulary's trie. Where the state repeats one kind of
 * character (inside a string), the tokens of that kind are known beforehand, and only the others are
 * walked. Exact: the same tokens as walking each alone. Knows nothing of what a language describes.
 */
import type { TokenMask } from '../constraint.js';
import { work } from '../core/budget.js';
import type { Language } from '../core/derivatives.js';
import { Kind, NOTHING } from '../core/expressions.js';
import type { MarkerSet } from '../core/markers.js';
import { OTHER_SPECIAL } from '../core/symbols.js';
import {
  type CharacterTokens,
  characterTokens,
  LENGTHS,
  lengthsWithout,
} from './character-tokens.js';
import type { TokenTrie } from './token-trie.js';
import type { VocabularyIndex } from './vocabulary-index.js';

/** Kinds of characters with fewer first bytes have few tokens: walking all of them is as fast. */
const MANY_FIRSTS = 120;

interface Run {
  readonly tokens: CharacterTokens;
  /** How many characters may follow; undefined: any number. */
  readonly most: number | undefined;
}

export class MaskMaker {
  private readonly owner: number;
  private readonly stack: Int32Array;

  constructor(
    private readonly language: Language,
    private readonly vocabulary: VocabularyIndex,
    /** Special tokens that the language names, by symbol. */
    private readonly symbols: ReadonlyMap<number, number>,
  ) {
    this.owner = vocabulary.masks.register();
    this.stack = new Int32Array(vocabulary.trie.deepest + 1);
  }

  /** The tokens that may follow a state, those that end the text among them. */
  mask(given: number): TokenMask {
    const { masks } = this.vocabulary;
    let mask = masks.get(this.owner, given);
    if (mask) return mask;
    const state = this.shortened(given);
    if (state !== given) mask = masks.get(this.owner, state);
    if (mask) return mask;
    mask = this.make(state);
    masks.set(this.owner, state, mask);
    return mask;
  }

  /** The same state with long counts cut to what one token can reach, so that masks are shared. */
  private shortened(state: number): number {
    const { language } = this;
    const chain = language.kind[state] === Kind.CONCAT;
    const head = chain ? language.a.at(state) : state;
    if (language.kind[head] !== Kind.REPEAT) return state;
    const reach = this.vocabulary.trie.deepest + 1;
    const least = language.b.at(head);
    const most = language.c.at(head);
    if (least <= reach && most <= reach) return state;
    const cut = language.repeat(
      language.a.at(head),
      Math.min(least, reach),
      most === -1 ? undefined : Math.min(most, reach),
    );
    return chain ? language.concat(cut, language.b.at(state)) : cut;
  }

  private make(state: number): TokenMask {
    const { language, vocabulary } = this;
    const run = this.run(state);
    let mask: TokenMask;
    if (!run) {
      mask = new Uint32Array(vocabulary.words);
      this.walk(vocabulary.trie, state, mask);
    } else {
      const { tokens, most } = run;
      const { byLength, rest, long } = tokens;
      const whole = most === undefined || most >= tokens.longest;
      mask = (byLength[whole ? byLength.length - 1 : LENGTHS] as TokenMask).slice();
      if (!whole) {
        for (const { token, length } of long) {
          if (length <= (most as number) || this.allowed(state, token)) set(mask, token);
        }
      }
      this.walk(rest, state, mask);
    }
    this.addTwins(mask);
    this.addSpecials(state, mask);
    if (language.nullable(state)) for (const end of vocabulary.ends) set(mask, end);
    return mask;
  }

  /** The run of characters that a state begins with, where it has one that is worth knowing. */
  private run(state: number): Run | undefined {
    const { language } = this;
    const members =
      language.kind[state] === Kind.EITHER ? language.lists.get(language.a.at(state)) : [state];
    let best: Run | undefined;
    for (const member of members) {
      const found = this.freeText(member) ?? this.repeated(member);
      if (found && (!best || found.tokens.rest.size < best.tokens.rest.size)) best = found;
    }
    return best;
  }

  /** Free text before any mark has begun: whatever has no first byte of a mark goes on with it. */
  private freeText(member: number): Run | undefined {
    const { language, vocabulary } = this;
    if (language.kind[member] !== Kind.UNTIL || language.b.at(member) !== 0) return undefined;
    const { markers } = language.markerSets[language.a.at(member)] as MarkerSet;
    const firsts = new Set(markers.map(({ symbols }) => symbols[0] as number));
    const bytes = [...firsts].filter((symbol) => symbol < 256).sort((x, y) => x - y);
    const tokens = vocabulary.masks.charactersOf(`without ${bytes.join(' ')}`, () =>
      characterTokens(vocabulary, lengthsWithout(vocabulary, bytes)),
    );
    return { tokens, most: undefined };
  }

  /** A repeat of one kind of character that most tokens consist of. */
  private repeated(member: number): Run | undefined {
    const { language, vocabulary } = this;
    const head = language.kind[member] === Kind.CONCAT ? language.a.at(member) : member;
    const repeat = language.kind[head] === Kind.BOTH ? language.endlessRun(head) : head;
    if (repeat === undefined || language.kind[repeat] !== Kind.REPEAT) return undefined;
    const what = language.a.at(repeat);
    const most = language.c.at(repeat) === -1 ? undefined : language.c.at(repeat);
    const name = language.characterNames.get(what);
    if (name === undefined || (most !== undefined && most < LENGTHS)) return undefined;
    let firsts = 0;
    for (let byte = 0; byte < 256; byte++) if (this.step(what, byte) !== NOTHING) firsts++;
    if (firsts < MANY_FIRSTS) return undefined;
    const tokens = vocabulary.masks.charactersOf(name, () =>
      characterTokens(vocabulary, this.lengths(what)),
    );
    return { tokens, most };
  }

  /** Of each token, how many characters of a kind it is; -1: it is not whole ones. */
  private lengths(what: number): Int32Array {
    const { language, vocabulary } = this;
    const again = language.repeat(what, 0);
    const lengths = new Int32Array(vocabulary.size).fill(-1);
    const { trie } = vocabulary;
    const counts = new Int32Array(trie.deepest + 1);
    const { stack } = this;
    stack[0] = again;
    for (let node = 0; node < trie.size; ) {
      const depth = trie.depth[node] as number;
      const next = this.step(stack[depth - 1] as number, trie.byte[node] as number);
      if (next === NOTHING) {
        node = trie.skip[node] as number;
        continue;
      }
      stack[depth] = next;
      counts[depth] = (counts[depth - 1] as number) + (next === again ? 1 : 0);
      const token = trie.token[node] as number;
      if (token >= 0 && next === again) lengths[token] = counts[depth] as number;
      node++;
    }
    return lengths;
  }

  private step(state: number, byte: number): number {
    return this.language.derive(state, this.language.classes.standIn[byte] as number);
  }

  private walk(trie: TokenTrie, state: number, mask: TokenMask): void {
    const { language, stack } = this;
    const { standIn } = language.classes;
    const { byte, depth, skip, token, size } = trie;
    stack[0] = state;
    for (let node = 0; node < size; ) {
      const level = depth[node] as number;
      const symbol = standIn[byte[node] as number] as number;
      const next = language.derive(stack[level - 1] as number, symbol);
      if (next === NOTHING) {
        node = skip[node] as number;
        continue;
      }
      work(1 / 16);
      stack[level] = next;
      const id = token[node] as number;
      if (id >= 0) set(mask, id);
      node++;
    }
  }

  private addTwins(mask: TokenMask): void {
    const { twins, size } = this.vocabulary;
    if (!this.vocabulary.hasTwins) return;
    for (let id = 0; id < size; id++) {
      if (twins[id] === -1 || !has(mask, id)) continue;
      set(mask, twins[id] as number);
    }
  }

  private addSpecials(state: number, mask: TokenMask): void {
    const { language, vocabulary } = this;
    for (const [token, symbol] of this.symbols) {
      if (language.derive(state, symbol) !== NOTHING) set(mask, token);
    }
    if (language.derive(state, OTHER_SPECIAL) === NOTHING) return;
    for (const token of vocabulary.specials.values()) {
      if (!this.symbols.has(token) && !vocabulary.isEnd(token)) set(mask, token);
    }
  }

  /** The state after a token; `NOTHING` where it may not come. */
  after(state: number, token: number): number {
    const { language, vocabulary } = this;
    if (vocabulary.isSpecial(token)) {
      const symbol = this.symbols.get(token);
      if (symbol !== undefined) return language.derive(state, symbol);
      return vocabulary.isEnd(token) ? NOTHING : language.derive(state, OTHER_SPECIAL);
    }
    const bytes = vocabulary.bytesOf(token);
    return bytes.length === 0 ? NOTHING : language.walk(state, bytes);
  }

  private allowed(state: number, token: number): boolean {
    return this.language.walk(state, this.vocabulary.bytesOf(token)) !== NOTHING;
  }
}

function set(mask: TokenMask, token: number): void {
  mask[token >>> 5] = (mask[token >>> 5] as number) | (1 << (token & 31));
}

function has(mask: TokenMask, token: number): boolean {
  return (((mask[token >>> 5] as number) >>> (token & 31)) & 1) === 1;
}
