// Builds libpaceline-kernels with the platform's compiler into prebuilt/<platform>-<arch>/, for the
// processor paths that are asked for; for linux-arm64 too when Debian's cross compiler is installed.
// Skips what is up to date: a hash of sources and flags beside the library, with the paths that it
// has, and one in the name of every object. Without a compiler it says so and succeeds: the engine
// then runs on ggml's own ops.
//
// A source file is compiled once, with baseline flags; a file named <path>.cpp is compiled with that
// path's instruction sets, and only where the path is wanted. common/built.cpp learns which are, so
// that a library grows by compiling further paths and linking again. Files of paths keep everything
// in an anonymous namespace and instantiate no std templates, so that no wide instruction leaks into
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
const avx512vbmi = [...avx512, '-mavx512vbmi', '-mgfni'];
const amx = ['-mamx-tile', '-mamx-int8'];
/** Flags of each path by architecture, best first. */
const paths = {
  x64: {
    amx: [...avx512vbmi, ...amx],
    avx512vbmi,
    avx512,
    avxvnni: [...avx2, '-mavxvnni'],
    avx2,
    scalar: [],
  },
  arm64: { neon: ['-march=armv8.2-a+dotprod+fp16'], scalar: [] },
};
/** Paths whose files a path needs beside its own. */
const needs = { amx: ['avx512vbmi', 'avx512'], avx512vbmi: ['avx512'], avxvnni: ['avx2'] };
const pathFile = /^(amx|avx512vbmi|avx512|avxvnni|avx2|neon|scalar)$/;

const isOwn = ({ platform, arch }) => platform === process.platform && arch === process.arch;

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
  return relative('src', file)
    .replaceAll(sep, '-')
    .replace(/\.cpp$/, '');
}

function sourceHash(target) {
  const hash = createHash('sha256');
  for (const file of ['build.mjs', ...files('include'), ...files('src')]) {
    hash.update(file).update(readFileSync(join(root, file)));
  }
  hash.update(versionOf(target.compiler));
  return hash.digest('hex');
}

/** All paths that can be built for a target, best first. */
function pathsOf(target) {
  return Object.keys(paths[target.arch]).filter((path) => path !== 'amx' || hasAmx(target));
}

/** The best path of this very machine, which a small program tells. */
async function bestPath(target) {
  const program = join(root, 'build', `best-path.${process.pid}`);
  mkdirSync(dirname(program), { recursive: true });
  try {
    await run(target.compiler, [
      ...['-std=c++17', '-O1', '-fno-exceptions', ...(hasAmx(target) ? ['-DPL_AMX'] : [])],
      ...[join(root, 'src', 'common', 'best_path.cpp'), join(root, 'src', 'common', 'cpu.cpp')],
      ...['-o', program],
    ]);
    return (await run(program)).stdout.trim();
  } finally {
    rmSync(program, { force: true });
  }
}

/** Flags of a source file where these paths are wanted, or undefined when it is of another one. */
function flagsOf(file, arch, wanted) {
  const name = basename(file, '.cpp');
  if (name === 'best_path') return undefined;
  if (file.endsWith(join('common', 'cpu.cpp'))) {
    return wanted.includes('amx') ? [...common, '-DPL_AMX'] : common;
  }
  if (file.endsWith(join('common', 'built.cpp'))) {
    return [...common, ...wanted.map((path) => `-DPL_WITH_${path.toUpperCase()}`)];
  }
  if (!pathFile.test(name)) return common;
  const compiled = new Set(wanted.flatMap((path) => [path, ...(needs[path] ?? [])]));
  return compiled.has(name) ? [...common, ...paths[arch][name]] : undefined;
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
 * Compiles the sources of some paths that are out of date.
 * @returns {Promise<Map<string, string>>} the object files by the names of their sources.
 */
async function compile(target, wanted, { log, onProgress, extra = [], folder }) {
  const objects = folder ?? join(root, 'build', `${target.platform}-${target.arch}`);
  mkdirSync(objects, { recursive: true });
  const version = versionOf(target.compiler);
  const jobs = [];
  for (const file of files('src')) {
    const own = file.endsWith('.cpp') ? flagsOf(file, target.arch, wanted) : undefined;
    if (own === undefined) continue;
    const flags = [...own, ...extra];
    const key = createHash('sha256').update(version).update(flags.join(' '));
    for (const part of withIncludes(file)) key.update(part).update(readFileSync(join(root, part)));
    const id = key.digest('hex').slice(0, 16);
    jobs.push({ file, flags, object: join(objects, `${objectName(file)}.${id}.o`) });
  }
  // The products of a path take longest: they come first.
  const weight = ({ file }) =>
    pathFile.test(basename(file, '.cpp')) ? (file.includes('linear') ? 2 : 1) : 0;
  const missing = jobs.filter((job) => !existsSync(job.object));
  const queue = missing.sort((a, b) => weight(b) - weight(a));
  const total = queue.length;
  let done = 0;
  const worker = async () => {
    for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
      const partial = `${job.object}.${process.pid}`;
      const source = join(root, job.file);
      const { stderr } = await run(target.compiler, [...job.flags, '-c', source, '-o', partial]);
      if (stderr) log(stderr);
      renameSync(partial, job.object);
      onProgress({ done: ++done, total });
    }
  };
  await Promise.all(Array.from({ length: Math.min(16, availableParallelism()) }, worker));
  return new Map(jobs.map(({ file, object }) => [objectName(file), object]));
}

