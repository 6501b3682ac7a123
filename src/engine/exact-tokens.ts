/**
 * Text that was generated comes back in the next prompt as characters, and the tokenizer may cut them
 * otherwise than the model did. Here a prompt's tokens are exchanged for the known tokens of a text
 * whose bytes are the same, up to the last place where both have a cut: what follows keeps the
 * prompt's own tokens. The result is an encoding of the same bytes, with the same control tokens at
 * the same places. Knows nothing of where known texts are kept.
 */
import type { Tokenizer } from '../tokenizer/tokenizer.js';

/** Tokens that are known, one after the other, and how a text may go on from them. */
export interface KnownTokens {
  readonly tokens: ArrayLike<number>;
  /** What is known to follow all of `tokens`. */
  readonly next: () => Iterable<KnownTokens>;
}

/** Control tokens are units of their own: no text equals them. */
const controlBase = 256;

/** What a token stands for, in units: bytes, or itself. */
function* unitsOf(tokenizer: Tokenizer, token: number): Iterable<number> {
  const bytes = tokenizer.isControl(token) ? undefined : tokenizer.tokenBytes(token);
  if (bytes === undefined || bytes.length === 0) yield controlBase + token;
  else yield* bytes;
}

/** The tokens for a prompt: those of the known text that has most of it, then the prompt's own. */
export function exactTokens(
  tokenizer: Tokenizer,
  prompt: readonly number[],
  known: Iterable<KnownTokens>,
): readonly number[] {
  const units: number[] = [];
  /** Where the prompt's tokens begin, by unit. */
  const cuts = new Map<number, number>();
  for (const [index, token] of prompt.entries()) {
    cuts.set(units.length, index);
    for (const unit of unitsOf(tokenizer, token)) units.push(unit);
  }
  cuts.set(units.length, prompt.length);
  let best = { units: 0, own: true, tokens: [] as readonly number[], rest: 0 };
  const open = [...known].map((node) => ({ node, at: 0, path: [] as readonly number[] }));
  for (let entry = open.pop(); entry !== undefined; entry = open.pop()) {
    const { node } = entry;
    const path = [...entry.path];
    let { at } = entry;
    let agrees = true;
    let reached: { units: number; count: number; rest: number } | undefined;
    for (let index = 0; index < node.tokens.length && agrees; index++) {
      const token = node.tokens[index] as number;
      let end = at;
      for (const unit of unitsOf(tokenizer, token)) agrees &&= units[end++] === unit;
      if (!agrees) break;
      path.push(token);
      at = end;
      const rest = cuts.get(at);
      if (rest === undefined || at < best.units) continue;
      reached = { units: at, count: path.length, rest };
    }
    if (reached !== undefined) {
      const { units: length, count, rest } = reached;
      const tokens = path.slice(0, count);
      // Of two ways to say the same, the prompt's own is the better one.
      const own = count === rest && tokens.every((id, place) => id === prompt[place]);
      if (length > best.units || (own && length === best.units))
        best = { units: length, own, tokens, rest };
    }
    if (agrees) for (const next of node.next()) open.push({ node: next, at, path });
  }
  return best.own ? prompt : [...best.tokens, ...prompt.slice(best.rest)];
}
