/**
 * A model with random weights and a real vocabulary that was taught a few texts: the last token of
 * the prompt begins one of them, and each token says the next. It is a whole transformer, and all of
 * the engine runs as with any other (sampling, constraints, parsing of calls); only rows of its
 * output head are written instead of drawn. So coding agents can be led through a turn with tools.
 */
import { readGguf } from '../../src/gguf/reader.js';
import { type GgufMetadataEntry, GgufValueType } from '../../src/gguf/types.js';
import { writeGguf } from '../../src/gguf/writer.js';
import { type RandomTensor, randomModel, randomNormal } from '../../src/synthetic/random-model.js';
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js';
import { type VocabularyName, vocabularyFile } from '../support/vocabularies.js';

export interface TaughtModelOptions {
  readonly vocabulary: VocabularyName;
  readonly template: string;
  /**
   * Texts by the cue at the end of the prompt that they follow, as a line; `maybeSpace` in them is a space or
   * nothing. Cues end in tokens of their own.
   */
  readonly texts: Readonly<Record<string, string>>;
  readonly context: number;
}

/**
 * Writes what a real template does, and ends in the cue of what is to be said: `act` where tools may be
 * called and nothing came back yet, or `answer`.
 */
export const taughtTemplate = `{%- if tools %}<|im_start|>system
<tools>{% for tool in tools %}
{{ tool | tojson }}{% endfor %}
</tools><|im_end|>
{% endif -%}
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{{ message.content }}
{%- for call in message.tool_calls or [] %}
<tool_call>
{{ call.function | tojson }}
</tool_call>{% endfor -%}
<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% if tools and messages | selectattr('role', 'equalto', 'tool') | list | length == 0 %}act{% else %}answer{% endif %}
{%- endif -%}`;

/** Where a text may have a space, if it is then easier to say. */
export const maybeSpace = '\u2423';

/** A call in the format of Hermes. */
export function hermesCall(name: string, given: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(given).map(
    ([key, value]) => `${JSON.stringify(key)}:${maybeSpace}${JSON.stringify(value)}`,
  );
  const body = [
    `"name":${maybeSpace}${JSON.stringify(name)}`,
    `"arguments":${maybeSpace}{${pairs.join(`,${maybeSpace}`)}}`,
  ];
  return `<tool_call>\n{${body.join(`,${maybeSpace}`)}}\n</tool_call>`;
}

const width = 64;
/** Random rows of the head and what layers add are small beside what was taught. */
const faint = 0.02;
/** So much higher than a row that knows nothing is the logit of the next token, roughly. */
const certainty = 64;

/** The texts can't be cut into tokens of which none occurs twice. */
export class Unteachable extends Error {}

/** Writes the model. @throws {@link Unteachable} for texts that a token can't lead through. */
export async function writeTaughtModel(path: string, options: TaughtModelOptions): Promise<void> {
  await using file = await readGguf(vocabularyFile(options.vocabulary));
  const tokenizer = createTokenizer(file);
  const next = successors(tokenizer, options.texts);
  let table: Float32Array | undefined;
  const { metadata, tensors } = randomModel({
    architecture: 'llama',
    layers: 1,
    embedding: width,
    heads: 2,
    kvHeads: 1,
    headDim: 32,
    inner: 64,
    context: options.context,
    vocab: tokenizer.vocabSize,
    tied: false,
    change: (tensor) => {
      const { name, values } = tensor;
      if (name === 'token_embd.weight') table = values;
      if (/(attn_output|ffn_down)\.weight$/.test(name)) return scaled(tensor, faint);
      if (name === 'output_norm.weight') return { ...tensor, values: values.fill(1) };
      return name === 'output.weight' ? teach(tensor, table, next) : tensor;
    },
  });
  const entries = new Map<string, GgufMetadataEntry>(
    [...metadata].filter(([key]) => !key.startsWith('tokenizer.')),
  );
  for (const [key, entry] of file.metadata) {
    if (key.startsWith('tokenizer.')) entries.set(key, entry);
  }
  entries.set('tokenizer.chat_template', { type: GgufValueType.STRING, value: options.template });
  await writeGguf(path, { metadata: entries, tensors });
}

