/** Bytes of GGUF files put together by hand, so that tests can break any one of them. */

export const u8 = (value: number) => Buffer.from([value]);
export const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
export const u64 = (value: number | bigint) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
export const text = (value: string | Buffer) => {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
};

/** A metadata entry: key, type id, bytes of the value. */
export const entry = (key: string | Buffer, type: number, ...value: Buffer[]) =>
  Buffer.concat([text(key), u32(type), ...value]);

export interface RawTensor {
  readonly name?: string | Buffer;
  readonly shape?: readonly (number | bigint)[];
  readonly rank?: number;
  readonly type?: number;
  readonly offset?: number | bigint;
}

/** A tensor's description: by default 8 floats (32 bytes) at the start of the data. */
export const tensor = ({ name = 'a', shape = [8], rank, type = 0, offset = 0 }: RawTensor = {}) =>
  Buffer.concat([text(name), u32(rank ?? shape.length), ...shape.map(u64), u32(type), u64(offset)]);

export interface RawFile {
  readonly magic?: string;
  readonly version?: number;
  readonly tensors?: readonly Buffer[];
  readonly entries?: readonly Buffer[];
  readonly tensorCount?: number | bigint;
  readonly entryCount?: number | bigint;
  readonly alignment?: number;
  /** Bytes after the header and its padding. */
  readonly data?: number;
}

/** A whole file. Counts are right unless given. */
export function rawFile(file: RawFile = {}): Buffer {
  const { magic = 'GGUF', version = 3, tensors = [], entries = [], alignment = 32 } = file;
  const header = Buffer.concat([
    Buffer.from(magic),
    u32(version),
    u64(file.tensorCount ?? tensors.length),
    u64(file.entryCount ?? entries.length),
    ...entries,
    ...tensors,
  ]);
  const padding = tensors.length > 0 ? (alignment - (header.length % alignment)) % alignment : 0;
  return Buffer.concat([header, Buffer.alloc(padding + (file.data ?? 32 * tensors.length))]);
}
