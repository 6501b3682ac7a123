/**
 * Changes to a settings file of another program, in JSON with comments, TOML or YAML. What they do not
 * name stays as it is, comments and order included; changes that hold already give the same text back.
 * Every result is read again and compared with what was meant before anybody gets it.
 */
import { isDeepStrictEqual } from 'node:util';
import {
  parse as parseToml,
  patch as patchToml,
  stringify as stringifyToml,
} from '@decimalturn/toml-patch';
import { applyEdits, modify, type ParseError, parse as parseJson } from 'jsonc-parser';
import { Document, parseDocument } from 'yaml';
import { PacelineError } from '../base/errors.js';
import { isRecord } from '../base/records.js';

export type SettingsFormat = 'json' | 'toml' | 'yaml';

type Data = Record<string, unknown> | readonly unknown[];

/** One thing that a settings file shall say. */
export type Change =
  /** The value at a path of keys. */
  | { readonly path: readonly string[]; readonly value: unknown }
  /** The value at a path where there is none yet. */
  | { readonly path: readonly string[]; readonly initial: unknown }
  /** An object in the list at a path, in place of the one with the same `name`. */
  | { readonly path: readonly string[]; readonly entry: { readonly name: string } };

/**
 * The file's text with the changes; `text` undefined: there is no file yet.
 * @param file its path, for errors.
 * @throws {PacelineError} `broken-file` when the text is not of its format, or a change meets something
 *   that is no object or list.
 */
export function changed(
  text: string | undefined,
  changes: readonly Change[],
  { format, file }: { readonly format: SettingsFormat; readonly file: string },
): string {
  const source = text === undefined || text.trim() === '' ? undefined : text;
  const data = source === undefined ? undefined : read(source, format, file);
  const steps = changes.flatMap((change) => stepOf(data, change, file));
  if (source !== undefined && steps.length === 0) return source;
  const meant = steps.reduce<unknown>((whole, step) => assigned(whole, step), data);
  const result = writeAs(format, source, steps, meant as Data);
  if (isDeepStrictEqual(plain(read(result, format, file)), plain(meant))) return result;
  throw new PacelineError('internal', `The changes to ${file} would change something else too`, {
    hint: 'Make the printed changes by hand.',
  });
}

/** A value to be set. Numbers in a path are places in a list. */
interface Step {
  readonly path: readonly (string | number)[];
  readonly value: unknown;
}

/** What has to be set for a change to hold; nothing where it holds. */
function stepOf(data: unknown, change: Change, file: string): readonly Step[] {
  const { path } = change;
  const found = valueAt(data, path, file);
  if ('initial' in change) return found === undefined ? [{ path, value: change.initial }] : [];
  if ('value' in change) return same(found, change.value) ? [] : [{ path, value: change.value }];
  if (found === undefined) return [{ path, value: [change.entry] }];
  if (!Array.isArray(found)) throw unexpected(file, path, 'a list');
  const at = found.findIndex((one: unknown) => isRecord(one) && one.name === change.entry.name);
  if (at >= 0 && same(found[at], change.entry)) return [];
  return [{ path: [...path, at < 0 ? found.length : at], value: change.entry }];
}

function valueAt(data: unknown, path: readonly string[], file: string): unknown {
  let value = data;
  for (const [index, key] of path.entries()) {
    if (value === undefined) return undefined;
    if (!isRecord(value)) throw unexpected(file, path.slice(0, index), 'an object');
    value = Object.hasOwn(value, key) ? value[key] : undefined;
  }
  return value;
}

/** A copy in which the step is done. */
function assigned(data: unknown, { path, value }: Step): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  if (typeof key === 'number') {
    const list = Array.isArray(data) ? [...(data as unknown[])] : [];
    list[key] = assigned(list[key], { path: rest, value });
    return list;
  }
  const object = isRecord(data) ? data : {};
  return { ...object, [key]: assigned(object[key], { path: rest, value }) };
}

function read(text: string, format: SettingsFormat, file: string): unknown {
  try {
    switch (format) {
      case 'json': {
        const errors: ParseError[] = [];
        const value: unknown = parseJson(text, errors, { allowTrailingComma: true });
        const [first] = errors;
        if (first !== undefined) throw new Error(`no JSON at character ${first.offset}`);
        return value;
      }
      case 'toml':
        return parseToml(text);
      case 'yaml': {
        const document = parseDocument(text);
        const [first] = document.errors;
        if (first !== undefined) throw first;
        return document.toJS({ maxAliasCount: 100 });
      }
    }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
    throw new PacelineError('broken-file', `${file} can't be read: ${why}`, {
      hint: 'Mend the file, or make the printed changes by hand.',
      details: { file },
      cause,
    });
  }
}

/** Tables in tables get headers of their own, as people write them: `[model_providers.paceline]`. */
const tomlStyle = { inlineTableStart: 2 };

function writeAs(
  format: SettingsFormat,
  text: string | undefined,
  steps: readonly Step[],
  meant: Data,
): string {
  switch (format) {
    case 'json': {
      if (text === undefined) return `${JSON.stringify(meant, undefined, 2)}\n`;
      const formattingOptions = indentation(text);
      return steps.reduce((now, { path, value }) => {
        const edits = modify(now, [...path], value, { formattingOptions });
        return applyEdits(now, edits);
      }, text);
    }
    case 'toml':
      return text === undefined
        ? stringifyToml(meant, tomlStyle)
        : patchToml(text, meant, tomlStyle);
    case 'yaml': {
      const document = text === undefined ? new Document(meant) : parseDocument(text);
      if (text !== undefined) {
        for (const { path, value } of steps) document.setIn(path, document.createNode(value));
      }
      return document.toString({ lineWidth: 0 });
    }
  }
}

/** How a JSON text is indented, as its first indented line shows it. */
function indentation(text: string) {
  const [, space = '  '] = /\n([ \t]+)\S/.exec(text) ?? [];
  const eol = text.includes('\r\n') ? '\r\n' : '\n';
  return { insertSpaces: !space.startsWith('\t'), tabSize: space.length, eol };
}

function same(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(plain(a), plain(b));
}

/** Without the prototypes and undefined members that parsers differ in. */
function plain(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}

function unexpected(file: string, path: readonly string[], what: string): PacelineError {
  const where = path.length === 0 ? 'The file' : path.join('.');
  return new PacelineError('broken-file', `${where} in ${file} is not ${what}`, {
    hint: 'Make the printed changes by hand.',
    details: { file, path },
  });
}