/** Hash and paths of the library that is there, if it says so. */
function builtPaths(library, stamp, hash) {
  if (!existsSync(library) || !existsSync(stamp)) return [];
  const [found, list = ''] = readFileSync(stamp, 'utf8').trim().split(' ');
  return found === hash ? list.split(',').filter(Boolean) : [];
}

async function buildTarget(target, which, { log, onProgress }) {
  const name = `${target.platform}-${target.arch}`;
  const folder = join(root, 'prebuilt', name);
  const extension = target.platform === 'darwin' ? 'dylib' : 'so';
  const library = join(folder, `libpaceline-kernels.${extension}`);
  const stamp = join(folder, 'sources.sha256');
  const hash = sourceHash(target);
  const there = builtPaths(library, stamp, hash);
  const all = pathsOf(target);
  if (all.every((path) => there.includes(path))) return;
  const wanted = which === 'all' ? all : [await bestPath(target), process.env.PACELINE_CPU];
  if (wanted.every((path) => !all.includes(path) || there.includes(path))) return;
  const list = all.filter((path) => there.includes(path) || wanted.includes(path));
  log(`compiling native kernels for ${name} (${list.join(', ')}) with ${target.compiler}`);
  const objects = await compile(target, list, { log, onProgress });
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
  writeFileSync(stamp, `${hash} ${list.join(',')}\n`);
}

const toStderr = (line) => process.stderr.write(`${line}\n`);

/**
 * Builds what is out of date.
 * @param {object} options
 * @param {(line: string) => void} [options.log]
 * @param {(progress: { done: number, total: number }) => void} [options.onProgress] source files of a
 *   library, compiled and to compile.
 * @param {boolean} [options.ownOnly] leaves out what only other machines can run.
 * @param {'all' | 'own'} [options.which] paths: all of a target's, or the best one of this machine and
 *   the one that PACELINE_CPU names, beside those that are there.
 * @returns {Promise<boolean>} whether this machine's own library is there.
 */
export async function buildNative({
  log = toStderr,
  onProgress = () => {},
  ownOnly = false,
  which = 'all',
} = {}) {
  const list = targets().filter((target) => isOwn(target) || !(ownOnly || which === 'own'));
  if (list.length === 0) log('no C++ compiler found: native kernels are not built');
  for (const target of list) {
    try {
      await buildTarget(target, which, { log, onProgress });
    } catch (error) {
      const text = error instanceof Error ? error.stderr || error.message : String(error);
      log(`native kernels for ${target.platform}-${target.arch} could not be built:\n${text}`);
      if (process.env.PACELINE_NATIVE_REQUIRED) throw error;
    }
  }
  return existsSync(join(root, 'prebuilt', `${process.platform}-${process.arch}`));
}

/** The path that a header is for, by its name; others are parsed for the least of all. */
function pathOfHeader(file, arch) {
  const name = basename(file, '.h');
  const path = Object.keys(paths[arch]).find((each) => name.split('_').includes(each));
  return path ?? (name === 'transpose' ? 'avx512' : 'scalar');
}

/**
 * Parses every header by itself, twice, as whoever includes it may have included nothing before.
 * @returns {Promise<string[] | undefined>} what the compiler says of those that do not parse;
 *   undefined without a compiler.
 */
