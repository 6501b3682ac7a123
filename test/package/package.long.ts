/**
 * The package as users get it: packed, installed from the tarball into an empty project, used there
 * as a library, from TypeScript, and as a command.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { before, test } from 'node:test';
import { repository } from '../support/repository.js';
import { temporaryFile } from '../support/tiny-model.js';

const megabyte = 1e6;
const project = temporaryFile('project');
const prompt = 'export function ';

/** Runs a program; its stdout, or an error with both outputs. */
function run(command: string, args: readonly string[], cwd: string): Promise<string> {
  return new Promise((resolve, reject) => {
    // Variables of the npm that runs the tests must not steer the one of the new project.
    const env = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_TEST_CONTEXT)/i.test(name)),
    );
    env.PACELINE_NATIVE = 'own';
    const child = spawn(command, args, { cwd, env, shell: process.platform === 'win32' });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (text) => {
      stdout += text;
    });
    child.stderr.on('data', (text) => {
      stderr += text;
    });
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(stdout);
      else reject(new Error(`${command} ${args.join(' ')}: exit ${code}\n${stdout}\n${stderr}`));
    });
  });
}

function filesOf(folder: string): { path: string; bytes: number }[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((path) => ({ path, stat: lstatSync(join(folder, path)) }))
    .filter(({ stat }) => stat.isFile())
    .map(({ path, stat }) => ({ path, bytes: stat.size }));
}

const installed = join(project, 'node_modules', 'paceline');

before(async () => {
  mkdirSync(project, { recursive: true });
  const folder = dirname(project);
  const packed = await run('npm', ['pack', '--json', '--pack-destination', folder], repository);
  const name = /"filename": "([^"]+\.tgz)"/.exec(packed)?.[1];
  assert.ok(name !== undefined, packed);
  writeFileSync(join(project, 'package.json'), '{"private": true, "type": "module"}\n');
  const flags = ['--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts'];
  await run('npm', ['install', join(folder, name), ...flags], project);
});

test('the tarball holds what runs, and nothing else', () => {
  const paths = filesOf(installed).map(({ path }) => path);
  for (const path of [
    'package.json',
    'README.md',
    'LICENSE',
    'CHANGELOG.md',
    'dist/src/index.js',
    'dist/src/index.d.ts',
    'dist/src/cli/main.js',
    'dist/web/index.html',
    'models/default/paceline-default.gguf',
    'models/default/paceline-default-mtp.gguf',
    'models/default/paceline-default-dflash.gguf',
    'bench/texts/README.md',
    'docs/cli.md',
    'src/models/qwen3.ts',
  ]) {
    assert.ok(paths.includes(path), path);
  }
  const expected =
    /^(package\.json|[A-Z]+(\.md)?|(dist\/src|dist\/web|src|docs|examples|models|native\/prebuilt|bench\/texts)\/|(bench|native)\/README\.md)/;
  assert.deepEqual(
    paths.filter((path) => !expected.test(path)),
    [],
  );
  if (process.platform === 'linux') {
    const library = `native/prebuilt/linux-${process.arch}/libpaceline-kernels.so`;
    assert.ok(paths.includes(library), library);
  }
});

test('links in its documents lead to files that it holds', () => {
  const paths = filesOf(installed).map(({ path }) => path);
  const broken = paths
    .filter((path) => /^([A-Z]+|docs\/.*|bench\/.*|models\/.*)\.md$/.test(path))
    .flatMap((path) => {
      const text = readFileSync(join(installed, path), 'utf8').replace(/```[\s\S]*?```/g, '');
      return [...text.matchAll(/\]\(([^)\s]+)\)/g)]
        .map(([, link = '']) => link.replace(/#.*$/, ''))
        .filter((link) => link !== '' && !/^[a-z]+:/.test(link))
        .map((link) => ({
          path,
          target: posix.join(posix.dirname(path), link).replace(/\/$/, ''),
        }));
    })
    .filter(
      ({ target }) => !paths.some((path) => path === target || path.startsWith(`${target}/`)),
    );
  assert.deepEqual(broken, []);
});

test('production dependencies take at most 150 MB', (t) => {
  const bytes = filesOf(join(project, 'node_modules')).reduce((sum, file) => sum + file.bytes, 0);
  t.diagnostic(`${(bytes / megabyte).toFixed(1)} MB in node_modules, this package included`);
  assert.ok(bytes <= 150 * megabyte, `${bytes} bytes`);
  const names = readdirSync(join(project, 'node_modules', '@node-llama-cpp'));
  assert.ok(
    names.every((name) => !/cuda|vulkan/.test(name)),
    names.join(', '),
  );
});

