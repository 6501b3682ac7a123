/**
 * Which of a repository's files are models, which parts belong together, which are drafters of others,
 * and which one is meant. Pure functions over file names and sizes; the names follow the conventions
 * of llama.cpp and of those who publish GGUF files.
 */
import { PacelineError } from '../base/errors.js';
import { partPath } from '../gguf/split.js';
import type { RepositoryFile } from './repository.js';

/** What a file name says of a drafter; `assistant` is Gemma's word for its MTP models. */
export type DrafterKind = 'mtp' | 'dflash' | 'eagle3' | 'dspark' | 'assistant';

/** One model: a file, or all parts of a split one. */
export interface ModelFiles<File extends Pick<RepositoryFile, 'path' | 'size'> = RepositoryFile> {
  /** Path of the file or of the first part. */
  readonly path: string;
  readonly files: readonly File[];
  readonly bytes: number;
  /** What the name says of the quantisation, in capitals: `Q4_K_M`, `UD-Q4_K_XL`, `F16`. */
  readonly quant: string | undefined;
  readonly drafter: DrafterKind | undefined;
}

type Named = Pick<RepositoryFile, 'path' | 'size'>;

const splitPattern = /-(\d{5})-of-(\d{5})\.gguf$/i;
const quantPattern =
  /(?:^|[-._/])((?:UD-)?(?:I?Q[1-9](?:_[A-Z0-9]+)*|TQ[12]_0|BF16|FP?16|FP?32|MXFP4(?:_MOE)?|NVFP4))(?=[-./]|$)/gi;
/** Vision projectors, importance matrices, adapters, vocabularies: GGUF files that are no models. */
const otherPattern = /(?:^|[-._/])(?:mmproj|imatrix|lora|vocab)(?=[-._]|$)/i;
const drafterPattern = /(?:^|[-._])(mtp|dflash|eagle3|dspark|assistant)(?=[-._]|$)/i;

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** The quantisation that a path names, that of the file before that of its folder. */
export function quantOf(path: string): string | undefined {
  const stem = path.replace(splitPattern, '').replace(/\.gguf$/i, '');
  const last = (text: string) => [...text.matchAll(quantPattern)].at(-1)?.[1]?.toUpperCase();
  return last(baseName(stem)) ?? last(stem);
}

/**
 * The models among files. A split one counts only with all of its parts.
 *
 * A drafter is marked in its name: in front (`mtp-`, `dflash-`, as llama.cpp looks for them), or
 * anywhere (`-DFlash`, `-MTP`, `-assistant`) or by its folder (`MTP/`) where other files of the
 * repository lack the mark. Where all of them have it, `-MTP` says that the models have such a block
 * inside, and they are no drafters.
 */
export function modelsOf<File extends Named>(files: readonly File[]): ModelFiles<File>[] {
  const candidates = files.filter(
    ({ path }) => /\.gguf$/i.test(path) && !otherPattern.test(baseName(path)),
  );
  const byPath = new Map(candidates.map((file) => [file.path, file]));
  const groups: File[][] = candidates.flatMap((file) => {
    const [suffix, number, count] = splitPattern.exec(file.path) ?? [];
    if (suffix === undefined) return [[file]];
    if (Number(number) !== 1) return [];
    const prefix = file.path.slice(0, -suffix.length);
    const parts: File[] = [];
    for (let part = 0; part < Number(count); part++) {
      const found = byPath.get(partPath(prefix, part, Number(count)));
      if (found === undefined) return [];
      parts.push(found);
    }
    return [parts];
  });
  const marks = groups.map(([first]) => markOf(first?.path ?? ''));
  const plain = marks.some((mark) => mark === undefined);
  return groups.map((parts, index) => {
    const path = (parts[0] as File).path;
    const mark = marks[index];
    return {
      path,
      files: parts,
      bytes: parts.reduce((sum, { size }) => sum + size, 0),
      quant: quantOf(path),
      drafter: mark !== undefined && (plain || mark.sure) ? mark.kind : undefined,
    };
  });
}

