/** Random vocabularies as GGUF files, for comparisons with libllama: the same for the same seed. */
import type { GgufMetadataEntry } from '../../src/gguf/types.js';
import { ggufValue } from '../../src/gguf/values.js';
import { writeGguf } from '../../src/gguf/writer.js';
import { randomText } from './random-text.js';

type Entries = Readonly<Record<string, GgufMetadataEntry>>;

/** Writes a file that holds nothing but a tokenizer; keys are those behind `tokenizer.ggml.`. */
export async function writeVocabulary(path: string, entries: Entries): Promise<void> {
  const metadata: [string, GgufMetadataEntry][] = [
    ['general.architecture', ggufValue.string('llama')],
    ['llama.context_length', ggufValue.uint32(512)],
    ['llama.embedding_length', ggufValue.uint32(64)],
    ['llama.block_count', ggufValue.uint32(1)],
    ['llama.feed_forward_length', ggufValue.uint32(64)],
    ['llama.attention.head_count', ggufValue.uint32(1)],
    ['llama.attention.layer_norm_rms_epsilon', ggufValue.float32(1e-5)],
    ...Object.entries(entries).map(([key, entry]): [string, GgufMetadataEntry] => [
      `tokenizer.ggml.${key}`,
      entry,
    ]),
  ];
  await writeGguf(path, { metadata, tensors: [] });
}

/** Pieces of random texts: whole and halved words, single characters, signs, all distinct. */
function pieces(random: () => number, count: number, rewrite: (text: string) => string): string[] {
  const found = new Set<string>();
  while (found.size < count) {
    const text = rewrite(randomText(random, 6, []));
    const characters = [...text];
    const start = Math.floor(random() * characters.length);
    const length = 1 + Math.floor(random() * random() * 8);
    const piece = characters.slice(start, start + length).join('');
    if (piece.length > 0 && !/[\0\ud800-\udfff](?![\udc00-\udfff])/.test(piece)) found.add(piece);
    const [first] = characters;
    if (first !== undefined && random() < 0.3 && !/[\0\ud800-\udfff]/.test(first)) found.add(first);
  }
  return [...found];
}

/** As converters write BERT's: `[CLS]` and others at their places, words after U+2581, parts plain. */
export function wordPieceEntries(random: () => number, changes: Entries = {}): Entries {
  const tokens = Array.from({ length: 104 }, (_, id) => `[unused${id}]`);
  for (const [id, text] of [
    [0, '[PAD]'],
    [100, '[UNK]'],
    [101, '[CLS]'],
    [102, '[SEP]'],
    [103, '[MASK]'],
  ] as const) {
    tokens[id] = text;
  }
  const types: number[] = tokens.map((_, id) => (id === 100 ? 2 : 3));
  const words = new Set<string>();
  for (const piece of pieces(random, 1500, (text) =>
    random() < 0.7 ? text.toLowerCase() : text,
  )) {
    const plain = piece.replace(/\s/gu, '');
    if (plain === '') continue;
    words.add(plain);
    if (random() < 0.7) words.add(`\u2581${plain}`);
  }
  words.add('\u2581');
  tokens.push(...words);
  types.push(...Array.from(words, () => 1));
  return {
    model: ggufValue.string('bert'),
    tokens: ggufValue.strings(tokens),
    token_type: ggufValue.numbers('int32', types),
    ...changes,
  };
}

/**
 * As converters write T5's and XLM-RoBERTa's. User-defined tokens begin with ASCII: of a text that
 * shares only the first bytes of one, libllama cuts characters apart.
 */
export function unigramEntries(random: () => number, changes: Entries = {}): Entries {
  const tokens = ['<pad>', '</s>', '<unk>', '<extra_id_0>', '[user]', '[two words]'];
  const types = [3, 3, 2, 3, 4, 4];
  const escaped = (text: string) => text.replaceAll(' ', '\u2581');
  for (const piece of pieces(random, 1500, escaped)) {
    if (tokens.includes(piece)) continue;
    tokens.push(piece);
    types.push(random() < 0.02 ? 5 : 1);
  }
  const scores = tokens.map((_, id) => (id < 6 ? 0 : -(random() * 12)));
  return {
    model: ggufValue.string('t5'),
    tokens: ggufValue.strings(tokens),
    token_type: ggufValue.numbers('int32', types),
    scores: ggufValue.numbers('float32', scores),
    add_space_prefix: ggufValue.boolean(true),
    ...changes,
  };
}

