"""Fetch the pinned npm packages the corpus is made of.

`fetch.py --resolve` looks up today's version of every name in packages.txt and writes manifest.json (version,
licence, sha512 integrity); packages whose licence is not permissive are left out and listed.
`fetch.py` alone fetches exactly what manifest.json pins and checks every tarball's sha512.
Needs only the `npm` client.
"""
from __future__ import annotations

import argparse
import base64
import hashlib
import json
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
PERMISSIVE = {'MIT', 'Apache-2.0', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD', 'MIT-0', 'CC0-1.0', 'Unlicense',
              'BlueOak-1.0.0', '(MIT OR Apache-2.0)', 'MIT OR Apache-2.0', '(Apache-2.0 OR MIT)', 'Apache-2.0 OR MIT',
              'Apache-2.0 AND MIT', '(MIT AND Zlib)', '(BSD-3-Clause AND Apache-2.0)', '(MIT OR CC0-1.0)'}
MAX_TARBALL = 60_000_000


BATCH = 24  # packages of one call of npm, whose start takes longer than a download


def npm_pack(specs: list[str], folder: Path) -> list[dict[str, str]]:
    """Download packages; returns npm's records of them (name, version, integrity, filename)."""
    done = subprocess.run(['npm', 'pack', '--json', '--silent', '--ignore-scripts', *specs], cwd=folder,
                          capture_output=True, text=True, timeout=1200)
    if done.returncode != 0:
        print(f'skip {" ".join(specs)}: {done.stderr.strip()[-200:]}', file=sys.stderr)
        return []
    record = json.loads(done.stdout)
    return record if isinstance(record, list) else list(record.values())


def integrity_of(path: Path) -> str:
    """npm's Subresource Integrity string of a file."""
    return 'sha512-' + base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


def licence_of(path: Path) -> str:
    """The licence field of package.json in a tarball, or UNKNOWN."""
    with tarfile.open(path) as tar:
        for member in tar:
            parts = member.name.split('/')
            if len(parts) == 2 and parts[1] == 'package.json':
                handle = tar.extractfile(member)
                meta = json.load(handle) if handle else {}
                lic = meta.get('license') or meta.get('licenses') or 'UNKNOWN'
                if isinstance(lic, list):
                    lic = lic[0]
                return lic.get('type', 'UNKNOWN') if isinstance(lic, dict) else str(lic)
    return 'UNKNOWN'


def resolve(folder: Path, jobs: int) -> None:
    """Pin every name of packages.txt at its newest version."""
    names = [s.strip() for s in (HERE / 'packages.txt').read_text().splitlines()]
    names = sorted({s for s in names if s and not s.startswith('#')})

    def one(name: str) -> dict[str, str] | None:
        try:
            records = npm_pack([name], folder)
        except (subprocess.TimeoutExpired, ValueError) as error:
            print(f'skip {name}: {error}', file=sys.stderr)
            return None
        if not records:
            return None
        record = records[0]
        path = folder / record['filename']
        lic = licence_of(path)
        if lic not in PERMISSIVE or path.stat().st_size > MAX_TARBALL:
            print(f'leave out {name}@{record["version"]}: licence {lic}, {path.stat().st_size} bytes', file=sys.stderr)
            path.unlink()
            return None
        return {'name': record['name'], 'version': record['version'], 'licence': lic,
                'integrity': integrity_of(path), 'file': record['filename']}

    with ThreadPoolExecutor(jobs) as pool:
        found = [r for r in pool.map(one, names) if r]
    found.sort(key=lambda r: r['name'])
    (HERE / 'manifest.json').write_text(json.dumps(found, indent=1) + '\n')
    print(f'{len(found)} of {len(names)} packages pinned')


def fetch(folder: Path, jobs: int) -> None:
    """Fetch what manifest.json pins and check it."""
    def problem(entry: dict[str, str]) -> str | None:
        path = folder / entry['file']
        if not path.exists():
            return f'{entry["name"]}@{entry["version"]}: not fetched'
        return None if integrity_of(path) == entry['integrity'] else f'{path.name}: sha512 differs from the manifest'

    entries = json.loads((HERE / 'manifest.json').read_text())
    missing = [f'{e["name"]}@{e["version"]}' for e in entries if not (folder / e['file']).exists()]
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda at: npm_pack(missing[at:at + BATCH], folder), range(0, len(missing), BATCH)))
        problems = [p for p in pool.map(problem, entries) if p]
    if problems:
        sys.exit('\n'.join(problems))
    print(f'{len(entries)} packages in {folder}, every sha512 as pinned')


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--resolve', action='store_true', help='pin the newest versions anew (changes the corpus)')
    parser.add_argument('--folder', type=Path, default=HERE / 'work' / 'packages', help='where tarballs go')
    parser.add_argument('--jobs', type=int, default=3, help='calls of npm at a time')
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    (resolve if args.resolve else fetch)(args.folder, args.jobs)


if __name__ == '__main__':
    main()
