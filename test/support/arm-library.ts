/** The native library for processors that this machine can only emulate. */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { nativeLibraryFile } from '../../src/ggml/native/library.js';
import { repository } from './repository.js';

/**
 * The library for 64-bit Arm, built anew where the sources are newer: the set-up builds this machine's own
 * alone. Undefined without a cross compiler.
 */
export async function armLibrary(): Promise<string | undefined> {
  const script = pathToFileURL(join(repository, 'native', 'build.mjs')).href;
  const { buildNative } = (await import(script)) as { buildNative(): Promise<boolean> };
  await buildNative();
  return nativeLibraryFile('linux', 'arm64');
}
