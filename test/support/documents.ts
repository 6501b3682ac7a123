/**
 * Code in documents: its fenced blocks, and the commands in those of a shell. A block that a test
 * can't run says so behind its language, `sh not-run=network`, with one of the reasons below.
 */
import { readRepositoryFile, repositoryFiles } from './repository.js';

/** Why a block is not run. */
export const reasons = {
  network: 'gets something from the network',
  model: 'needs a model or texts of the reader’s own',
  terminal: 'talks with a person',
  settings: 'changes settings, or starts a tool that has to be installed',
  minutes: 'takes minutes',
  peer: 'is code for another library',
  repository: 'is run for every change anyway',
} as const;

export interface Block {
  readonly document: string;
  /** Of its first line, from 1. */
  readonly line: number;
  readonly language: string;
  readonly notRun: string | undefined;
  readonly code: string;
}

/** Documents for readers; made ones (`docs/cli.md`) and those with texts of models are none. */
const others = /^(docs\/cli\.md|models\/|training\/|bench\/texts\/|test\/|native\/|CHANGELOG)/;

/** All blocks of shell and TypeScript in documents, in order. */
export function codeBlocks(): readonly Block[] {
  return repositoryFiles()
    .filter((path) => path.endsWith('.md') && !others.test(path))
    .flatMap((document) => blocksOf(document, readRepositoryFile(document)))
    .filter(({ language }) => language === 'sh' || language === 'ts');
}

function blocksOf(document: string, text: string): readonly Block[] {
  return [...text.matchAll(/^```(\w+)([^\n]*)\n([\s\S]*?)^```$/gm)].map(
    ([, language = '', info = '', code = ''], index, all) => ({
      document,
      line: text.slice(0, all[index]?.index).split('\n').length + 1,
      language,
      notRun: info.trim() === '' ? undefined : (/^ not-run=(\w+)$/.exec(info)?.[1] ?? info.trim()),
      code,
    }),
  );
}

/** What a block of shell runs: the words of each command, without comments, pipes and variables. */
export function commandsIn(code: string): readonly (readonly string[])[] {
  const commands: string[][] = [];
  let words: string[] = [];
  let word: string | undefined;
  let quote = '';
  const endWord = (): void => {
    if (word !== undefined) words.push(word);
    word = undefined;
  };
  const endCommand = (): void => {
    endWord();
    while (/^\w+=/.test(words[0] ?? '')) words.shift();
    if (words.length > 0) commands.push(words);
    words = [];
  };
  for (let at = 0; at < code.length; at++) {
    const char = code[at] ?? '';
    if (quote !== '') {
      if (char === quote) quote = '';
      else word = (word ?? '') + char;
    } else if (char === '"' || char === "'") {
      quote = char;
      word ??= '';
    } else if (char === '\\' && code[at + 1] === '\n') at++;
    else if (char === '#' && word === undefined) {
      while (at + 1 < code.length && code[at + 1] !== '\n') at++;
    } else if (/[\n|;&]/.test(char)) endCommand();
    else if (/\s/.test(char)) endWord();
    else word = (word ?? '') + char;
  }
  endCommand();
  return commands;
}