export async function checkHeaders() {
  const target = targets().find(isOwn);
  if (target === undefined) return undefined;
  const foreign = target.arch === 'x64' ? ['neon'] : ['amx', 'avx512vbmi', 'avx512', 'avx2'];
  const able = pathsOf(target);
  const queue = [...files('src'), ...files('include')].filter((file) => {
    const words = basename(file, '.h').split('_');
    if (!file.endsWith('.h') || foreign.some((path) => words.includes(path))) return false;
    if (file.endsWith('transpose.h')) return target.arch === 'x64';
    return able.includes(pathOfHeader(file, target.arch));
  });
  const problems = [];
  const worker = async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      // The parts of the C interface are included by paceline.h, which declares what they are made of.
      const source = join(root, /paceline_\w+\.h$/.test(file) ? 'include/paceline.h' : file);
      const flags = paths[target.arch][pathOfHeader(file, target.arch)];
      const program = `#include "${source}"\n#include "${source}"\n`;
      await new Promise((resolve) => {
        const child = execFile(
          target.compiler,
          [
            '-std=c++17',
            '-fsyntax-only',
            '-Wall',
            '-Wno-psabi',
            ...quietHeader,
            ...flags,
            '-x',
            'c++',
            '-',
          ],
          (error, _, stderr) => {
            if (error !== null || stderr !== '') problems.push(`${file}:\n${stderr || error}`);
            resolve();
          },
        );
        child.stdin?.end(program);
      });
    }
  };
  await Promise.all(Array.from({ length: Math.min(4, availableParallelism()) }, worker));
  return problems;
}
/** A header's functions and constants have no users where it stands alone. */
const quietHeader = ['-Wno-unused-function', '-Wno-unused-variable', '-Wno-unused-const-variable'];

/** The program that is linked with the sources' objects: it chooses paths itself, in place of path.cpp. */
const inside = 'amx_test';

/**
 * Builds bench/*.cpp and test/*.cpp against this machine's library, into build/.
 * @param {string[]} names those to build; none: all.
 * @returns {Promise<string[]>} the programs; without the AMX path its test is left out.
 */
async function buildPrograms(names, log) {
  const own = targets().find(isOwn);
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
      const objects = await compile(own, pathsOf(own), { log, onProgress: () => {} });
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

/**
 * Builds test programs of which a sanitizer of the compiler sees everything, the kernels of this
 * machine's best path and the portable ones included.
 * @param {'address,undefined' | 'thread'} kind
 * @param {string[]} names of test/*.cpp.
 * @returns {Promise<string[] | undefined>} the programs; undefined without a compiler that can.
 */
export async function buildSanitized(kind, names, log = toStderr) {
  const own = targets().find(isOwn);
  if (own === undefined) return undefined;
  const sanitize = [`-fsanitize=${kind}`, '-fno-sanitize-recover=all', '-g1', '-w'];
  const probe = ['-x', 'c++', '-', ...sanitize, '-o', '/dev/null'];
  try {
    execFileSync(own.compiler, probe, {
      input: 'int main() {}',
      stdio: ['pipe', 'ignore', 'ignore'],
    });
  } catch {
    return undefined;
  }
  const wanted = [await bestPath(own), 'scalar'];
  const folder = join(root, 'build', `sanitize-${kind.replace(',', '-')}`);
  mkdirSync(folder, { recursive: true });
  const objects = await compile(own, [...new Set(wanted)], {
    ...{ log, onProgress: () => {}, extra: ['-O1', ...sanitize], folder },
  });
  const programs = [];
  for (const name of names) {
    const program = join(folder, name);
    await run(own.compiler, [
      ...['-std=c++17', '-O1', '-ffp-contract=off', '-Wno-psabi', ...sanitize],
      ...[join(root, 'test', `${name}.cpp`), ...objects.values(), '-o', program, '-lpthread'],
    ]);
    programs.push(program);
  }
  return programs;
}

/**
 * Builds a test program with the kernels of the scalar path in it, for every target at hand.
 * @param {string} name of test/*.cpp.
 * @returns {Promise<{ target: string, program: string }[]>} `target`: as in `linux-arm64`.
 */
export async function buildPortable(name, log = toStderr) {
  const list = [];
  for (const target of targets()) {
    const objects = await compile(target, ['scalar'], { log, onProgress: () => {} });
    const program = join(root, 'build', `${name}-${target.platform}-${target.arch}`);
    const partial = `${program}.${process.pid}`;
    await run(target.compiler, [
      ...[
        '-std=c++17',
        '-O2',
        '-ffp-contract=off',
        '-Wno-psabi',
        join(root, 'test', `${name}.cpp`),
      ],
      ...[...objects.values(), '-o', partial, '-lpthread'],
    ]);
    renameSync(partial, program);
    list.push({ target: `${target.platform}-${target.arch}`, program });
  }
  return list;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.includes('--clean')) {
    for (const folder of ['build', 'prebuilt'])
      rmSync(join(root, folder), { recursive: true, force: true });
  }
  await buildNative();
  const at = process.argv.indexOf('--programs');
  if (at >= 0) {
    for (const program of await buildPrograms(process.argv.slice(at + 1), toStderr)) {
      process.stdout.write(`${program}\n`);
    }
  }
}
