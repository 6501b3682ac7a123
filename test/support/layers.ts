/**
 * The rule that imports only point down, as a function over sources, so that the rule itself can be
 * tested.
 */
import { dirname, posix } from 'node:path';

/** The layers, the highest first. A file may import its own layer and those after it. */
export const layers = [
  'cli',
  'server',
  'backends',
  'hub',
  'convert',
  'bench',
  'engine',
  'decode',
  'cache',
  'models',
  'synthetic',
  'constraint',
  'tokenizer',
  'template',
  'gguf',
  'ggml',
  'base',
] as const;

/** Import specifiers of a TypeScript source: static, re-exported, dynamic, and in types. */
export function importsOf(source: string): string[] {
  const pattern =
    /(?:^|[\s;}])(?:import|export)\s[^'"`;]*?from\s*['"]([^'"]+)['"]|(?:^|[\s;}])import\s*['"]([^'"]+)['"]|\bimport\s*\(\s*['"]([^'"]+)['"]|\bnew URL\(\s*['"](\.[^'"]+\.(?:js|ts))['"]/g;
  const found: string[] = [];
  for (const match of source.matchAll(pattern)) {
    const specifier = match[1] ?? match[2] ?? match[3] ?? match[4];
    if (specifier !== undefined) found.push(specifier);
  }
  return found;
}

/** The layer of a path below `src/`: 0 is the highest; -1 is above all layers; undefined: none. */
function layerOf(path: string): number | undefined {
  const [folder = '', rest] = path.replace(/^src\//, '').split('/');
  if (rest === undefined) return -1;
  const index = (layers as readonly string[]).indexOf(folder);
  return index === -1 ? undefined : index;
}

/** What is wrong with the imports of one file below `src/`, one message each. */
export function layerViolations(path: string, source: string): string[] {
  const own = layerOf(path);
  if (own === undefined) return [`${path} is in no layer`];
  const problems: string[] = [];
  for (const specifier of importsOf(source)) {
    if (!specifier.startsWith('.')) continue;
    const target = posix.normalize(posix.join(dirname(path), specifier));
    if (!target.startsWith('src/')) {
      if (!target.endsWith('package.json'))
        problems.push(`${path} imports ${target}, outside src/`);
      continue;
    }
    const layer = layerOf(target);
    if (layer === undefined) problems.push(`${path} imports ${target}, which is in no layer`);
    else if (layer < own) problems.push(`${path} imports ${target}, which is above it`);
  }
  return problems;
}
