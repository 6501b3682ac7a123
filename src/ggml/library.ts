/**
 * Finds, checks and loads ggml's prebuilt libraries. They come in the npm packages
 * `@node-llama-cpp/<platform>` at one pinned version; of the CPU libraries the one that scores best
 * on this machine is taken, by its own `ggml_backend_score`. Each process loads them once.
 * Guarantees a typed error instead of a crash when nothing fits. Knows nothing of models.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { PacelineError } from '../base/errors.js';
import {
  addressOf,
  type Bindings,
  baseSignatures,
  bind,
  bindInit,
  cpuSignatures,
  type NativeLibrary,
  openLibrary,
  registrySignatures,
  symbolAddress,
} from './bindings.js';

/** The version of ggml whose structures and operations this code is written for. */
export const ggmlVersion = '0.25.1';
/** The version of the `@node-llama-cpp` packages that carry it. */
export const packageVersion = '3.22.1';

/** The packages that may hold libraries for a platform: one for the CPU, further ones for GPUs. */
interface PlatformPackages {
  readonly cpu: string;
  readonly gpu: readonly string[];
}

const platforms: Readonly<Record<string, PlatformPackages>> = {
  'linux-x64': {
    cpu: 'linux-x64',
    gpu: ['linux-x64-cuda', 'linux-x64-cuda-ext', 'linux-x64-vulkan'],
  },
  'linux-arm64': { cpu: 'linux-arm64', gpu: [] },
  'linux-arm': { cpu: 'linux-armv7l', gpu: [] },
  'darwin-arm64': { cpu: 'mac-arm64-metal', gpu: [] },
  'darwin-x64': { cpu: 'mac-x64', gpu: [] },
  'win32-x64': { cpu: 'win-x64', gpu: ['win-x64-cuda', 'win-x64-cuda-ext', 'win-x64-vulkan'] },
  'win32-arm64': { cpu: 'win-arm64', gpu: [] },
};

export interface LibraryPackage {
  /** `@node-llama-cpp/linux-x64`. */
  readonly name: string;
  readonly version: string;
  /** The folder with the libraries. */
  readonly folder: string;
}

/** ggml, loaded: its functions and where they came from. */
export interface Ggml {
  readonly base: Bindings<typeof baseSignatures>;
  readonly cpu: Bindings<typeof cpuSignatures>;
  readonly registry: Bindings<typeof registrySignatures>;
  /**
   * A context without tensor data, of that many bytes for tensor headers; `free` ends it. Its memory
   * belongs to this environment, so that none stays when that ends.
   * @throws {PacelineError} `memory`, where ggml's own allocation would end the process.
   */
  readonly init: (memoryBytes: number) => number;
  readonly free: (context: number) => void;
  /** Address of a C function `bool (*)(ggml_context *)` that tells the context's no_alloc flag. */
  readonly flagReader: number;
  /** Address of `bool ggml_validate_row_data(int type, const void *, size_t)`. */
  readonly validator: number;
  readonly cpuRegistration: number;
  readonly package: LibraryPackage;
  /** Path of libggml-base, for threads that declare its functions themselves. */
  readonly basePath: string;
  /** Which build of the CPU library runs: `zen4`, `haswell`, `armv8.2_2`, ... */
  readonly cpuVariant: string;
}

const require = createRequire(import.meta.url);

/** Where to look: injected by tests, the running machine otherwise. */
export interface PlatformOptions {
  readonly platform?: string;
  readonly arch?: string;
  /** Folder of an installed package by name, or undefined. */
  readonly findPackage?: (name: string) => LibraryPackage | undefined;
}

/** Names a folder whose `node_modules` is searched too: for packages that are not installed beside this one. */
const packageFolderVariable = 'PACELINE_PACKAGES';

function resolveEntry(name: string): string | undefined {
  const folder = process.env[packageFolderVariable];
  const others = folder ? [createRequire(join(resolve(folder), 'package.json'))] : [];
  for (const from of [require, ...others]) {
    try {
      return from.resolve(name);
    } catch {
      // not there
    }
  }
  return undefined;
}

/** An installed `@node-llama-cpp` package: a dependency, beside this one, or in `PACELINE_PACKAGES`. */
function findInstalled(name: string): LibraryPackage | undefined {
  const entry = resolveEntry(name);
  if (entry === undefined) return undefined;
  let root = dirname(entry);
  while (!existsSync(join(root, 'package.json'))) {
    const parent = dirname(root);
    if (parent === root) return undefined;
    root = parent;
  }
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    version: string;
  };
  const bins = join(root, 'bins');
  const wanted = name.slice(name.indexOf('/') + 1);
  const folder = [wanted, ...(existsSync(bins) ? readdirSync(bins) : [])]
    .map((child) => join(bins, child))
    .find((path) => existsSync(path));
  return folder === undefined ? undefined : { name, version, folder };
}

