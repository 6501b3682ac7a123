/**
 * A vocabulary as constraints need it: the bytes of every token, a trie of them, which tokens are
 * special (no text) and which end a text. Made once a tokenizer, in slices that let other work run.
 * Knows nothing of languages.
 */
import { setImmediate } from 'node:timers/promises';
import { throwIfAborted } from '../../base/errors.js';
import type { Tokenizer } from '../../tokenizer/tokenizer.js';
import { type CharacterTokens, commonCharacters } from './character-tokens.js';
import { MaskCache } from './mask-cache.js';
import { buildTrie, sortTokens, type TokenTexts, type TokenTrie } from './token-trie.js';

/** What an index is made of; a tokenizer is one. */
export interface TokenSource {
  readonly vocabSize: number;
  /** True for tokens that are no text. */
  isControl(id: number): boolean;
  isEndOfGeneration(id: number): boolean;
  tokenText(id: number): string;
  /** Writes the bytes of a token that is text, as far as there is room; returns how many they are. */
  writeTokenBytes(id: number, into: Uint8Array, at: number): number;
}

export interface IndexOptions {
  /** Milliseconds of work between two turns of the event loop. Default 8. */
  readonly slice?: number;
  readonly signal?: AbortSignal;
  /** Bytes that masks of this vocabulary may take. Default 64 MiB. */
  readonly maskMemory?: number;
}

const indexes = new WeakMap<TokenSource, Promise<VocabularyIndex>>();

/**
 * The index of a tokenizer, built when first asked for, for all who ask: whoever stops waiting for it
 * ends nobody else's wait. @throws {PacelineError} `aborted`
 */