function markOf(path: string): { kind: DrafterKind; sure: boolean } | undefined {
  const name = baseName(path);
  const folder = /(?:^|\/)(mtp|dflash|eagle3|dspark)\/[^/]+$/i.exec(path)?.[1];
  const word = folder ?? drafterPattern.exec(name)?.[1];
  if (word === undefined) return undefined;
  const kind = word.toLowerCase() as DrafterKind;
  const sure = folder !== undefined || name.toLowerCase().startsWith(`${kind}-`) || kind !== 'mtp';
  return { kind, sure };
}

/** What this machine has room for. */
export interface Room {
  /** Memory of the machine in bytes. */
  readonly total: number;
}

export interface Choice<File extends Named = RepositoryFile> {
  readonly model: ModelFiles<File>;
  /** Why this one, where the name left it open. */
  readonly why: string | undefined;
}

/** From most wanted to least, where all fit: about 4.5 bits keep nearly all of a model's quality. */
const preference = [
  ...['Q4_K_M', 'UD-Q4_K_XL', 'Q4_K_L', 'Q4_K_S', 'IQ4_NL', 'IQ4_XS', 'Q4_1', 'Q4_0', 'MXFP4'],
  ...['MXFP4_MOE', 'Q4_K', 'Q4', 'Q5_K_M', 'Q5_K_S', 'Q5_1', 'Q5_0', 'Q6_K', 'Q8_0', 'Q8', 'BF16'],
  ...['F16', 'FP16', 'F32', 'FP32'],
];

/** Memory that a model of this size is taken to need: a fifth more, and 512 MiB, for cache and buffers. */
function expectedMemory(bytes: number): number {
  return bytes * 1.2 + 512 * 2 ** 20;
}

/** The share of the machine's memory that a model may take. */
const share = 0.75;

/**
 * The model that a selector means; without one, what fits this machine.
 * @param where the repository, for messages.
 * @throws {PacelineError} `model-not-found` when nothing matches, `usage` when several do, `memory`
 *   when none would fit.
 */
export function chooseModel<File extends Named>(
  models: readonly ModelFiles<File>[],
  selector: string | undefined,
  where: string,
  room: Room,
): Choice<File> {
  if (selector !== undefined) return { model: matching(models, selector, where), why: undefined };
  const plain = models.filter(({ drafter }) => drafter === undefined);
  const candidates = plain.length > 0 ? plain : models;
  if (candidates.length === 0) {
    throw new PacelineError('model-not-found', `${where} has no GGUF files`, {
      hint: 'Look for a repository whose name ends in -GGUF; `paceline convert` makes GGUF files of others.',
      details: { repository: where },
    });
  }
  const [only] = candidates;
  if (candidates.length === 1 && only !== undefined) return { model: only, why: 'the only one' };
  const fitting = candidates.filter(({ bytes }) => expectedMemory(bytes) <= room.total * share);
  const memory = `${gibibytes(room.total)} of memory`;
  if (fitting.length === 0) {
    const least = candidates.reduce((a, b) => (a.bytes <= b.bytes ? a : b));
    throw new PacelineError(
      'memory',
      `No model of ${where} fits ${memory}: the smallest, ${least.quant ?? baseName(least.path)}, has ${gibibytes(least.bytes)}`,
      {
        hint: `To get it all the same, name it: hf:${where}:${selectorOf(models, least)}.`,
        details: { repository: where, bytes: least.bytes, memory: room.total },
      },
    );
  }
  const rank = ({ quant }: ModelFiles<File>): number => {
    const index = preference.indexOf(quant ?? '');
    return index === -1 ? preference.length : index;
  };
  const usual = fitting.filter((model) => rank(model) < preference.length);
  // Below four bits the largest that fits loses least.
  const best =
    usual.length > 0
      ? Math.min(...usual.map(rank))
      : rank(fitting.reduce((a, b) => (a.bytes >= b.bytes ? a : b)));
  const chosen =
    usual.length > 0
      ? usual.filter((model) => rank(model) === best)
      : [fitting.reduce((a, b) => (a.bytes >= b.bytes ? a : b))];
  const [model] = chosen;
  if (model === undefined || chosen.length > 1) throw ambiguous(chosen, where, undefined);
  const reason =
    usual.length === 0
      ? `the largest that fits ${memory}`
      : best === 0
        ? `the usual balance of size and quality, and it fits ${memory}`
        : `the best balance of size and quality here that fits ${memory}`;
  return { model, why: reason };
}

