/**
 * Shares the room of a pass among prompts that wait to be read. A pure policy: short ones are done at
 * once, long ones get equal parts, those with a higher priority or
 * an earlier deadline come first.
 */

export interface Reader {
  readonly priority: number;
  /** When its first token is wanted; Infinity: whenever it comes. */
  readonly deadline: number;
  /** Tokens that are still to be read. */
  readonly promptLeft: number;
}

/** A part that is shorter waits for another pass, unless it is the whole rest of a prompt. */
const shortestPart = 16;

/**
 * Tokens for each reader in this pass, in the order given; 0 for who gets none. Somebody always gets
 * at least one.
 */
export function shareRoom(readers: readonly Reader[], room: number): number[] {
  const shares = new Map<Reader, number>();
  let left = Math.max(1, room);
  const order = [...readers].sort(
    (a, b) =>
      b.priority - a.priority ||
      (a.deadline === b.deadline ? 0 : a.deadline - b.deadline) ||
      a.promptLeft - b.promptLeft,
  );
  for (const [index, reader] of order.entries()) {
    const { priority, deadline } = reader;
    const rivals = order
      .slice(index)
      .filter((other) => other.priority === priority && other.deadline === deadline).length;
    const fair = Math.ceil(left / rivals);
    const part = Math.min(reader.promptLeft, Math.max(fair, Math.min(left, shortestPart)), left);
    if (part < Math.min(reader.promptLeft, shortestPart) && shares.size > 0) continue;
    if (part <= 0) continue;
    shares.set(reader, part);
    left -= part;
  }
  return readers.map((reader) => shares.get(reader) ?? 0);
}
