/**
 * The printable alphabet of byte-level BPE (GPT-2): each of the 256 bytes is written as one
 * character, so that vocabularies can be stored as text. Knows nothing of vocabularies.
 */

const charOfByte: string[] = [];
const byteOfPoint = new Int16Array(0x180).fill(-1);
for (let byte = 0, extra = 0x100; byte < 256; byte++) {
  const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
  const point = printable ? byte : extra++;
  charOfByte.push(String.fromCharCode(point));
  byteOfPoint[point] = byte;
}

/** The character that stands for a byte (0 to 255). */
export function byteToChar(byte: number): string {
  return charOfByte[byte] as string;
}

/** The byte that a code point stands for, or -1. */
export function charToByte(point: number): number {
  return byteOfPoint[point] ?? -1;
}

/** The alphabet's spelling of UTF-8 bytes. */
export function spellBytes(bytes: Uint8Array, length = bytes.length): string {
  let text = '';
  for (let index = 0; index < length; index++) text += charOfByte[bytes[index] as number];
  return text;
}
