/**
 * Loads libpaceline-kernels, our own C++ kernels, and checks that its parameter structs are the ones
 * that the TypeScript side writes. Absent or unfitting, the engine runs on ggml's operations: this
 * module then says why. Knows nothing of graphs and weights.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PacelineError } from '../../base/errors.js';
import {
  type Bindings,
  bind,
  type NativeLibrary,
  openLibrary,
  type Signatures,
  symbolAddress,
} from '../bindings.js';
import type { Tensor } from '../tensor.js';

const signatures = {
  pl_init: ['int', ['str']],
  pl_error: ['str', []],
  pl_path: ['str', []],
  pl_paths: ['str', []],
  pl_layout: ['str', []],
  pl_alloc: ['ptr', ['int64']],
  pl_free: ['void', ['ptr', 'int64']],
  pl_large_blocks_apart: ['void', []],
  pl_fill_memory: ['void', ['ptr', 'int64']],
  pl_read_memory: ['int64', ['ptr', 'int64']],
  pl_checksum: ['void', ['mem', 'mem', 'int64', 'mem']],
  pl_pool_new: ['ptr', ['int64']],
  pl_pool_free: ['void', ['ptr']],
  pl_pool_threads: ['int64', ['ptr']],
  pl_resolve: ['void', ['mem', 'int64', 'int64']],
  pl_panel_bytes: ['int64', ['int64', 'int64', 'int64']],
  pl_panel_rows: ['int64', []],
  pl_act_bytes: ['int64', ['int64', 'int64']],
  pl_needs_quantized: ['int64', ['int64']],
  pl_repack: ['int', ['int64', 'mem', 'ptr', 'int64', 'int64', 'int64', 'int64', 'int64']],
  pl_experts_new: ['ptr', ['int64', 'ptr']],
  pl_experts_free: ['void', ['ptr']],
  pl_experts_forecast: ['void', ['ptr', 'int64']],
  pl_experts_foresees: ['int64', ['ptr']],
  pl_experts_file: ['int64', ['ptr', 'str', 'mem']],
  pl_experts_class: ['int64', ['ptr', 'int64', 'int64']],
  pl_experts_layer: ['int64', ['ptr', 'int64', 'int64', 'mem']],
  pl_experts_part: ['int64', ['ptr', 'int64', 'int64', 'int64', 'int64', 'int64', 'int64']],
  pl_experts_failure: ['int64', ['ptr', 'mem']],
  pl_experts_stats: ['void', ['ptr', 'mem']],
  pl_experts_scores: ['void', ['ptr', 'int64', 'mem']],
  pl_experts_seed: ['void', ['ptr', 'int64', 'mem']],
  pl_experts_warm: ['void', ['ptr']],
  pl_attention_scratch: ['int64', ['ptr', 'int64', 'int64', 'int64']],
} as const satisfies Signatures;

/** The version of the C interface that this code is written for. */
const abi = 1;

/** What a slot of a parameter struct holds: address, int64, double, or scratch of the library. */
export type SlotKind = 'P' | 'I' | 'F' | 'S';

export interface StructLayout {
  readonly size: number;
  readonly fields: ReadonlyMap<string, { readonly kind: SlotKind; readonly offset: number }>;
}

/** Our kernels, loaded. */
export interface NativeKernels {
  readonly file: string;
  /** The CPU path that runs: `amx`, `avx512vbmi`, `avx512`, `avxvnni`, `avx2`, `neon`, `scalar`. */
  readonly path: string;
  /** All paths that this machine can run, best first. */
  readonly paths: readonly string[];
  readonly functions: Bindings<typeof signatures>;
  /** @throws {PacelineError} `platform` when the library has no such struct. */
  struct(name: string): StructLayout;
  /** Address of a function with ggml's signature of custom operations, or of its abort callback. */
  address(name: string): number;
}

/** The kernels, or why there are none. */
export type NativeStatus =
  | { readonly kernels: NativeKernels; readonly reason?: undefined }
  | { readonly kernels?: undefined; readonly reason: string };

let loaded: NativeStatus | undefined;

/** The path whose bytes are the same on every machine. */
const portablePath = 'scalar';
/** What the open backends compute with: the path is one for the whole process. */
const claims = { portable: false, count: 0 };

/**
 * Has the kernels take the portable path, or the usual one again, until `releaseKernels`.
 * @throws {PacelineError} `usage` while backends of the other kind are open; `platform` without the
 *   portable path.
 */
export function claimKernels(portable: boolean): NativeStatus {
  const status = nativeKernels();
  if (portable !== claims.portable) {
    if (claims.count > 0) {
      throw new PacelineError(
        'usage',
        "Models that are reproducible everywhere and others can't be loaded in one process at the same time",
        {
          hint: 'Dispose of the one first, or load both with the same `reproducible` (--portable).',
        },
      );
    }
    if (portable) requirePortable(status);
    takePath(status, portable);
  }
  claims.count++;
  return status;
}

