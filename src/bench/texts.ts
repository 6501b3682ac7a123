/**
 * The texts of the drafting benchmark: held-out TypeScript and Markdown, an editing task that
 * repeats its input, and noise that no drafter can guess. Sources and licences of the files are in
 * `bench/texts/README.md`.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packageRoot } from '../base/paths.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';

/** Prompts of one kind. */
export interface BenchText {
  readonly name: string;
  readonly prompts: readonly {
    readonly tokens: readonly number[];
    /** What the model is made to say, whatever it would like to; undefined: what it says itself. */
    readonly written?: readonly number[];
    /** The most tokens to generate, as where the model ends its answer; undefined: as many as asked for. */
    readonly most?: number;
  }[];
}

/**
 * The kinds of text, in the order in which they are measured. `typescript` and `markdown` are what
 * the model says after a held-out beginning. In the others it is made to say what is written: in
 * `...-written` the rest of the file, in `edit` the right answer (a small model would not copy), in
 * `adversarial` a sequence in which whatever came after the same five tokens never comes again.
 */
export const textKinds = [
  'typescript',
  'markdown',
  'edit',
  'adversarial',
  'typescript-written',
  'markdown-written',
] as const;
export type TextKind = (typeof textKinds)[number];
/** What is measured unless asked for more. */
export const usualKinds: readonly TextKind[] = textKinds.slice(0, 4);

const files: Readonly<Record<'typescript' | 'markdown', readonly string[]>> = {
  typescript: ['atom.ts.txt', 'store.ts.txt', 'apply-middleware.ts.txt'],
  markdown: ['unified.md.txt', 'mqtt.md.txt', 'redux.md.txt'],
};

/** Files to rewrite, and the name that changes. */
const edited: readonly { readonly file: string; readonly from: string; readonly to: string }[] = [
  { file: 'bind-action-creators.ts.txt', from: 'kindOf', to: 'typeName' },
  { file: 'store.ts.txt', from: 'toObserver', to: 'asObserver' },
];

function read(file: string): Promise<string> {
  return readFile(join(packageRoot(), 'bench', 'texts', file), 'utf8');
}

/** The file, the wish, and the first third of the answer; the rest is to be written. */
function editTask(text: string, from: string, to: string): { prompt: string; rest: string } {
  const answer = text.replaceAll(from, to);
  const start = answer.lastIndexOf('\n', answer.length / 3) + 1;
  const wish = `Rewrite the file with \`${from}\` renamed to \`${to}\`.`;
  const before = `## Before\n\n\`\`\`ts\n${text}\`\`\`\n\n${wish}\n\n## After\n\n\`\`\`ts\n`;
  return { prompt: before + answer.slice(0, start), rest: answer.slice(start) };
}

/** Token ids without meaning, the same every time. */
export function noise(length: number, vocabulary: number, start = 104729): number[] {
  return Array.from({ length }, (_, index) => (index * 7919 + start) % Math.min(vocabulary, 50000));
}

const symbols = 4;
const contextLength = 5;

/**
 * A cyclic sequence over four symbols in which every run of six occurs once (de Bruijn): each run of
 * five recurs, and is followed by something else each time. Built as an Euler circuit with an order
 * of edges that looks random.
 */
export function unpredictable(): number[] {
  const nodes = symbols ** contextLength;
  const edges = Array.from({ length: nodes }, (_, node) =>
    [0, 1, 2, 3].sort((a, b) => mixed(node, a) - mixed(node, b)),
  );
  const circuit: number[] = [];
  const path: { node: number; symbol: number }[] = [{ node: 0, symbol: 0 }];
  for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
    const symbol = edges[top.node]?.pop();
    if (symbol === undefined) {
      circuit.push(top.symbol);
      path.pop();
    } else path.push({ node: (top.node * symbols + symbol) % nodes, symbol });
  }
  return circuit.reverse().slice(1);
}

function mixed(node: number, symbol: number): number {
  let value = Math.imul(node * symbols + symbol + 1, 0x9e3779b1);
  value = Math.imul(value ^ (value >>> 15), 0x85ebca6b);
  return (value ^ (value >>> 13)) >>> 0;
}

/** As many different prompts of it, with tokens of their own. */
function adversarial(length: number, vocabulary: number): BenchText['prompts'] {
  const sequence = unpredictable();
  return [0, 1].map((index) => {
    const ids = noise(symbols, vocabulary, 104729 * (index + 1));
    const turned = [...sequence.slice(index * 1111), ...sequence.slice(0, index * 1111)];
    const tokens = turned.map((symbol) => ids[symbol] ?? 0);
    const half = Math.min(length, tokens.length >> 1);
    return { tokens: tokens.slice(0, half), written: tokens.slice(half) };
  });
}

/**
 * The prompts of the kinds asked for: the first `length` tokens of each text to continue (less when
 * the text is too short to follow it for `generate` tokens), and whole files to edit.
 */
export async function benchTexts(
  kinds: readonly TextKind[],
  tokenizer: Tokenizer,
  { length, generate }: { readonly length: number; readonly generate: number },
): Promise<BenchText[]> {
  return Promise.all(
    kinds.map(async (name): Promise<BenchText> => {
      if (name === 'adversarial')
        return { name, prompts: adversarial(length, tokenizer.vocabSize) };
      if (name === 'edit') {
        const prompts = edited.map(async ({ file, from, to }) => {
          const { prompt, rest } = editTask(await read(file), from, to);
          return { tokens: tokenizer.encode(prompt), written: tokenizer.encode(rest) };
        });
        return { name, prompts: await Promise.all(prompts) };
      }
      const [kind, follow] = name.split('-') as ['typescript' | 'markdown', string | undefined];
      const prompts = files[kind].map(async (file) => {
        const tokens = tokenizer.encode(await read(file));
        const cut = Math.max(1, Math.min(length, tokens.length - generate - 1));
        const prompt = tokens.slice(0, cut);
        return follow === undefined
          ? { tokens: prompt }
          : { tokens: prompt, written: tokens.slice(cut) };
      });
      return { name, prompts: await Promise.all(prompts) };
    }),
  );
}