function scaled(tensor: RandomTensor, by: number): RandomTensor {
  return { ...tensor, values: tensor.values.map((value) => value * by) };
}

/** The head with rows that answer the embedding of a token with the one that follows. */
function teach(
  tensor: RandomTensor,
  table: Float32Array | undefined,
  next: ReadonlyMap<number, number>,
): RandomTensor {
  if (table === undefined) throw new Error('The embeddings come before the head');
  const { values } = scaled(tensor, faint);
  for (const [token, follower] of next) {
    const row = table.subarray(token * width, (token + 1) * width);
    const squares = row.reduce((sum, value) => sum + value * value, 0);
    const by = certainty / Math.sqrt(squares * width);
    for (const [at, value] of row.entries()) {
      const place = follower * width + at;
      values[place] = (values[place] ?? 0) + by * value;
    }
  }
  return { ...tensor, values };
}

/** Which token follows which. */
function successors(
  tokenizer: Tokenizer,
  texts: TaughtModelOptions['texts'],
): ReadonlyMap<number, number> {
  const end = tokenizer.tokenId('<|im_end|>') ?? tokenizer.eosId;
  if (end === undefined) throw new Error('The vocabulary has no token that ends a text');
  const cues = new Map(
    Object.keys(texts).map((cue) => [cue, tokenizer.encode(`\n${cue}`).at(-1) as number] as const),
  );
  const used = new Set(cues.values());
  if (used.size < cues.size) throw new Error('Two cues end in the same token');
  const ids = tokensByText(tokenizer);
  const next = new Map<number, number>();
  for (const [cue, text] of Object.entries(texts)) {
    const pieces = distinctTokens(text, ids, used);
    if (pieces === undefined) {
      throw new Unteachable(`Can't be said without repeating a token: ${text}`);
    }
    let last = cues.get(cue) as number;
    for (const token of [...pieces, end]) {
      next.set(last, token);
      used.add(token);
      last = token;
    }
  }
  return next;
}

/** Tokens that are plain text, by it. */
function tokensByText(tokenizer: Tokenizer): ReadonlyMap<string, number> {
  const ids = new Map<string, number>();
  const decoder = new TextDecoder('utf-8', { fatal: true });
  for (let id = 0; id < tokenizer.vocabSize; id++) {
    if (tokenizer.isSpecial(id)) continue;
    try {
      ids.set(decoder.decode(tokenizer.tokenBytes(id)), id);
    } catch {
      // A part of a character.
    }
  }
  return ids;
}

const longestToken = 16;
/** A cut that began badly is not searched to its end: another begins elsewhere. */
const stepsPerCut = 2000;
const mostCuts = 500;

/** The text in tokens of which none is used yet or occurs twice; undefined: no such cut was found. */
function distinctTokens(
  pattern: string,
  ids: ReadonlyMap<string, number>,
  used: ReadonlySet<number>,
): readonly number[] | undefined {
  const random = randomNormal(1);
  for (let cut = 0; cut < mostCuts; cut++) {
    const text = pattern.replaceAll(maybeSpace, () => (random() > 0 ? ' ' : ''));
    const path = new Set<number>();
    let steps = 0;
    const from = (at: number): boolean => {
      if (at === text.length) return true;
      if (++steps > stepsPerCut) return false;
      const lengths = Array.from({ length: longestToken }, (_, index) => index + 1)
        .map((length) => ({ length, order: length + 3 * random() }))
        .sort((a, b) => b.order - a.order);
      for (const { length } of lengths) {
        const piece = text.slice(at, at + length);
        const id = piece.length < length ? undefined : ids.get(piece);
        if (id === undefined || used.has(id) || path.has(id)) continue;
        path.add(id);
        if (from(at + length)) return true;
        path.delete(id);
      }
      return false;
    };
    if (from(0)) return [...path];
  }
  return undefined;
}
