/**
 * Text in a commit that speaks to a language model instead of people. Finding it is a mark for the
 * reader and for the ranking. What protects the scan is elsewhere: the answer's shape is held by a
 * schema, and every line of a commit stands behind a mark that it can't leave.
 */
import type { Commit } from './commit.js';

const patterns: readonly (readonly [name: string, pattern: RegExp])[] = [
  [
    'instructions to a model',
    /\b(ignore|disregard|forget|override)\b.{0,40}\b(instructions?|prompts?|rules|above|previous|prior)\b/i,
  ],
  [
    'a role for a model',
    /\byou are (now |an? |the )?.{0,20}\b(ai|assistant|language model|chatbot|llm)\b/i,
  ],
  [
    'an answer for a model',
    /"?\b(fix|kind|confidence)\b"?\s*[:=]\s*("?(true|false|none)\b|\d)|\b(answer|respond|reply|output|say|classify)\b.{0,40}\b(json|not a (security )?fix|"?none"?|false|benign|harmless|confidence)\b/i,
  ],
  [
    'marks of a chat template',
    /<\|[a-z_]+\|>|\[\/?INST\]|<\/?s>|<(start|end)_of_turn>|\b(system|assistant)\s*:\s*\S/i,
  ],
  // Zero width, directions, tags: what a reader does not see.
  [
    'invisible characters',
    /[\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\u{e0000}-\u{e007f}]/u,
  ],
];

/** What in the message, in paths or in added lines speaks to a model; empty for nearly all commits. */
export function injectionsIn({ message, files, author }: Commit): readonly string[] {
  const places: readonly (readonly [where: string, text: string])[] = [
    ['message', message],
    ['author', author],
    ['path', files.map(({ path }) => path).join('\n')],
    ['diff', files.flatMap(({ lines }) => lines.filter((line) => line.startsWith('+'))).join('\n')],
  ];
  return places.flatMap(([where, text]) =>
    patterns
      // Code has answers and roles of its own; there only the plain cases count.
      .filter(([name]) => where !== 'diff' || /instructions|invisible/.test(name))
      .filter(([, pattern]) => pattern.test(text))
      .map(([name]) => `${name} in the ${where}`),
  );
}