/**
 * The package with the CPU libraries of this platform.
 * @throws {PacelineError} `platform` when there is none, it is not installed, or of another version.
 */
export function findCpuPackage(options: PlatformOptions = {}): LibraryPackage {
  const platform = options.platform ?? process.platform;
  const arch = options.arch ?? process.arch;
  const packages = platforms[`${platform}-${arch}`];
  if (packages === undefined) {
    throw new PacelineError('platform', `There are no ggml libraries for ${platform}-${arch}`, {
      hint: `Paceline runs on ${Object.keys(platforms).join(', ')}.`,
      details: { platform, arch },
    });
  }
  const name = `@node-llama-cpp/${packages.cpu}`;
  const found = (options.findPackage ?? findInstalled)(name);
  if (found === undefined) {
    throw new PacelineError(
      'platform',
      `The ggml libraries for ${platform}-${arch} are not installed (${name})`,
      {
        hint:
          `Install them: npm install ${name}@${packageVersion} ` +
          '(npm leaves them out with --omit=optional; on Linux they need glibc).',
        details: { platform, arch, package: name },
      },
    );
  }
  checkPackageVersion(found);
  return found;
}

/** The GPU packages that somebody installed for this platform; a wrong version is an error. */
export function findGpuPackages(options: PlatformOptions = {}): readonly LibraryPackage[] {
  const key = `${options.platform ?? process.platform}-${options.arch ?? process.arch}`;
  const found = (platforms[key]?.gpu ?? [])
    .map((name) => (options.findPackage ?? findInstalled)(`@node-llama-cpp/${name}`))
    .filter((candidate) => candidate !== undefined);
  for (const candidate of found) checkPackageVersion(candidate);
  return found;
}

function checkPackageVersion({ name, version }: LibraryPackage): void {
  if (version === packageVersion) return;
  throw new PacelineError('platform', `${name} is version ${version}, not ${packageVersion}`, {
    hint: `Install the version that fits: npm install ${name}@${packageVersion}`,
    details: { package: name, version, expected: packageVersion },
  });
}

/**
 * Checks what the loaded library says of itself.
 * @throws {PacelineError} `platform` on any other version than the pinned one.
 */
export function checkGgmlVersion(found: string | null, folder: string): void {
  if (found === ggmlVersion) return;
  throw new PacelineError('platform', `ggml in ${folder} is version ${found}, not ${ggmlVersion}`, {
    hint: `Reinstall @node-llama-cpp packages at version ${packageVersion}.`,
    details: { found, expected: ggmlVersion, folder },
  });
}

/** Libraries of a folder whose names match `ggml<pattern>`, with the system's prefix and ending. */
export function librariesIn(folder: string, pattern: string): readonly string[] {
  const name = new RegExp(`^(lib)?ggml${pattern}\\.(so|dylib|dll)$`);
  return readdirSync(folder)
    .filter((file) => name.test(file))
    .sort()
    .map((file) => join(folder, file));
}

function onlyLibrary(folder: string, pattern: string): string {
  const [path] = librariesIn(folder, pattern);
  if (path !== undefined) return path;
  throw new PacelineError('platform', `No library ggml${pattern} in ${folder}`, {
    hint: 'The package is damaged: install it again.',
    details: { folder },
  });
}

/**
 * Builds for x86, the best first: where one fits, all after it score less. Trying them in this order
 * loads two or three libraries instead of fifteen, which is most of the time that loading takes.
 */
const bestFirst = [
  ...['sapphirerapids', 'zen4', 'cooperlake', 'icelake', 'cascadelake', 'cannonlake'],
  ...['skylakex', 'alderlake', 'haswell', 'piledriver', 'ivybridge', 'sandybridge', 'sse42', 'x64'],
];

/** The CPU library that scores best here; 0 means that the CPU lacks what it needs. */
function chooseCpuLibrary(folder: string): { path: string; variant: string } {
  const builds = librariesIn(folder, '-cpu(-.+)?').map((path) => {
    const variant = /ggml-cpu-(.+)\.[a-z]+$/.exec(path)?.[1] ?? 'generic';
    return { path, variant, rank: bestFirst.indexOf(variant) };
  });
  const ranked = builds.every(({ rank }) => rank >= 0);
  let best = { path: '', variant: '', score: 0 };
  for (const { path, variant } of builds.sort((a, b) => a.rank - b.rank)) {
    const score = scoreOf(path);
    if (score > best.score) best = { path, variant, score };
    if (ranked && score > 0) break;
  }
  if (best.score > 0) return best;
  throw new PacelineError('platform', `No ggml CPU library in ${folder} fits this processor`, {
    hint: 'Paceline needs at least a 64-bit x86 or ARMv8 processor.',
    details: { folder },
  });
}

