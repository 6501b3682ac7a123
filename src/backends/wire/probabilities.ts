/** Log-probabilities in the two shapes that the OpenAI APIs have for them. */
import { isRecord } from '../../base/records.js';
import type { TokenProbability } from '../../chat/events.js';
import { listOf, textOf } from './values.js';

/** Alternatives of one token that are read. */
const mostAlternatives = 128;

/** The tokens of a chunk; empty where it has none. */
export function probabilitiesOf(logprobs: unknown): readonly TokenProbability[] {
  if (!isRecord(logprobs)) return [];
  if (Array.isArray(logprobs.content)) {
    return logprobs.content.flatMap((entry) => {
      const chosen = plainProbability(entry);
      if (chosen === undefined || !isRecord(entry)) return [];
      const top = listOf(entry.top_logprobs).slice(0, mostAlternatives).flatMap(knownOnly);
      return [{ ...chosen, top }];
    });
  }
  const values = listOf(logprobs.token_logprobs);
  const tops = listOf(logprobs.top_logprobs);
  return listOf(logprobs.tokens).flatMap((token, index) => {
    const chosen = plainProbability({ token, logprob: values[index] });
    if (chosen === undefined) return [];
    const others = isRecord(tops[index]) ? Object.entries(tops[index]) : [];
    const top = others
      .slice(0, mostAlternatives)
      .flatMap(([text, logprob]) => knownOnly({ token: text, logprob }))
      .sort((a, b) => b.logprob - a.logprob);
    return [{ ...chosen, top }];
  });
}

type PlainProbability = Omit<TokenProbability, 'top'>;

function knownOnly(entry: unknown): PlainProbability[] {
  const known = plainProbability(entry);
  return known === undefined ? [] : [known];
}

function plainProbability(entry: unknown): PlainProbability | undefined {
  if (!isRecord(entry) || typeof entry.logprob !== 'number') return undefined;
  const text = textOf(entry.token);
  const given = listOf(entry.bytes);
  const isBytes = given.length > 0 && given.every((byte) => Number.isInteger(byte));
  return {
    text,
    bytes: isBytes ? (given as number[]) : [...Buffer.from(text)],
    logprob: entry.logprob,
  };
}
