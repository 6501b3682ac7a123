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


def npm_pack(spec: str, folder: Path) -> dict[str, str] | None:
    """Download one package; returns npm's record of it (name, version, integrity, filename)."""
    done = subprocess.run(['npm', 'pack', '--json', '--silent', '--ignore-scripts', spec], cwd=folder,
                          capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        print(f'skip {spec}: {done.stderr.strip()[-200:]}', file=sys.stderr)
        return None
    record = json.loads(done.stdout)
    return (record if isinstance(record, list) else list(record.values()))[0]


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
            record = npm_pack(name, folder)
        except (subprocess.TimeoutExpired, ValueError) as error:
            print(f'skip {name}: {error}', file=sys.stderr)
            return None
        if record is None:
            return None
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
    def one(entry: dict[str, str]) -> str | None:
        path = folder / entry['file']
        if not path.exists():
            npm_pack(f'{entry["name"]}@{entry["version"]}', folder)
        if not path.exists():
            return f'{entry["name"]}@{entry["version"]}: not fetched'
        if integrity_of(path) != entry['integrity']:
            return f'{path.name}: sha512 differs from the manifest'
        return None

    entries = json.loads((HERE / 'manifest.json').read_text())
    with ThreadPoolExecutor(jobs) as pool:
        problems = [p for p in pool.map(one, entries) if p]
    if problems:
        sys.exit('\n'.join(problems))
    print(f'{len(entries)} packages in {folder}, every sha512 as pinned')


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--resolve', action='store_true', help='pin the newest versions anew (changes the corpus)')
    parser.add_argument('--folder', type=Path, default=HERE / 'work' / 'packages', help='where tarballs go')
    parser.add_argument('--jobs', type=int, default=6, help='downloads at a time')
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    (resolve if args.resolve else fetch)(args.folder, args.jobs)


if __name__ == '__main__':
    main()
