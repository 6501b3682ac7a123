/**
 * SentencePiece's unigram vocabularies in tokenizer.json (`Unigram`: XLM-RoBERTa, T5), and what comes
 * before the cutting: the map of characters and how spaces are written. What is not SentencePiece's own is
 * refused, since the engine cuts as SentencePiece does.
 */
import { PacelineError } from '../base/errors.js';
import { isRecord } from '../base/records.js';
import type { GgufMetadataEntry } from '../gguf/types.js';
import { ggufValue } from '../gguf/values.js';
import type { JsonObject } from './json.js';

export interface UnigramVocabulary {
  readonly texts: readonly string[];
  readonly scores: readonly number[];
  /** The token of what no other covers. */
  readonly unknown: number;
  /** Entries of the file beside the tokens. */
  readonly rules: ReadonlyMap<string, GgufMetadataEntry>;
}

/** @throws {PacelineError} `unsupported-tokenizer`, `broken-file`. */
export function readUnigramVocabulary(tokenizer: JsonObject, model: JsonObject): UnigramVocabulary {
  if (model.boolean('byte_fallback') === true) throw unsupported('falls back to bytes');
  const texts: string[] = [];
  const scores: number[] = [];
  for (const [id, entry] of (model.list('vocab') ?? []).entries()) {
    const [text, score] = Array.isArray(entry) ? (entry as readonly unknown[]) : [];
    if (typeof text !== 'string' || typeof score !== 'number') {
      throw model.wrong('vocab', `has no text with a score at place ${id}`);
    }
    texts.push(text);
    scores.push(score);
  }
  const unknown = model.get('unk_id');
  if (!Number.isSafeInteger(unknown) || texts[unknown as number] === undefined) {
    throw model.wrong('unk_id', 'is no token of the vocabulary');
  }
  return { texts, scores, unknown: unknown as number, rules: rulesOf(tokenizer) };
}

function rulesOf(tokenizer: JsonObject): Map<string, GgufMetadataEntry> {
  const rules = new Map<string, GgufMetadataEntry>();
  const normal = normalizerOf(tokenizer);
  const cut = preTokenizerOf(tokenizer);
  const set = (key: string, entry: GgufMetadataEntry) => rules.set(`tokenizer.ggml.${key}`, entry);
  set('add_space_prefix', ggufValue.boolean(cut.prefix));
  set('remove_extra_whitespaces', ggufValue.boolean(normal.merges || cut.words));
  if (normal.map !== undefined) {
    set('precompiled_charsmap', ggufValue.numbers('uint8', [...normal.map]));
  }
  return rules;
}

/** A step by itself, or the steps of a `Sequence`. */
function stepsOf(tokenizer: JsonObject, name: string, list: string) {
  const given = tokenizer.object(name);
  const steps = given?.string('type') === 'Sequence' ? given.list(list) : [given?.values];
  return (steps ?? []).filter(isRecord);
}

/** The map of characters, and whether runs of spaces become one. */
function normalizerOf(tokenizer: JsonObject) {
  let map: Uint8Array | undefined;
  let merges = false;
  for (const step of stepsOf(tokenizer, 'normalizer', 'normalizers')) {
    const pattern = isRecord(step.pattern) ? step.pattern.Regex : undefined;
    const replacesRuns = pattern === ' {2,}' && [' ', '\u2581'].includes(String(step.content));
    if (step.type === 'Precompiled' && typeof step.precompiled_charsmap === 'string' && !map) {
      map = new Uint8Array(Buffer.from(step.precompiled_charsmap, 'base64'));
    } else if (step.type === 'Replace' && replacesRuns) {
      merges = true;
    } else if (step.type !== 'Strip' || step.strip_left === true) {
      throw unsupported(`normalises by ${String(step.type)}`);
    }
  }
  return { map, merges };
}

/** Whether a space comes before the text, and whether spaces between words count as one. */
function preTokenizerOf(tokenizer: JsonObject) {
  const steps = stepsOf(tokenizer, 'pre_tokenizer', 'pretokenizers');
  const names = steps.map(({ type }) => String(type)).join(', then ');
  const words = steps.length === 2 && steps[0]?.type === 'WhitespaceSplit';
  const space = steps.at(-1);
  const known = space?.type === 'Metaspace' && steps.length === (words ? 2 : 1);
  if (!known || (space.replacement ?? '\u2581') !== '\u2581') {
    throw unsupported(`cuts by ${names || 'nothing'}`);
  }
  const scheme = space.prepend_scheme ?? (space.add_prefix_space === false ? 'never' : 'always');
  return { words, prefix: scheme !== 'never' };
}

function unsupported(problem: string): PacelineError {
  return new PacelineError('unsupported-tokenizer', `The unigram tokenizer ${problem}`, {
    hint: 'Known are those that do what SentencePiece does, as of XLM-RoBERTa and T5.',
  });
}
