// Builds libpaceline-kernels with the platform's compiler into prebuilt/<platform>-<arch>/, and for
// linux-arm64 too when Debian's cross compiler is installed. Skips what is up to date (a hash of the
// sources and flags beside the library). Without a compiler it says so and succeeds: the engine then
// runs on ggml's own ops.
//
// A source file is compiled once, with baseline flags; a file named <path>.cpp is compiled with that
// path's instruction sets and left out on other architectures. Such files keep everything in an
// anonymous namespace and instantiate no std templates, so that no wide instruction leaks into
// code shared with the baseline.
import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = dirname(fileURLToPath(import.meta.url));
const run = promisify(execFile);

const common = [
  '-std=c++17',
  '-O3',
  '-fPIC',
  '-ffp-contract=off',
  '-fno-math-errno',
  '-fno-trapping-math',
  '-fvisibility=hidden',
  '-fno-exceptions',
  '-fno-rtti',
  '-fno-threadsafe-statics',
  '-Wall',
  '-Wextra',
  '-Wno-unused-parameter',
  '-Wno-maybe-uninitialized',
  '-Wno-uninitialized',
  '-Wno-psabi',
  '-Wno-ignored-attributes',
];

const avx2 = ['-mavx2', '-mfma', '-mf16c', '-mbmi', '-mbmi2', '-mlzcnt', '-mpopcnt'];
const avx512 = [
  ...avx2,
  '-mavx512f',
  '-mavx512dq',
  '-mavx512bw',
  '-mavx512vl',
  '-mavx512vnni',
  '-mprefer-vector-width=512',
];
const amx = ['-mamx-tile', '-mamx-int8'];
const paths = {
  x64: {
    amx: [...avx512, ...amx],
    avx512,
    avxvnni: [...avx2, '-mavxvnni'],
    avx2,
  },
  arm64: { neon: ['-march=armv8.2-a+dotprod+fp16'] },
};

/** The libraries that this machine can build: its own, and arm64 by cross compiler. */
function targets() {
  const list = [];
  const own = process.env.CXX || ['g++', 'clang++', 'c++'].find(works);
  if (own && (process.arch === 'x64' || process.arch === 'arm64') && process.platform !== 'win32') {
    list.push({ platform: process.platform, arch: process.arch, compiler: own });
  }
  const cross = 'aarch64-linux-gnu-g++';
  if (process.platform === 'linux' && process.arch === 'x64' && works(cross)) {
    list.push({ platform: 'linux', arch: 'arm64', compiler: cross });
  }
  return list;
}

