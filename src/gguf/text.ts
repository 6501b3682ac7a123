/**
 * Strings of GGUF as JavaScript's, without loss. The format asks for UTF-8, but vocabularies hold
 * tokens that are parts of characters, and tools cut names inside one: each byte that belongs to no
 * character becomes the lone surrogate U+DC00 plus the byte (Python's `surrogateescape`), which no
 * valid string has, and turns back into that byte. Knows nothing of the format around the strings.
 */
import { isUtf8 } from 'node:buffer';

const ESCAPE = 0xdc00;

/** Bytes as text. Time and memory are linear in them, valid or not. */
export function textOfBytes(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  const units = new Uint16Array(bytes.length);
  let count = 0;
  for (let at = 0; at < bytes.length; ) {
    const size = characterSize(bytes, at);
    if (size <= 1) {
      const byte = bytes[at++] as number;
      units[count++] = size === 1 ? byte : ESCAPE + byte;
      continue;
    }
    let point = (bytes[at] as number) & (0x7f >> size);
    for (let next = 1; next < size; next++)
      point = (point << 6) | (byteAt(bytes, at + next) & 0x3f);
    at += size;
    if (point > 0xffff) {
      units[count++] = 0xd7c0 + (point >> 10);
      units[count++] = 0xdc00 + (point & 0x3ff);
    } else {
      units[count++] = point;
    }
  }
  return Buffer.from(units.buffer, 0, count * 2).toString('utf16le');
}

const lone = /[\udc80-\udcff]/gu;

/** The bytes of a text, the inverse of `textOfBytes`; other lone surrogates become U+FFFD. */
export function bytesOfText(text: string): Buffer {
  if (text.search(lone) < 0) return Buffer.from(text, 'utf8');
  const parts: Buffer[] = [];
  let done = 0;
  for (const { index } of text.matchAll(lone)) {
    parts.push(Buffer.from(text.slice(done, index), 'utf8'));
    parts.push(Buffer.of(text.charCodeAt(index) - ESCAPE));
    done = index + 1;
  }
  parts.push(Buffer.from(text.slice(done), 'utf8'));
  return Buffer.concat(parts);
}

/** Bytes of the character that starts at `at`; 0 where none does. */
function characterSize(bytes: Buffer, at: number): number {
  const lead = bytes[at] as number;
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  const second = byteAt(bytes, at + 1);
  // Neither longer than needed, nor a surrogate, nor beyond U+10FFFF.
  const least = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const most = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  if (second < least || second > most) return 0;
  for (let next = 2; next < size; next++) {
    if ((byteAt(bytes, at + next) & 0xc0) !== 0x80) return 0;
  }
  return size;
}

/** A byte, or 0 behind the end, which continues no character. */
function byteAt(bytes: Buffer, index: number): number {
  return bytes[index] ?? 0;
}
