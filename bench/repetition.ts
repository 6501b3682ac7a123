/**
 * Whether a text loops: eight tokens in a row come three times within its last 96, or its last 48
 * repeat with a period of at most 16.
 */
export function loops(tokens: readonly number[]): boolean {
  const tail = tokens.slice(-96);
  const seen = new Map<string, number>();
  for (let at = 0; at + 8 <= tail.length; at++) {
    const key = tail.slice(at, at + 8).join(' ');
    const times = (seen.get(key) ?? 0) + 1;
    if (times >= 3) return true;
    seen.set(key, times);
  }
  const end = tokens.slice(-48);
  if (end.length < 48) return false;
  for (let period = 1; period <= 16; period++) {
    if (end.every((token, at) => at < period || token === end[at - period])) return true;
  }
  return false;
}
