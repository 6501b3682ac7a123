/**
 * Reads the pieces of a SentencePiece model (tokenizer.model), a protocol buffer: of ModelProto only
 * the repeated field 1 (piece: text 1, score 2, type 3). Everything else is skipped by its length;
 * every length is checked. Format: sentencepiece_model.proto
 */
import { PacelineError } from '../base/errors.js';

export interface SentencePiece {
  readonly text: string;
  readonly score: number;
  /** 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte: also GGUF's numbers. */
  readonly type: number;
}

/** More than any vocabulary has. */
const mostPieces = 2 ** 24;

/** The pieces in the order of their ids. @throws {PacelineError} `broken-file`. */
export function readSentencePieces(bytes: Uint8Array, name: string): SentencePiece[] {
  const pieces: SentencePiece[] = [];
  for (const field of fields(bytes, name)) {
    if (field.number !== 1 || field.bytes === undefined) continue;
    if (pieces.length === mostPieces) throw broken(name, 'it has too many pieces');
    pieces.push(readPiece(field.bytes, name));
  }
  if (pieces.length === 0) throw broken(name, 'it has no pieces');
  return pieces;
}

function readPiece(bytes: Uint8Array, name: string): SentencePiece {
  let text = '';
  let score = 0;
  let type = 1;
  for (const field of fields(bytes, name)) {
    if (field.number === 1 && field.bytes !== undefined) {
      text = Buffer.from(field.bytes).toString('utf8');
    } else if (field.number === 2 && field.bytes?.byteLength === 4) {
      score = new DataView(field.bytes.buffer, field.bytes.byteOffset).getFloat32(0, true);
    } else if (field.number === 3 && field.value !== undefined) {
      type = field.value;
    }
  }
  if (type < 1 || type > 6) throw broken(name, `a piece has the type ${type}`);
  return { text, score, type };
}

interface Field {
  readonly number: number;
  /** Of numbers with variable length. */
  readonly value?: number;
  /** Of everything else. */
  readonly bytes?: Uint8Array;
}

function* fields(bytes: Uint8Array, name: string): Generator<Field> {
  let at = 0;
  const integer = (): number => {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) throw broken(name, 'it ends within a number');
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw broken(name, 'a number is too long');
  };
  const take = (count: number): Uint8Array => {
    if (count > bytes.byteLength - at) throw broken(name, `a field of ${count} bytes does not fit`);
    at += count;
    return bytes.subarray(at - count, at);
  };
  while (at < bytes.byteLength) {
    const key = integer();
    const number = Math.floor(key / 8);
    switch (key % 8) {
      case 0:
        yield { number, value: integer() };
        break;
      case 1:
        yield { number, bytes: take(8) };
        break;
      case 2:
        yield { number, bytes: take(integer()) };
        break;
      case 5:
        yield { number, bytes: take(4) };
        break;
      default:
        throw broken(name, `a field has the unknown form ${key % 8}`);
    }
  }
}

function broken(name: string, problem: string): PacelineError {
  return new PacelineError('broken-file', `${name}: ${problem}`, {
    hint: 'The file is no SentencePiece model, or damaged; download it again.',
    details: { file: name },
  });
}