export async function vocabularyIndex(
  tokenizer: Tokenizer,
  { signal, ...options }: IndexOptions = {},
): Promise<VocabularyIndex> {
  throwIfAborted(signal);
  let index = indexes.get(tokenizer);
  if (!index) {
    index = buildIndex(tokenizer, options);
    indexes.set(tokenizer, index);
    index.catch(() => indexes.delete(tokenizer));
  }
  if (signal === undefined) return index;
  let stop: () => void = () => {};
  const stopped = new Promise<void>((resolve) => {
    stop = resolve;
  });
  signal.addEventListener('abort', stop, { once: true });
  try {
    const built = await Promise.race([index, stopped]);
    throwIfAborted(signal);
    return built ?? (await index);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** Builds an index. @throws {PacelineError} `aborted` */
export async function buildIndex(
  source: TokenSource,
  options: IndexOptions = {},
): Promise<VocabularyIndex> {
  const { slice = 8, signal } = options;
  const { vocabSize } = source;
  const starts = new Uint32Array(vocabSize + 1);
  const specials = new Map<string, number>();
  const special = new Uint8Array(vocabSize);
  const ends: number[] = [];
  let bytes = new Uint8Array(vocabSize * 8 + 1024);
  let at = 0;
  let deadline = performance.now() + slice;
  for (let id = 0; id < vocabSize; id++) {
    starts[id] = at;
    if (source.isEndOfGeneration(id)) ends.push(id);
    if (source.isControl(id)) {
      special[id] = 1;
      specials.set(source.tokenText(id), id);
    } else {
      let length = source.writeTokenBytes(id, bytes, at);
      if (at + length > bytes.length) {
        const larger = new Uint8Array(bytes.length * 2 + length);
        larger.set(bytes);
        bytes = larger;
        length = source.writeTokenBytes(id, bytes, at);
      }
      at += length;
    }
    if ((id & 1023) === 0 && performance.now() > deadline) {
      throwIfAborted(signal);
      await setImmediate();
      deadline = performance.now() + slice;
    }
  }
  starts[vocabSize] = at;
  throwIfAborted(signal);
  await setImmediate();
  const texts: TokenTexts = { bytes: bytes.slice(0, at), starts };
  const ordinary = Int32Array.from({ length: vocabSize }, (_, id) => id).filter(
    (id) => special[id] === 0,
  );
  const sorted = sortTokens(ordinary, texts);
  throwIfAborted(signal);
  await setImmediate();
  const twins = new Int32Array(vocabSize).fill(-1);
  const trie = buildTrie(sorted, texts, twins);
  throwIfAborted(signal);
  await setImmediate();
  const words = (vocabSize + 31) >>> 5;
  const characters = commonCharacters({ size: vocabSize, words, sorted, texts });
  const facts = { texts, sorted, trie, twins, specials, special, ends, characters };
  return new VocabularyIndex(facts, options.maskMemory);
}

interface IndexFacts {
  readonly texts: TokenTexts;
  readonly sorted: Int32Array;
  readonly trie: TokenTrie;
  readonly twins: Int32Array;
  readonly specials: ReadonlyMap<string, number>;
  readonly special: Uint8Array;
  readonly ends: readonly number[];
  readonly characters: Map<string, CharacterTokens>;
}

export class VocabularyIndex {
  readonly texts: TokenTexts;
  /** Tokens that are text, in the order of their bytes. */
  readonly sorted: Int32Array;
  readonly trie: TokenTrie;
  /** Of each token, the next one with the same bytes, or -1. */
  readonly twins: Int32Array;
  /** Special tokens by their texts. */
  readonly specials: ReadonlyMap<string, number>;
  /** Tokens that end a text. */
  readonly ends: readonly number[];
  readonly size: number;
  /** 32-bit words of a mask. */
  readonly words: number;
  readonly masks: MaskCache;
  /** Whether any two tokens have the same bytes. */
  readonly hasTwins: boolean;
  private readonly special: Uint8Array;

  constructor(facts: IndexFacts, maskMemory = 64 * 2 ** 20) {
    this.texts = facts.texts;
    this.sorted = facts.sorted;
    this.trie = facts.trie;
    this.twins = facts.twins;
    this.specials = facts.specials;
    this.special = facts.special;
    this.ends = facts.ends;
    this.size = facts.special.length;
    this.words = (this.size + 31) >>> 5;
    this.hasTwins = facts.twins.some((twin) => twin !== -1);
    this.masks = new MaskCache(maskMemory, facts.characters);
  }

  isSpecial(id: number): boolean {
    return this.special[id] === 1;
  }

  isEnd(id: number): boolean {
    return this.ends.includes(id);
  }

  /** The bytes of a token that is text; none for a special one. */
  bytesOf(id: number): Uint8Array {
    const { bytes, starts } = this.texts;
    return bytes.subarray(starts[id], starts[id + 1]);
  }

  /**
   * Appends the tokens that most likely spell some bytes: the longest first. What comes after the
   * bytes is open, so that the last ones, which a longer token could cover, are left out.
   * @param ends whether a token ends where the bytes end
   * @returns whether all bytes were spelled
   */
  spell(bytes: readonly number[], ends: boolean, limit: number, output: number[]): boolean {
    const { trie } = this;
    let at = 0;
    for (let count = 0; at < bytes.length && count < limit; count++) {
      let [from, to] = [0, trie.size];
      let token = -1;
      let length = 0;
      let index = at;
      for (; index < bytes.length; index++) {
        let node = from;
        while (node < to && (trie.byte[node] as number) < (bytes[index] as number)) {
          node = trie.skip[node] as number;
        }
        if (node >= to || trie.byte[node] !== bytes[index]) break;
        if ((trie.token[node] as number) >= 0) {
          token = trie.token[node] as number;
          length = index + 1 - at;
        }
        from = node + 1;
        to = trie.skip[node] as number;
      }
      // Longer tokens go on beyond the bytes that are known.
      if (index === bytes.length && !ends && from < to) return false;
      if (token < 0) return false;
      output.push(token);
      at += length;
    }
    return at === bytes.length;
  }
}
