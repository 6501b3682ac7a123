/** Bytes to lines, with an end to how much of a line is kept. */

/** A line without its line feed. */
export interface Line {
  readonly text: string;
  /** Bytes behind the limit were left out. */
  readonly cut: boolean;
  /** The bytes were not UTF-8. */
  readonly odd: boolean;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });
const windows1252 = new TextDecoder('windows-1252');

/** Lines of a stream. Memory is bounded by `limit` bytes, however long a line is. */
export async function* linesOf(
  chunks: AsyncIterable<Uint8Array>,
  { limit }: { readonly limit: number },
): AsyncGenerator<Line> {
  let kept: Uint8Array[] = [];
  let length = 0;
  let cut = false;
  const keep = (bytes: Uint8Array): void => {
    const room = limit - length;
    if (bytes.length > room) cut = true;
    const part = bytes.subarray(0, Math.max(0, room));
    if (part.length > 0) kept.push(part);
    length += part.length;
  };
  const end = (): Line => {
    const line = { ...decoded(Buffer.concat(kept), cut), cut };
    kept = [];
    length = 0;
    cut = false;
    return line;
  };
  for await (const chunk of chunks) {
    let start = 0;
    for (;;) {
      const at = chunk.indexOf(10, start);
      if (at < 0) break;
      keep(chunk.subarray(start, at));
      yield end();
      start = at + 1;
    }
    // A copy: the stream may use its buffer again.
    if (start < chunk.length) keep(Uint8Array.from(chunk.subarray(start)));
  }
  if (length > 0 || cut) yield end();
}

function decoded(
  bytes: Uint8Array,
  cut: boolean,
): { readonly text: string; readonly odd: boolean } {
  // A cut may go through a character: its first bytes are left out.
  const whole = cut ? bytes.subarray(0, lastBoundary(bytes)) : bytes;
  try {
    return { text: utf8.decode(whole), odd: false };
  } catch {
    return { text: windows1252.decode(whole), odd: true };
  }
}

/** Where the last character of UTF-8 begins. */
function lastBoundary(bytes: Uint8Array): number {
  let at = bytes.length - 1;
  while (at > 0 && ((bytes[at] ?? 0) & 0xc0) === 0x80) at--;
  return Math.max(0, at);
}