function matching<File extends Named>(
  models: readonly ModelFiles<File>[],
  selector: string,
  where: string,
): ModelFiles<File> {
  const wanted = selector.toLowerCase();
  const alone = models.every(({ drafter }) => drafter !== undefined);
  const ways: ((model: ModelFiles<File>) => boolean)[] = /\.gguf$/i.test(selector)
    ? [
        ({ files }) => files.some(({ path }) => path === selector),
        ({ files }) => files.some(({ path }) => path.toLowerCase() === wanted),
        ({ files }) => files.some(({ path }) => baseName(path).toLowerCase() === wanted),
      ]
    : [
        ({ quant, drafter }) => drafter === undefined && quant?.toLowerCase() === wanted,
        ({ quant, drafter }) => drafter === undefined && quant?.toLowerCase() === `ud-${wanted}`,
        // A repository of drafters alone.
        ({ quant }) => alone && quant?.toLowerCase() === wanted,
      ];
  for (const way of ways) {
    const found = models.filter(way);
    const [model] = found;
    if (model !== undefined && found.length === 1) return model;
    if (found.length > 1) throw ambiguous(found, where, selector);
  }
  const known = models.map((model) => selectorOf(models, model));
  throw new PacelineError('model-not-found', `${where} has no ${selector}`, {
    hint:
      known.length === 0
        ? 'It has no GGUF files at all; look for a repository whose name ends in -GGUF.'
        : `It has ${known.slice(0, 30).join(', ')}${known.length > 30 ? ', …' : ''}.`,
    details: { repository: where, selector, known },
  });
}

function ambiguous(
  found: readonly ModelFiles<Named>[],
  where: string,
  selector: string | undefined,
): PacelineError {
  const names = found.slice(0, 20).map(({ path }) => path);
  return new PacelineError(
    'usage',
    `${where} has several models${selector === undefined ? '' : ` of ${selector}`}: ${names.join(', ')}`,
    {
      hint: `Name the file: hf:${where}:${names[0]}.`,
      details: { repository: where, files: names },
    },
  );
}

/** The shortest selector that means this model: its quantisation where that is unique, else its file. */
export function selectorOf(models: readonly ModelFiles<Named>[], model: ModelFiles<Named>): string {
  const { quant, drafter, path } = model;
  const same = models.filter((other) => other.drafter === undefined && other.quant === quant);
  return quant !== undefined && drafter === undefined && same.length === 1 ? quant : path;
}

/**
 * Drafters in the same repository that may belong to a model, one of each kind: that whose name has
 * most of its beginning in common with the model's, then that with the nearest size of numbers.
 */
export function draftersFor<File extends Named>(
  models: readonly ModelFiles<File>[],
  model: ModelFiles<File>,
): ModelFiles<File>[] {
  if (model.drafter !== undefined) return [];
  const stem = (path: string): string =>
    baseName(path)
      .toLowerCase()
      .replace(/^(mtp|dflash|eagle3|dspark)-/, '')
      .replace(/[-._](mtp|dflash|eagle3|dspark|assistant)(?=[-._])/, '');
  const common = (a: string, b: string): number => {
    let length = 0;
    while (length < a.length && a[length] === b[length]) length++;
    return length;
  };
  const named = stem(model.path);
  const best = new Map<DrafterKind, ModelFiles<File>>();
  for (const candidate of models) {
    const { drafter } = candidate;
    if (drafter === undefined || candidate.bytes >= model.bytes) continue;
    const rival = best.get(drafter);
    const score = common(stem(candidate.path), named);
    const rivalScore = rival === undefined ? -1 : common(stem(rival.path), named);
    // Equal names: the smaller, since a drafter's own rounding costs nothing but a few guesses.
    if (score > rivalScore || (score === rivalScore && candidate.bytes < (rival?.bytes ?? 0))) {
      best.set(drafter, candidate);
    }
  }
  return [...best.values()];
}

function gibibytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
