/** Chat templates of real models, which lie compressed beside the tests of the template language. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { repository } from './repository.js';

/** A compressed JSON file of `test/template/fixtures`. */
export function templateFixture<T>(name: string): T {
  const path = join(repository, 'test', 'template', 'fixtures', `${name}.json.gz`);
  return JSON.parse(gunzipSync(readFileSync(path)).toString('utf8')) as T;
}

let sources: Readonly<Record<string, string>> | undefined;

/** The source of a template by its file's name in llama.cpp's source tree. */
export function templateSource(file: string): string {
  sources ??= templateFixture<Record<string, string>>('templates');
  const source = sources[file];
  if (source === undefined) throw new Error(`No chat template ${file} among the fixtures`);
  return source;
}
