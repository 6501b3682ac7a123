/** Reads a stream of server-sent events in pieces of any size, each event bounded. Knows no API. */

/** Characters that one event may have. */
const mostCharacters = 8 * 2 ** 20;

export class EventReader {
  #decoder = new TextDecoder();
  /** Pieces of a line that is not complete. */
  #held: string[] = [];
  #heldSize = 0;
  #data: string[] = [];
  #size = 0;

  /**
   * The data of the events that are complete with this piece.
   * @throws {RangeError} for an event that is too long
   */
  push(piece: Uint8Array): readonly string[] {
    const text = this.#decoder.decode(piece, { stream: true });
    const found: string[] = [];
    let from = 0;
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', from)) {
      const line = this.#held.join('') + text.slice(from, at);
      this.#held = [];
      this.#heldSize = 0;
      this.#line(line.endsWith('\r') ? line.slice(0, -1) : line, found);
      from = at + 1;
    }
    const rest = text.slice(from);
    if (rest !== '') this.#held.push(rest);
    this.#heldSize += rest.length;
    if (this.#heldSize + this.#size > mostCharacters) {
      throw new RangeError(`an event of the stream has more than ${mostCharacters} characters`);
    }
    return found;
  }

  #line(line: string, found: string[]): void {
    if (line === '') {
      if (this.#data.length > 0) found.push(this.#data.join('\n'));
      this.#data = [];
      this.#size = 0;
    } else if (line.startsWith('data:')) {
      const data = line.slice(line[5] === ' ' ? 6 : 5);
      this.#data.push(data);
      this.#size += data.length;
    }
    // Comments, names and ids of events say nothing that the data does not.
  }
}
