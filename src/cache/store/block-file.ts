/**
 * The files of the store: a header that says what the file holds and how its parts sum up, then the
 * parts one behind the other. A header is believed only when its own checksum, the file's size and
 * the file's name agree with it. Knows neither models nor the index.
 *
 *     bytes 0..7    `PLKVBLK` and a line break
 *     bytes 8..11   version of the format, u32
 *     bytes 12..15  length of the description, u32
 *     bytes 16..47  checksum of the description, 32 hexadecimal digits
 *     bytes 48..    description: JSON, a zero byte, the token ids as u32; then zeros
 *     from a multiple of 4096: the parts
 *
 * Numbers are little-endian.
 */
import type { FileHandle } from 'node:fs/promises';
import { z } from 'zod';
import { checksum } from './checksum.js';
import { blockName, formatVersion, isName } from './names.js';

/**
 * `rows`: a part for every 64 positions. `window`: the same of the layers that look back on a window only,
 * where somebody is likely to need them. `state`: what does not grow, at the end of the tokens.
 */
export const blockKinds = ['rows', 'window', 'state'] as const;
export type BlockKind = (typeof blockKinds)[number];

/** The blocks in which rows are saved, by what keeps them. */
export const blockOfRows = { whole: 'rows', window: 'window' } as const;

export interface BlockPart {
  /** Of rows: ''. Of a state whose it is: '' is the model's own, others are drafters. */
  readonly name: string;
  readonly bytes: number;
  readonly sum: string;
}

/** What a file says about itself. */
export interface BlockHeader {
  readonly kind: BlockKind;
  /** The block before it, or the root. */
  readonly parent: string;
  /** Position of the first token. */
  readonly start: number;
  readonly tokens: Uint32Array;
  readonly parts: readonly BlockPart[];
  /** Milliseconds that computing it took, about. */
  readonly costMs: number;
  /** The beginning of its text, for people. */
  readonly text: string;
}

const magic = Buffer.from('PLKVBLK\n', 'latin1');
const fixedBytes = 48;
const alignment = 4096;
/** Longer descriptions are no file of ours: 65,536 tokens in a block and many parts fit. */
const mostDescription = 4 << 20;
const most = Number.MAX_SAFE_INTEGER;

const descriptionSchema = z.strictObject({
  kind: z.enum(blockKinds),
  parent: z.string(),
  start: z.number().int().min(0).max(most),
  count: z.number().int().min(1).max(65_536),
  parts: z
    .array(
      z.strictObject({
        name: z.string().max(100),
        bytes: z.number().int().min(0).max(most),
        sum: z.string().regex(/^[0-9a-f]{32}$/),
      }),
    )
    .max(4096),
  costMs: z.number().min(0),
  text: z.string(),
});

/** Where the parts begin in a file with such a description. */
function payloadStart(description: number): number {
  return Math.ceil((fixedBytes + description) / alignment) * alignment;
}

/** The bytes before the parts. */
export function encodeHeader(header: BlockHeader): Uint8Array {
  const { tokens, ...rest } = header;
  const json = Buffer.from(`${JSON.stringify({ ...rest, count: tokens.length })}\0`);
  const ids = Buffer.from(tokens.buffer, tokens.byteOffset, tokens.byteLength);
  const description = Buffer.concat([json, ids]);
  const bytes = Buffer.alloc(payloadStart(description.length));
  magic.copy(bytes);
  bytes.writeUInt32LE(formatVersion, 8);
  bytes.writeUInt32LE(description.length, 12);
  bytes.write(checksum(description), 16, 'latin1');
  description.copy(bytes, fixedBytes);
  return bytes;
}

/** Why a file is not used. */
export class BadBlock extends Error {}

/** A header with the place of its parts. */
export interface ReadHeader {
  readonly header: BlockHeader;
  /** Where the first part begins. */
  readonly payload: number;
  /** Size of the file. */
  readonly bytes: number;
}

/**
 * Reads and checks the header of an open file, not the parts.
 * @param name what the file is called, without its ending.
 * @throws {BadBlock} when anything about it is wrong; what the system throws when it can't be read.
 */
export async function readHeader(
  handle: FileHandle,
  kind: BlockKind,
  name: string,
): Promise<ReadHeader> {
  const { size } = await handle.stat();
  if (size < alignment) throw new BadBlock('it is too short');
  let bytes = await readBytes(handle, alignment);
  if (!bytes.subarray(0, 8).equals(magic)) throw new BadBlock('it is no block');
  const version = bytes.readUInt32LE(8);
  if (version !== formatVersion) throw new BadBlock(`it has version ${version} of the format`);
  const length = bytes.readUInt32LE(12);
  const payload = payloadStart(length);
  if (length > mostDescription || payload > size) throw new BadBlock('its header is damaged');
  if (payload > bytes.length) bytes = await readBytes(handle, payload);
  const description = bytes.subarray(fixedBytes, fixedBytes + length);
  if (bytes.toString('latin1', 16, fixedBytes) !== checksum(description)) {
    throw new BadBlock('its header is damaged');
  }
  const header = parseDescription(description);
  const total = header.parts.reduce((sum, part) => sum + part.bytes, payload);
  if (total !== size) throw new BadBlock(`it has ${size} bytes instead of ${total}`);
  if (header.kind !== kind || blockName(header.parent, header.tokens) !== name) {
    throw new BadBlock('its name is that of another block');
  }
  return { header, payload, bytes: size };
}

function parseDescription(description: Buffer): BlockHeader {
  const end = description.indexOf(0);
  let raw: unknown;
  try {
    raw = JSON.parse(description.toString('utf8', 0, end));
  } catch {
    throw new BadBlock('its header makes no sense');
  }
  const parsed = descriptionSchema.safeParse(raw);
  if (!parsed.success || !isName(parsed.data.parent)) {
    throw new BadBlock('its header makes no sense');
  }
  const { count, ...rest } = parsed.data;
  const ids = description.subarray(end + 1);
  if (end < 0 || ids.length !== count * 4) throw new BadBlock('its tokens are not all there');
  return { ...rest, tokens: new Uint32Array(Uint8Array.from(ids).buffer) };
}

async function readBytes(handle: FileHandle, count: number): Promise<Buffer> {
  const bytes = Buffer.alloc(count);
  await readInto(handle, [bytes], 0);
  return bytes;
}

/** Vectors that one call of the system takes, with room to spare. */
const mostVectors = 512;

/**
 * Fills the targets from `position` on, in as few calls as the system allows.
 * @throws {BadBlock} when the file ends before.
 */
export async function readInto(
  handle: FileHandle,
  targets: readonly Uint8Array[],
  position: number,
): Promise<void> {
  let at = position;
  let left = targets.filter((target) => target.byteLength > 0);
  while (left.length > 0) {
    const { bytesRead } = await handle.readv(left.slice(0, mostVectors), at);
    if (bytesRead === 0) throw new BadBlock('it ends too early');
    at += bytesRead;
    left = after(left, bytesRead);
  }
}

/** What is left of the targets when the first `count` bytes are done. */
function after(targets: readonly Uint8Array[], count: number): Uint8Array[] {
  let done = count;
  const left: Uint8Array[] = [];
  for (const target of targets) {
    if (done >= target.byteLength) done -= target.byteLength;
    else {
      left.push(target.subarray(done));
      done = 0;
    }
  }
  return left;
}
