import assert from 'node:assert/strict';
import { posix } from 'node:path';
import { test } from 'node:test';
import type { Command } from 'commander';
import { pictures } from '../../bench/pictures.js';
import { createProgram } from '../../src/cli/program.js';
import { codeBlocks, commandsIn, reasons } from '../support/documents.js';
import { readRepositoryFile, repositoryFiles } from '../support/repository.js';

const files = repositoryFiles();

/** Folders that the file map of the README names: lines of the block below its heading. */
function fileMap(): { path: string; what: string }[] {
  const readme = readRepositoryFile('README.md');
  const block = /## File map\n[\s\S]*?```[a-z]*\n([\s\S]*?)```/.exec(readme)?.[1];
  assert.ok(block !== undefined, 'README.md has no file map');
  return block
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [, path = '', what = ''] = /^(\S+)\s+(.*)$/.exec(line.trim()) ?? [];
      return { path, what };
    });
}

/** The folders that the map has to name: all at the top, and those of src/. */
function folders(): string[] {
  const found = new Set<string>();
  for (const path of files) {
    const parts = path.split('/');
    if (parts.length > 1) found.add(`${parts[0]}/`);
    if (parts[0] === 'src' && parts.length > 2) found.add(`src/${parts[1]}/`);
  }
  return [...found].sort();
}

test('the file map of the README names every folder, and no other', () => {
  const map = fileMap();
  assert.deepEqual(map.map(({ path }) => path).sort(), folders());
  for (const { path, what } of map) assert.ok(what.length > 10, `${path} is not described`);
});

test('links in documents lead to files and headings that exist', () => {
  const anchor = (heading: string): string =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replace(/\s/g, '-');
  const broken: string[] = [];
  for (const path of files.filter((file) => file.endsWith('.md'))) {
    const text = readRepositoryFile(path).replace(/```[\s\S]*?```/g, '');
    for (const [, link = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(link)) continue;
      const [file = '', fragment] = link.split('#');
      const target = file === '' ? path : posix.join(posix.dirname(path), file);
      const exists = files.some(
        (other) => other === target || other.startsWith(`${target.replace(/\/$/, '')}/`),
      );
      if (!exists) {
        broken.push(`${path}: ${link}`);
      } else if (fragment !== undefined && target.endsWith('.md')) {
        const headings = [...readRepositoryFile(target).matchAll(/^#+ (.*)$/gm)];
        if (!headings.some(([, heading = '']) => anchor(heading) === fragment)) {
          broken.push(`${path}: ${link}`);
        }
      }
    }
  }
  assert.deepEqual(broken, []);
});

test('the changelog begins with the version of the package', () => {
  const { version } = JSON.parse(readRepositoryFile('package.json')) as { version: string };
  const first = /^## \[?v?(\d+\.\d+\.\d+)/m.exec(readRepositoryFile('CHANGELOG.md'))?.[1];
  assert.equal(first, version);
});

test('dependencies are pinned to exact versions', () => {
  const manifest = JSON.parse(readRepositoryFile('package.json')) as Record<
    string,
    Record<string, string>
  >;
  const groups = ['dependencies', 'optionalDependencies', 'devDependencies'];
  const loose = groups.flatMap((group) =>
    Object.entries(manifest[group] ?? {}).filter(
      ([, version]) => !/^(npm:[\w@/.-]+@)?\d+\.\d+\.\d+$/.test(version),
    ),
  );
  assert.deepEqual(loose, []);
});

test('the lock file names no registry, so that everybody installs from their own', () => {
  const lock = readRepositoryFile('package-lock.json');
  const hosts = [...lock.matchAll(/"resolved": "https?:\/\/([^/"]+)/g)].map(([, host]) => host);
  assert.deepEqual(hosts, []);
});

test('docs/api.md names every export of the library', () => {
  const index = readRepositoryFile('src/index.ts');
  const types = readRepositoryFile('src/engine/types.ts');
  const named = [...index.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].flatMap(([, list = '']) =>
    list.split(',').map((item) => item.trim().replace(/^type /, '')),
  );
  const declared = [...types.matchAll(/^export (?:interface|type) (\w+)/gm)].map(
    ([, name = '']) => name,
  );
  const names = [...named, ...declared].filter((name) => name !== '');
  assert.ok(names.includes('loadModel') && names.includes('GenerateOptions'));
  const document = readRepositoryFile('docs/api.md');
  assert.deepEqual(
    names.filter((name) => !new RegExp(`\\b${name}\\b`).test(document)),
    [],
  );
});

test('code in documents says why it is not run, if it is not', (context) => {
  const blocks = codeBlocks();
  assert.ok(blocks.length > 20);
  const marked = blocks.filter(({ notRun }) => notRun !== undefined);
  const unknown = marked.filter(({ notRun = '' }) => !Object.hasOwn(reasons, notRun));
  assert.deepEqual(unknown, []);
  for (const { document, line, notRun } of marked) {
    context.diagnostic(`not run: ${document}:${line} (${notRun})`);
  }
});

test('commands in documents are commands, with flags that exist', async () => {
  const wrong: string[] = [];
  for (const { document, line, language, code } of codeBlocks()) {
    if (language !== 'sh') continue;
    for (const words of commandsIn(code)) {
      const [first, second, ...rest] = words;
      const args =
        first === 'paceline'
          ? words.slice(1)
          : first === 'npx' && second === 'paceline'
            ? rest
            : first === 'npm' && second === 'start' && rest[0] === '--'
              ? rest.slice(1)
              : undefined;
      if (args !== undefined) {
        const problem = await problemWith(args);
        if (problem !== undefined)
          wrong.push(`${document}:${line}: ${words.join(' ')}: ${problem}`);
      }
      if (first === 'npx' && second === 'tsx' && !files.includes(rest[0] ?? '')) {
        wrong.push(`${document}:${line}: there is no ${rest[0]}`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});

/** What the command line would say against these arguments; nothing is run. */
async function problemWith(args: readonly string[]): Promise<string | undefined> {
  const program = createProgram();
  const silence = (command: Command): void => {
    command.exitOverride().configureOutput({ writeErr: () => {}, writeOut: () => {} });
    if (command.commands.length === 0) command.action(() => {});
    for (const below of command.commands) silence(below);
  };
  silence(program);
  try {
    await program.parseAsync([...args], { from: 'user' });
    return undefined;
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    return code?.startsWith('commander.help') || code === 'commander.version' ? undefined : message;
  }
}

test('pictures show the numbers of the README', () => {
  for (const [path, text] of Object.entries(pictures(readRepositoryFile('README.md')))) {
    assert.equal(readRepositoryFile(path), text, `${path}: run npm run docs`);
  }
});

test('pictures need nothing else, and say in words what they show', () => {
  for (const path of files.filter((file) => /^docs\/.*\.svg$/.test(file))) {
    const text = readRepositoryFile(path);
    assert.match(text, /<title[^>]*>[^<]+<\/title>\s*<desc[^>]*>[^<]+<\/desc>/);
    assert.doesNotMatch(text, /<script|href=|url\(/);
    assert.match(text, /prefers-color-scheme: dark/);
  }
});
