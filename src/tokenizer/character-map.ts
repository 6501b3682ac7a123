/**
 * SentencePiece's `precompiled_charsmap`: replacements for beginnings of a text, in a double array
 * whose steps are exclusive ors (arXiv 1805.05022's XCDA), the longest match first. A map is data of a
 * stranger: every index is checked. Knows nothing of tokens.
 */
import { PacelineError } from '../base/errors.js';
import { textOfBytes } from '../gguf/text.js';

const utf8 = new TextEncoder();

export class CharacterMap {
  private readonly nodes: Uint32Array;
  private readonly replacements: Buffer;

  /** @throws {PacelineError} `broken-file` when the parts do not fit into the bytes. */
  constructor(bytes: Uint8Array) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const size = bytes.byteLength >= 4 ? view.getUint32(0, true) : Number.POSITIVE_INFINITY;
    if (size + 4 >= bytes.byteLength) throw broken('its size does not fit');
    this.nodes = Uint32Array.from({ length: Math.floor(size / 4) }, (_, index) =>
      view.getUint32(4 + 4 * index, true),
    );
    this.replacements = Buffer.from(bytes.subarray(4 + size));
  }

  /** The text with every match replaced. @throws {PacelineError} `broken-file`. */
  apply(text: string): string {
    if (this.nodes.length === 0) return text;
    const bytes = utf8.encode(text);
    const parts: Buffer[] = [];
    // Bytes [kept, at) stay as they are.
    let kept = 0;
    for (let at = 0; at < bytes.length; ) {
      const match = this.longest(bytes, at);
      if (match === undefined) {
        do at++;
        while (((bytes[at] ?? 0) & 0xc0) === 0x80);
        continue;
      }
      parts.push(Buffer.from(bytes.subarray(kept, at)), this.replacement(match.value));
      at += match.length;
      kept = at;
    }
    if (parts.length === 0) return text;
    parts.push(Buffer.from(bytes.subarray(kept)));
    return textOfBytes(Buffer.concat(parts));
  }

  private longest(bytes: Uint8Array, start: number) {
    let found: { length: number; value: number } | undefined;
    let index = base(this.node(0));
    for (let at = start; at < bytes.length; at++) {
      const byte = bytes[at] as number;
      if (byte === 0) break;
      index = (index ^ byte) >>> 0;
      const node = this.node(index);
      // The label of a node, with the bit that tells replacements from nodes.
      if ((node & 0x800000ff) >>> 0 !== byte) break;
      index = (index ^ base(node)) >>> 0;
      if (((node >>> 8) & 1) === 1) {
        found = { length: at - start + 1, value: this.node(index) & 0x7fffffff };
      }
    }
    return found;
  }

  private node(index: number): number {
    const node = this.nodes[index];
    if (node === undefined) throw broken(`it leads to entry ${index} of ${this.nodes.length}`);
    return node;
  }

  private replacement(offset: number): Buffer {
    const end = offset < this.replacements.length ? this.replacements.indexOf(0, offset) : -1;
    if (end < 0) throw broken(`no replacement begins at ${offset} and ends`);
    return this.replacements.subarray(offset, end);
  }
}

/** Where the children of a node begin. */
function base(node: number): number {
  return ((node >>> 10) << ((node & 0x200) >>> 6)) >>> 0;
}

function broken(problem: string): PacelineError {
  return new PacelineError(
    'broken-file',
    `Metadata key 'tokenizer.ggml.precompiled_charsmap' is damaged: ${problem}`,
    { hint: 'Convert the model again, or get another file.' },
  );
}