function works(compiler) {
  try {
    execFileSync(compiler, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Whether the AMX path can be built: only Linux can run it, and compiler and assembler must know it. */
function hasAmx({ platform, arch, compiler }) {
  if (platform !== 'linux' || arch !== 'x64') return false;
  try {
    const options = [...amx, '-x', 'c++', '-c', '-', '-o', '/dev/null'];
    const input = 'void f() { __asm__("tilerelease"); }';
    execFileSync(compiler, options, { input, stdio: ['pipe', 'ignore', 'ignore'] });
    return true;
  } catch {
    return false;
  }
}

function versionOf(compiler) {
  return execFileSync(compiler, ['--version']);
}

/** The sources of a folder and those below it. */
function files(folder) {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return files(path);
      return /\.(h|cpp)$/.test(entry.name) ? [path] : [];
    });
}

/** The name of a source's object: its path, as sources of several folders have one name. */
function objectName(file) {
  return relative('src', file).replaceAll(sep, '-').replace(/\.cpp$/, '');
}

function sourceHash(target) {
  const hash = createHash('sha256');
  for (const file of ['build.mjs', ...files('include'), ...files('src')]) {
    hash.update(file).update(readFileSync(join(root, file)));
  }
  hash.update(versionOf(target.compiler));
  return hash.digest('hex');
}

/** Flags of a source file for this architecture, or undefined when it belongs to another one. */
function flagsOf(file, arch, withAmx) {
  const all = withAmx ? [...common, '-DPL_AMX'] : common;
  const path = basename(file, '.cpp');
  if (!/^(avx512|avxvnni|avx2|neon|amx)$/.test(path)) return all;
  if (path === 'amx' && !withAmx) return undefined;
  const own = paths[arch][path];
  return own && [...all, ...own];
}

/** A source file and the project's headers that it includes, directly or not. */
function withIncludes(file, seen = new Set()) {
  if (seen.has(file) || !existsSync(join(root, file))) return seen;
  seen.add(file);
  const text = readFileSync(join(root, file), 'utf8');
  for (const [, name] of text.matchAll(/^\s*#include "([^"]+)"/gm)) {
    withIncludes(join(dirname(file), name), seen);
  }
  return seen;
}

/**
 * Compiles the sources that are out of date.
 * @returns {Promise<Map<string, string>>} the object files by the names of their sources.
 */
async function compile(target, log) {
  const withAmx = hasAmx(target);
  const objects = join(root, 'build', `${target.platform}-${target.arch}`);
  mkdirSync(objects, { recursive: true });
  const jobs = [];
  for (const file of files('src')) {
    const flags = file.endsWith('.cpp') ? flagsOf(file, target.arch, withAmx) : undefined;
    if (flags === undefined) continue;
    const key = createHash('sha256').update(versionOf(target.compiler)).update(flags.join(' '));
    for (const part of withIncludes(file)) key.update(part).update(readFileSync(join(root, part)));
    const id = key.digest('hex').slice(0, 16);
    jobs.push({ file, flags, object: join(objects, `${objectName(file)}.${id}.o`) });
  }
  const queue = jobs.filter((job) => !existsSync(job.object));
  const worker = async () => {
    for (let job = queue.pop(); job !== undefined; job = queue.pop()) {
      const partial = `${job.object}.${process.pid}`;
      const { stderr } = await run(target.compiler, [
        ...job.flags,
        '-c',
        join(root, job.file),
        '-o',
        partial,
      ]);
      if (stderr) log(stderr);
      renameSync(partial, job.object);
    }
  };
  await Promise.all(Array.from({ length: Math.min(4, availableParallelism()) }, worker));
  return new Map(jobs.map(({ file, object }) => [objectName(file), object]));
}

async function buildTarget(target, log) {
  const name = `${target.platform}-${target.arch}`;
  const folder = join(root, 'prebuilt', name);
  const extension = target.platform === 'darwin' ? 'dylib' : 'so';
  const library = join(folder, `libpaceline-kernels.${extension}`);
  const stamp = join(folder, 'sources.sha256');
  const hash = sourceHash(target);
  if (existsSync(library) && existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return;
  log(`building native kernels for ${name} with ${target.compiler}`);
  const objects = await compile(target, log);
  mkdirSync(folder, { recursive: true });
  const link =
    target.platform === 'darwin'
      ? ['-dynamiclib']
      : [
          '-shared',
          // Without the C++ runtime (nothing here needs it), so that an old C library suffices.
          '-nodefaultlibs',
          '-Wl,--gc-sections',
          '-Wl,-z,defs',
          '-s',
          ...['-lc', '-lm', '-lgcc', '-lpthread'],
        ];
  const temporary = `${library}.${process.pid}`;
  await run(target.compiler, [...objects.values(), ...link, '-o', temporary]);
  renameSync(temporary, library);
  writeFileSync(stamp, hash);
}

/**
 * Builds what is out of date.
 * @param {{ log?: (line: string) => void, ownOnly?: boolean }} options `ownOnly` leaves out what
 *   only other machines can run.
 * @returns {Promise<boolean>} whether this machine's own library is there.
 */
export async function buildNative({
  log = (line) => process.stderr.write(`${line}\n`),
  ownOnly = false,
} = {}) {
  const list = targets().filter(
    ({ platform, arch }) => !ownOnly || (platform === process.platform && arch === process.arch),
  );
  const own = `${process.platform}-${process.arch}`;
  if (list.length === 0) log('no C++ compiler found: native kernels are not built');
  for (const target of list) {
    try {
      await buildTarget(target, log);
    } catch (error) {
      const text = error instanceof Error ? error.stderr || error.message : String(error);
      log(`native kernels for ${target.platform}-${target.arch} could not be built:\n${text}`);
      if (process.env.PACELINE_NATIVE_REQUIRED) throw error;
    }
  }
  return existsSync(join(root, 'prebuilt', own));
}

/** The program that is linked with the sources' objects: it chooses paths itself, in place of path.cpp. */
const inside = 'amx_test';

/**
 * Builds bench/*.cpp and test/*.cpp against this machine's library, into build/.
 * @param {string[]} names those to build; none: all.
 * @returns {Promise<string[]>} the programs; without the AMX path its test is left out.
 */
async function buildPrograms(names, log) {
  const own = targets().find(
    ({ platform, arch }) => platform === process.platform && arch === process.arch,
  );
  if (own === undefined) return [];
  const folder = join(root, 'prebuilt', `${own.platform}-${own.arch}`);
  const sources = [...files('bench'), ...files('test')]
    .filter((file) => file.endsWith('.cpp'))
    .filter((file) => names.length === 0 || names.includes(basename(file, '.cpp')));
  const programs = [];
  for (const file of sources) {
    const name = basename(file, '.cpp');
    const program = join(root, 'build', name);
    const link = [`-L${folder}`, '-lpaceline-kernels', `-Wl,-rpath,${folder}`];
    if (name === inside) {
      const objects = await compile(own, log);
      if (!objects.has('linear-amx')) continue;
      objects.delete('common-path');
      link.splice(0, link.length, ...objects.values());
    }
    const partial = `${program}.${process.pid}`;
    await run(own.compiler, [
      ...['-std=c++17', '-O3', '-ffp-contract=off', '-Wno-psabi', join(root, file)],
      ...['-o', partial, ...link, '-lpthread'],
    ]);
    renameSync(partial, program);
    log(`built ${program}`);
    programs.push(program);
  }
  return programs;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.includes('--clean')) {
    for (const folder of ['build', 'prebuilt'])
      rmSync(join(root, folder), { recursive: true, force: true });
  }
  await buildNative();
  const at = process.argv.indexOf('--programs');
  if (at >= 0) {
    const log = (line) => process.stderr.write(`${line}\n`);
    for (const program of await buildPrograms(process.argv.slice(at + 1), log)) {
      process.stdout.write(`${program}\n`);
    }
  }
}
