"""Write models/default/LICENSES.md: the packages the training text came from, with version and licence."""
from __future__ import annotations

import json
from collections import Counter

from tokenizer import HERE, WORK


def main() -> None:
    """Reads work/index.json, which prepare.py writes."""
    rows = [r for r in json.loads((WORK / 'index.json').read_text()) if sum(r['bytes'].values())]
    counts = Counter(r['licence'] for r in rows)
    lines = ['# Where the training text came from', '',
             'The weights are our own and under the MIT licence of this repository. They were trained on files of these npm',
             'packages (`training/manifest.json` has the sha512 of each): TypeScript (`.ts`), declarations (`.d.ts`) and',
             'Markdown. Each package remains under its own licence:',
             ', '.join(f'{k} ({n})' for k, n in counts.most_common()) + '.', '',
             '| package | version | licence | KB used | |', '| --- | --- | --- | --- | --- |']
    for r in sorted(rows, key=lambda r: r['name']):
        lines.append(f'| {r["name"]} | {r["version"]} | {r["licence"]} | {sum(r["bytes"].values()) / 1000:.0f} | '
                     f'{"held out" if r["heldOut"] else ""} |')
    (HERE.parent / 'models' / 'default' / 'LICENSES.md').write_text('\n'.join(lines) + '\n')
    print(f'{len(rows)} packages')


if __name__ == '__main__':
    main()
