/**
 * The texts of the drafting benchmark: held-out TypeScript and Markdown, an editing task that
 * repeats its input, and noise that no drafter can guess. Sources and licences of the files are in
 * `bench/texts/README.md`.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packageRoot } from '../../base/paths.js';
import type { Tokenizer } from '../../tokenizer/tokenizer.js';

/** Prompts of one kind. */
export interface BenchText {
  readonly name: string;
  readonly prompts: readonly (readonly number[])[];
  /** Overrides the temperature of the run. */
  readonly temperature?: number;
}

/** The kinds of text, in the order in which they are measured. */
export const textKinds = ['typescript', 'markdown', 'edit', 'adversarial'] as const;
export type TextKind = (typeof textKinds)[number];

const continued: Readonly<Record<'typescript' | 'markdown', readonly string[]>> = {
  typescript: ['atom.ts.txt', 'store.ts.txt', 'apply-middleware.ts.txt'],
  markdown: ['unified.md.txt', 'mqtt.md.txt', 'redux.md.txt'],
};

/** Files to rewrite, and the name that changes. */
const edited: readonly { readonly file: string; readonly from: string; readonly to: string }[] = [
  { file: 'bind-action-creators.ts.txt', from: 'kindOf', to: 'typeName' },
  { file: 'store.ts.txt', from: 'toObserver', to: 'asObserver' },
];

/** At this temperature every token is about as likely as any other. */
const noiseTemperature = 100;
/** Prompts of noise. */
const noisePrompts = 2;

function read(file: string): Promise<string> {
  return readFile(join(packageRoot(), 'bench', 'texts', file), 'utf8');
}

/** The file, the wish, and the first third of the answer; the rest is for the model to write. */
function editPrompt(text: string, from: string, to: string): string {
  const answer = text.replaceAll(from, to);
  const start = answer.lastIndexOf('\n', answer.length / 3) + 1;
  const wish = `Rewrite the file with \`${from}\` renamed to \`${to}\`.`;
  return `## Before\n\n\`\`\`ts\n${text}\`\`\`\n\n${wish}\n\n## After\n\n\`\`\`ts\n${answer.slice(0, start)}`;
}

/** Token ids without meaning, the same every time. */
export function noise(length: number, vocabulary: number, start = 104729): number[] {
  return Array.from({ length }, (_, index) => (index * 7919 + start) % Math.min(vocabulary, 50000));
}

/**
 * The prompts of the kinds asked for: the first `length` tokens of each text to continue, and whole
 * files to edit.
 */
export async function benchTexts(
  kinds: readonly TextKind[],
  tokenizer: Tokenizer,
  length: number,
): Promise<BenchText[]> {
  const texts: BenchText[] = [];
  for (const name of kinds) {
    if (name === 'adversarial') {
      const prompts = Array.from({ length: noisePrompts }, (_, index) =>
        noise(length, tokenizer.vocabSize, 104729 * (index + 1)),
      );
      texts.push({ name, prompts, temperature: noiseTemperature });
    } else if (name === 'edit') {
      const prompts = await Promise.all(
        edited.map(async ({ file, from, to }) => editPrompt(await read(file), from, to)),
      );
      texts.push({ name, prompts: prompts.map((prompt) => tokenizer.encode(prompt)) });
    } else {
      const files = await Promise.all(continued[name].map(read));
      texts.push({ name, prompts: files.map((text) => tokenizer.encode(text).slice(0, length)) });
    }
  }
  return texts;
}