test('as a library and as a command it gives the same tokens', async () => {
  writeFileSync(
    join(project, 'use.js'),
    `import { loadModel } from 'paceline';
const model = await loadModel('default');
const options = { maxTokens: 8, temperature: 0 };
const { tokens, text } = await model.generate(${JSON.stringify(prompt)}, options);
await model.dispose();
console.log(JSON.stringify({ tokens, text }));
`,
  );
  const library = JSON.parse(await run(process.execPath, ['use.js'], project)) as {
    tokens: number[];
    text: string;
  };
  const words = ['run', 'default', prompt, '-n', '8', '--temp', '0', '--json'];
  const command = JSON.parse(await run('npx', ['--no', 'paceline', ...words], project)) as {
    tokens: number[];
    text: string;
  };
  assert.equal(library.tokens.length, 8);
  assert.deepEqual(command.tokens, library.tokens);
  assert.equal(command.text, library.text);
});

test('its types are found and hold', async () => {
  writeFileSync(
    join(project, 'use.ts'),
    `import { type Generation, loadModel, PacelineError } from 'paceline';

const model = await loadModel('default', { threads: 1 });
const generation: Generation = await model.generate('x', { maxTokens: 1 });
const text: string = generation.text;
for await (const event of model.stream('x')) {
  if (event.type === 'end') console.log(event.generation.finishReason, text);
}
// @ts-expect-error: the options are checked
await model.generate('x', { maxTokens: 'many' });
console.log(PacelineError.name);
`,
  );
  // Without Node's types, without the DOM's, with everything checked that is declared.
  const strictest = {
    target: 'ES2022',
    lib: ['ES2022'],
    types: [],
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    skipLibCheck: false,
  };
  const program = join(project, 'use.ts');
  const declared = `declare const console: { log(...data: unknown[]): void };\n`;
  writeFileSync(program, declared + readFileSync(program, 'utf8'));
  for (const [compiler, resolutions] of [
    ['typescript', [{ module: 'NodeNext' }, { module: 'ESNext', moduleResolution: 'bundler' }]],
    [
      'typescript-oldest',
      [
        { module: 'NodeNext' },
        { module: 'ESNext', moduleResolution: 'bundler' },
        { module: 'ESNext', moduleResolution: 'node10' },
      ],
    ],
  ] as const) {
    for (const resolution of resolutions) {
      const options = { compilerOptions: { ...strictest, ...resolution }, files: ['use.ts'] };
      writeFileSync(join(project, 'tsconfig.json'), JSON.stringify(options));
      const tsc = join(repository, 'node_modules', compiler, 'bin', 'tsc');
      await run(process.execPath, [tsc, '-p', 'tsconfig.json'], project);
    }
  }
});

test('only public types are reachable from its declarations', () => {
  const reached = new Set<string>();
  const follow = (path: string): void => {
    if (reached.has(path)) return;
    reached.add(path);
    for (const [, specifier = ''] of readFileSync(path, 'utf8').matchAll(
      /from ['"]([^'"]+)['"]/g,
    )) {
      assert.match(specifier, /^\./, `${path} needs the types of ${specifier}`);
      follow(join(dirname(path), specifier.replace(/\.js$/, '.d.ts')));
    }
  };
  const root = join(installed, 'dist', 'src');
  follow(join(root, 'index.d.ts'));
  const inside = [...reached].map((path) => path.slice(root.length + 1));
  // Nothing of how models compute, and of templates and constraints only what callers say.
  const said = ['constraint/spec.d.ts', 'template/raw-json.d.ts'];
  assert.deepEqual(
    inside.filter((path) => /^(models|constraint|template)\//.test(path) && !said.includes(path)),
    [],
  );
});

test('CommonJS programs can require it', async () => {
  const program = `const { loadModel } = require('paceline');
loadModel('default').then(async (model) => {
  console.log((await model.generate('a', { maxTokens: 1 })).promptTokens);
  await model.dispose();
});
`;
  writeFileSync(join(project, 'use.cjs'), program);
  assert.match(await run(process.execPath, ['use.cjs'], project), /^[1-9]/);
});
