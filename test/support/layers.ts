/**
 * The rules that imports only point down, and never in circles, as functions over sources, so that the
 * rules themselves can be tested.
 */
import { dirname, posix } from 'node:path';

/** The layers, the highest first. A file may import its own layer and those after it. */
export const layers = [
  'cli',
  'ai-sdk',
  'connect',
  'server',
  'backends',
  'hub',
  'convert',
  'bench',
  'chat',
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

/**
 * Circles of imports among files, each as the files that reach one another, sorted. Types count too:
 * whoever reads one file of a circle has to read them all.
 * @param sources of the files by path; imports of other files are ignored.
 */
export function importCircles(sources: ReadonlyMap<string, string>): string[][] {
  const targets = new Map<string, string[]>();
  for (const [path, source] of sources) {
    const local = importsOf(source).filter((specifier) => specifier.startsWith('.'));
    const paths = local.map((specifier) =>
      posix.normalize(posix.join(dirname(path), specifier)).replace(/\.js$/, '.ts'),
    );
    targets.set(
      path,
      paths.filter((target) => sources.has(target)),
    );
  }
  const reached = new Map([...targets.keys()].map((path) => [path, reachableFrom(path, targets)]));
  const circles = new Map<string, string[]>();
  for (const [path, others] of reached) {
    if (!others.has(path)) continue;
    const circle = [...others].filter((other) => reached.get(other)?.has(path)).sort();
    circles.set(circle.join(), circle);
  }
  return [...circles.values()];
}

function reachableFrom(path: string, targets: ReadonlyMap<string, readonly string[]>): Set<string> {
  const found = new Set<string>();
  const open = [...(targets.get(path) ?? [])];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (found.has(next)) continue;
    found.add(next);
    open.push(...(targets.get(next) ?? []));
  }
  return found;
}