function scoreOf(path: string): number {
  let library: NativeLibrary;
  try {
    library = openLibrary(path);
  } catch {
    return 0;
  }
  try {
    return bind(library, { ggml_backend_score: ['int', []] }).ggml_backend_score();
  } catch {
    return 1; // a single build without variants has no score
  }
}

let loaded: Ggml | undefined;

/**
 * ggml of this process; the first call loads it (about 15 ms).
 * @throws {PacelineError} `platform` when no library fits.
 */
export function loadGgml(): Ggml {
  loaded ??= load(findCpuPackage());
  return loaded;
}

function load(source: LibraryPackage): Ggml {
  const { folder } = source;
  const basePath = onlyLibrary(folder, '-base');
  const baseLibrary = openLibrary(basePath);
  const base = bind(baseLibrary, baseSignatures);
  checkGgmlVersion(base.ggml_version(), folder);
  // ggml logs from its worker threads, where JavaScript must not run. A C function that ignores
  // its arguments and does nothing swallows the messages.
  if (!process.env.PACELINE_GGML_LOG) {
    base.ggml_log_set(symbolAddress(baseLibrary, 'ggml_tensor_overhead'), 0);
  }
  const { path, variant } = chooseCpuLibrary(folder);
  const registry = bind(openLibrary(onlyLibrary(folder, '(\\.v[0-9.]+)?')), registrySignatures);
  const cpuRegistration = registry.ggml_backend_load(path);
  if (cpuRegistration === 0) {
    throw new PacelineError('platform', `ggml refuses its own CPU library ${path}`, {
      details: { path },
    });
  }
  return {
    base,
    cpu: bind(openLibrary(path), cpuSignatures),
    registry,
    ...contexts(base, bindInit(baseLibrary)),
    flagReader: symbolAddress(baseLibrary, 'ggml_get_no_alloc'),
    validator: symbolAddress(baseLibrary, 'ggml_validate_row_data'),
    cpuRegistration,
    package: source,
    basePath,
    cpuVariant: variant,
  };
}

/** `init` and `free` of contexts in memory that JavaScript holds. */
function contexts(
  base: Bindings<typeof baseSignatures>,
  init: (memoryBytes: number, memoryAddress: number) => number,
): Pick<Ggml, 'init' | 'free'> {
  const held = new Map<number, ArrayBuffer>();
  return {
    init(bytes) {
      // Not from JavaScript alone, which collects garbage for long before it says that there is none.
      requireRoom({ base }, bytes, 'tensor headers');
      const memory = takeMemory(Math.ceil(bytes / 16) * 16);
      const context = init(memory.byteLength, addressOf(memory));
      if (context === 0) throw outOfMemory(bytes, 'tensor headers');
      held.set(context, memory);
      return context;
    },
    free(context) {
      base.ggml_free(context);
      held.delete(context);
    },
  };
}

function takeMemory(bytes: number): ArrayBuffer {
  try {
    return new ArrayBuffer(bytes);
  } catch {
    throw outOfMemory(bytes, 'tensor headers');
  }
}

/** The error of an allocation that the system refuses. */
export function outOfMemory(bytes: number, what: string): PacelineError {
  const mebibytes = Math.ceil(bytes / 2 ** 20);
  return new PacelineError('memory', `The system refuses ${mebibytes} MiB for ${what}`, {
    hint: 'Close other programs, or use a smaller context or a smaller model.',
    details: { bytes },
  });
}

/** What is left for others: small allocations of ggml, and Node.js, which ends where it gets none. */
const reserveBytes = 48 * 2 ** 20;

/**
 * Makes sure that the system still gives `bytes` of memory and a reserve, by taking and returning
 * them: ggml ends the process where one of its small allocations fails.
 * @throws {PacelineError} `memory`.
 */
export function requireRoom({ base }: Pick<Ggml, 'base'>, bytes: number, what: string): void {
  const type = base.ggml_backend_cpu_buffer_type();
  const buffer = base.ggml_backend_buft_alloc_buffer(type, bytes + reserveBytes);
  if (buffer === 0) throw outOfMemory(bytes, what);
  base.ggml_backend_buffer_free(buffer);
}
