/**
 * Prompts for checking parity: code, prose, data, repetition, other scripts, and odd whitespace, so
 * that drafters meet text that they guess well, badly, and not at all.
 */
export const verifyPrompts: readonly string[] = [
  'export function parseArguments(argv: readonly string[]): Options {\n',
  "import { readFile } from 'node:fs/promises';\n\n/** Reads a JSON file. */\n",
  'interface User {\n  id: number;\n  name: string;\n}\n\ninterface Group {\n',
  'for (let i = 0; i < 10; i++) {\n  console.log(i);\n}\nfor (let j = 0; j < 20; j++) {\n',
  'const colors = ["red", "green", "blue", "red", "green", "blue", "red", "green", ',
  'type Result<T> = { ok: true; value: T } | { ok: false; error: Error };\n\nfunction unwrap<T>',
  'class Queue<T> {\n  private items: T[] = [];\n\n  push(item: T): void {\n',
  "describe('parser', () => {\n  it('reads numbers', () => {\n    expect(parse('1')).toBe(1);\n  });\n\n  it(",
  '# Getting started\n\n## Installation\n\n```sh\nnpm install ',
  '| option | type | default |\n| --- | --- | --- |\n| `timeout` | number | 1000 |\n| `retries` | ',
  '- first item\n- second item\n- third item\n',
  'The quick brown fox jumps over the lazy dog. The quick brown fox jumps over the lazy dog. The',
  'Once upon a time there was a compiler that',
  '{"name": "example", "version": "1.0.0", "dependencies": {"left-pad": "^1.3.0", "',
  'SELECT id, name FROM users WHERE created_at > ',
  'Der schnelle braune Fuchs springt über den faulen Hund, und ',
  '日本語のテキストを生成するための',
  'Ελληνικά: αλφα, βητα, ',
  '🙂🙃🙂🙃🙂🙃',
  '\n\n\n    \t    \n\t\t',
  'a b c d e f g a b c d e f g a b c d e f g a b',
  '0, 1, 1, 2, 3, 5, 8, 13, 21, ',
  '<div class="container">\n  <ul>\n    <li>one</li>\n    <li>two</li>\n',
  'x',
];
