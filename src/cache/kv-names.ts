/** The names of KV cache types, by themselves, so that public types drag nothing along. */

/** `i16`: 16-bit integers with a scale for each head and position. */
export const kvTypes = ['f16', 'q8_0', 'f32', 'i16'] as const;

/** Element type of the KV cache. */
export type KvType = (typeof kvTypes)[number];
