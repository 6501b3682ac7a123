/**
 * SentencePiece's unigram model (arXiv 1804.10959), as T5 and XLM-RoBERTa have it: of all ways to cut
 * a normalised text into tokens, the one with the largest sum of scores. Time is that of the text's
 * length times the longest token that matches. Knows nothing of BOS, EOS or special tokens.
 */
import { PacelineError } from '../base/errors.js';
import { CharacterMap } from './character-map.js';
import type { FragmentEncoder } from './fragment-encoder.js';
import { TokenSearch } from './token-search.js';
import { Attribute, type UnigramRules, type Vocabulary } from './vocabulary.js';

/** How much worse than the worst token an unknown character is. */
const unknownPenalty = 10;
/** No trainer makes longer ones; every position of a text may have to walk through one. */
const longestToken = 512;
const MATCHED = Attribute.NORMAL | Attribute.USER_DEFINED | Attribute.UNUSED;

export class UnigramEncoder implements FragmentEncoder {
  private readonly search: TokenSearch;
  private readonly unknownScore: number;
  private readonly characterMap: CharacterMap | undefined;

  constructor(
    private readonly vocabulary: Vocabulary,
    private readonly rules: UnigramRules,
  ) {
    const { texts, attributes, idOf } = vocabulary;
    const ids: number[] = [];
    let worst = 3.4028234663852886e38;
    for (let id = 0; id < texts.length; id++) {
      const attribute = attributes[id] as number;
      if ((attribute & Attribute.NORMAL) !== 0) worst = Math.min(worst, this.score(id));
      if ((attribute & MATCHED) === 0 || idOf.get(texts[id] as string) !== id) continue;
      if ((texts[id] as string).length > longestToken) throw tooLong(id);
      ids.push(id);
    }
    this.search = new TokenSearch(texts, ids);
    this.unknownScore = Math.fround(worst - unknownPenalty);
    const map = rules.characterMap;
    this.characterMap = map && new CharacterMap(map);
  }

  private score(id: number): number {
    return Math.fround(this.vocabulary.scores?.[id] ?? 0);
  }

  encode(text: string, _afterSpecial: boolean, output: number[]): void {
    const normal = this.normalise(text);
    const length = normal.length;
    if (length === 0) return;
    const { attributes, special } = this.vocabulary;
    const unknown = special.unknown ?? -1;
    // The best way to each position: its score, its last token, and where that begins.
    const best = new Float64Array(length + 1).fill(-Number.MAX_VALUE);
    const token = new Int32Array(length + 1).fill(unknown);
    const from = new Int32Array(length + 1);
    best[0] = 0;
    const challenge = (start: number, end: number, id: number, score: number) => {
      const sum = (best[start] as number) + score;
      if (sum <= (best[end] as number)) return;
      best[end] = sum;
      token[end] = id;
      from[end] = start;
    };
    for (let start = 0; start < length; ) {
      const next = start + ((normal.codePointAt(start) as number) > 0xffff ? 2 : 1);
      let whole = false;
      this.search.matches(normal, start, (id, end) => {
        const user = ((attributes[id] as number) & Attribute.USER_DEFINED) !== 0;
        challenge(start, end, id, user ? 0 : this.score(id));
        if (end === next) whole = true;
      });
      if (!whole) challenge(start, next, unknown, this.unknownScore);
      start = next;
    }
    this.backtrack(token, from, output);
  }

  /** Appends the best tokens in order; neighbours that are unknown are one. */
  private backtrack(token: Int32Array, from: Int32Array, output: number[]): void {
    const unknown = this.vocabulary.special.unknown ?? -1;
    const tokens: number[] = [];
    let afterUnknown = false;
    for (let end = token.length - 1; end > 0; end = from[end] as number) {
      const id = token[end] as number;
      if (!(afterUnknown && id === unknown) && id >= 0) tokens.push(id);
      afterUnknown = id === unknown;
    }
    for (let index = tokens.length - 1; index >= 0; index--) output.push(tokens[index] as number);
  }

  /** Applies the map of characters and writes spaces as U+2581. */
  private normalise(text: string): string {
    const mapped = this.characterMap?.apply(text) ?? text;
    const { mergeSpaces } = this.rules;
    const prefix = this.vocabulary.addSpacePrefix;
    let result = '';
    let prefixed = false;
    for (const run of mapped.matchAll(/ +|[^ ]+/g)) {
      const [part] = run;
      if (part.startsWith(' ')) {
        if (!mergeSpaces) result += '\u2581'.repeat(part.length);
        continue;
      }
      if ((prefix && !prefixed) || mergeSpaces) {
        result += '\u2581';
        prefixed = true;
      }
      result += part;
    }
    return result;
  }
}

function tooLong(id: number): PacelineError {
  return new PacelineError(
    'unsupported-tokenizer',
    `Token ${id} has more than ${longestToken} characters, too long for a unigram model`,
    { hint: 'The file is damaged or was made by a faulty tool.', details: { id } },
  );
}