/** Merge lists over characters: the rules that name says, in the vocabulary of a model so called. */
export function plainBpeEntries(
  random: () => number,
  model: string,
  pre: string,
  changes: Entries = {},
): Entries {
  const tokens = ['<unk>', '<s>', '</s>', '<user>', '\n\n', '\n\n\n'];
  const types = [2, 3, 3, 4, 1, 1];
  for (let byte = 0; byte < 256; byte++) {
    // Some are missing: what has no token is dropped.
    if (random() < 0.1) continue;
    tokens.push(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
    types.push(6);
  }
  const known = new Set<string>();
  const merges = new Set<string>();
  const written = (text: string) => {
    const lower = random() < 0.5 ? text.toLowerCase() : text;
    return pre === 'whitespace' ? lower : lower.replaceAll(' ', '\u2581');
  };
  for (let count = 0; count < 1500; count++) {
    const characters = [...written(randomText(random, 6, []))];
    for (const char of characters) if (!/[\0\ud800-\udfff]/u.test(char)) known.add(char);
    const start = Math.floor(random() * characters.length);
    const middle = start + 1 + Math.floor(random() * random() * 4);
    const end = middle + 1 + Math.floor(random() * random() * 4);
    const left = characters.slice(start, middle).join('');
    const right = characters.slice(middle, end).join('');
    if (!known.has(left) || !known.has(right) || /[ \n]/.test(left + right)) continue;
    merges.add(`${left} ${right}`);
    known.add(left + right);
  }
  for (const text of known) {
    if (tokens.includes(text)) continue;
    tokens.push(text);
    types.push(1);
  }
  return {
    model: ggufValue.string(model),
    pre: ggufValue.string(pre),
    tokens: ggufValue.strings(tokens),
    token_type: ggufValue.numbers('int32', types),
    merges: ggufValue.strings([...merges]),
    bos_token_id: ggufValue.uint32(1),
    eos_token_id: ggufValue.uint32(2),
    unknown_token_id: ggufValue.uint32(0),
    ...changes,
  };
}

/** A map of characters in SentencePiece's form that replaces each key by its value. */
export function characterMap(replacements: Readonly<Record<string, string>>): GgufMetadataEntry {
  interface Node {
    readonly next: Map<number, Node>;
    value: number | undefined;
  }
  const root: Node = { next: new Map(), value: undefined };
  const texts: Buffer[] = [];
  let size = 0;
  for (const [key, value] of Object.entries(replacements)) {
    let node = root;
    for (const byte of Buffer.from(key)) {
      const next = node.next.get(byte) ?? { next: new Map(), value: undefined };
      node.next.set(byte, next);
      node = next;
    }
    node.value = size;
    texts.push(Buffer.from(`${value}\0`));
    size += Buffer.byteLength(value) + 1;
  }
  // Each node's children lie in a block of 256 of its own, the replacement at its first entry.
  const blocks: { node: Node; at: number }[] = [{ node: root, at: 256 }];
  const array: number[] = [];
  const put = (at: number, value: number) => {
    while (array.length <= at) array.push(0);
    array[at] = value >>> 0;
  };
  put(0, 256 << 10);
  for (let index = 0; index < blocks.length; index++) {
    const { node, at } = blocks[index] as { node: Node; at: number };
    if (node.value !== undefined) put(at, 0x80000000 + node.value);
    for (const [byte, child] of node.next) {
      const block = 256 * (blocks.length + 1);
      blocks.push({ node: child, at: block });
      const own = at ^ byte;
      // A node's base is relative to itself.
      const offset = own ^ block;
      const wide = offset >= 2 ** 21;
      const leaf = child.value === undefined ? 0 : 1 << 8;
      put(own, ((wide ? offset >>> 3 : offset) << 10) | (wide ? 1 << 9 : 0) | leaf | byte);
    }
  }
  put(256 * (blocks.length + 2), 0);
  const bytes = Buffer.alloc(4 + 4 * array.length);
  bytes.writeUInt32LE(4 * array.length, 0);
  for (const [index, value] of array.entries()) bytes.writeUInt32LE(value, 4 + 4 * index);
  return ggufValue.numbers('uint8', Buffer.concat([bytes, ...texts]));
}