/** Ends a claim; after the last one the usual path is back. */
export function releaseKernels(): void {
  if (--claims.count === 0 && claims.portable) takePath(nativeKernels(), false);
}

function takePath({ kernels }: NativeStatus, portable: boolean): void {
  kernels?.functions.pl_init(portable ? portablePath : (process.env.PACELINE_CPU ?? null));
  claims.portable = portable;
}

function requirePortable({ kernels, reason }: NativeStatus): void {
  if (kernels?.paths.includes(portablePath)) return;
  throw new PacelineError(
    'platform',
    `The same bytes everywhere need the ${portablePath} path of the native kernels: ` +
      (reason ?? 'this build does not have it'),
    { hint: 'In a clone, npm run setup builds all paths.' },
  );
}

/**
 * Loads the kernels once. `PACELINE_CPU` forces a path; `PACELINE_CPU=ggml` leaves them out.
 * @throws {PacelineError} `platform` when the forced path cannot run here or the library does not
 *   fit this version.
 */
export function nativeKernels(): NativeStatus {
  loaded ??= load(process.env.PACELINE_CPU);
  return loaded;
}

/** The kernels for operations over stored tensors, which must all be the host's; else undefined. */
export function kernelsFor(...stored: readonly (Tensor | undefined)[]): NativeKernels | undefined {
  return stored.some((tensor) => tensor?.place !== undefined) ? undefined : nativeKernels().kernels;
}

/** Where the library of a platform lies in this package. */
export function nativeLibraryFile(
  platform: string = process.platform,
  arch: string = process.arch,
): string | undefined {
  const extension = platform === 'darwin' ? 'dylib' : platform === 'win32' ? 'dll' : 'so';
  const name = join(
    'native',
    'prebuilt',
    `${platform}-${arch}`,
    `libpaceline-kernels.${extension}`,
  );
  // This file is three folders below the package, or four when compiled into dist/.
  const here = dirname(fileURLToPath(import.meta.url));
  return ['../../..', '../../../..'].map((up) => join(here, up, name)).find(existsSync);
}

function load(forced: string | undefined): NativeStatus {
  if (forced === 'ggml') return { reason: 'PACELINE_CPU=ggml leaves them out' };
  const file = nativeLibraryFile();
  if (file === undefined) {
    return { reason: `there is no library for ${process.platform}-${process.arch}` };
  }
  let library: NativeLibrary;
  try {
    library = openLibrary(file);
  } catch (error) {
    return {
      reason: `${file} cannot be loaded: ${error instanceof Error ? error.message : error}`,
    };
  }
  return openKernels(library, file, forced);
}

function openKernels(
  library: NativeLibrary,
  file: string,
  forced: string | undefined,
): NativeStatus {
  const functions = bind(library, signatures);
  if (functions.pl_init(forced ?? null) !== 0) {
    if (!forced) return { reason: functions.pl_error() ?? 'The CPU is not supported' };
    throw new PacelineError('platform', functions.pl_error() ?? 'The CPU is not supported', {
      hint: 'Unset PACELINE_CPU to take the best path that this machine has. In a clone, npm run setup builds all.',
      details: { forced },
    });
  }
  functions.pl_large_blocks_apart();
  const structs = parseLayout(functions.pl_layout() ?? '', file);
  const addresses = new Map<string, number>();
  const kernels: NativeKernels = {
    file,
    get path() {
      return functions.pl_path() ?? '';
    },
    paths: (functions.pl_paths() ?? '').split(','),
    functions,
    struct(name) {
      const found = structs.get(name);
      if (found === undefined) throw mismatch(file, `it has no struct ${name}`);
      return found;
    },
    address(name) {
      const known = addresses.get(name);
      if (known !== undefined) return known;
      const address = symbolAddress(library, name);
      addresses.set(name, address);
      return address;
    },
  };
  return { kernels };
}

interface RawLayout {
  readonly abi: number;
  readonly structs: Readonly<
    Record<string, { size: number; fields: Record<string, [SlotKind, number]> }>
  >;
}

/** Reads the library's own table of structs. @throws {PacelineError} `platform`. */
function parseLayout(text: string, file: string): ReadonlyMap<string, StructLayout> {
  let raw: RawLayout;
  try {
    raw = JSON.parse(text) as RawLayout;
  } catch (cause) {
    throw mismatch(file, 'its table of structs cannot be read', cause);
  }
  if (raw.abi !== abi) throw mismatch(file, `its interface is version ${raw.abi}, not ${abi}`);
  return new Map(
    Object.entries(raw.structs).map(([name, { size, fields }]) => [
      name,
      {
        size,
        fields: new Map(
          Object.entries(fields).map(([field, [kind, offset]]) => [field, { kind, offset }]),
        ),
      },
    ]),
  );
}

export function mismatch(file: string, problem: string, cause?: unknown): PacelineError {
  return new PacelineError('platform', `The kernels do not fit this version: ${problem}`, {
    hint: 'Build them again (npm run setup), or reinstall the package.',
    details: { file },
    ...(cause === undefined ? {} : { cause }),
  });
}
