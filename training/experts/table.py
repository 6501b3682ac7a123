"""What both models lose when experts are left out: nats a byte on held-out text of each kind, as JSON and Markdown.

Experts are chosen by `paceline experts table` with text of the kind from training, and measured on held-out text of the
same kind. Writes work/experts/table.json and prints the Markdown of the model card.
"""
from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

from corpus import HERE, KINDS, WORK

CLI = HERE.parent.parent / 'dist' / 'src' / 'cli' / 'main.js'
NAMES = {'ts': 'TypeScript', 'dts': 'declarations', 'md': 'Markdown', 'css': 'style sheets', 'py': 'Python'}
KEEPS = ('50%', '25%', '12.5%')


def measure(model: Path, kind: str, context: int, passages: int, threads: int) -> list[dict]:
    """Rows of the table of one model and kind of text."""
    done = subprocess.run(['node', str(CLI), 'experts', 'table', str(model), '--text', str(WORK / f'{kind}.calibrate.txt'),
                           '--held-out', str(WORK / f'{kind}.heldout.txt'), '--keep', ','.join(KEEPS), '--ctx', str(context),
                           '--passages', str(passages), '--threads', str(threads), '--json'],
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)['rows']


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--ctx', type=int, default=240, help='tokens read at once')
    parser.add_argument('--passages', type=int, default=100, help='passages of each text')
    parser.add_argument('--threads', type=int, default=2, help='threads that compute')
    args = parser.parse_args()
    results, lines = [], ['| text | model | full | ' + ' | '.join(f'{k} chosen | {k} random' for k in KEEPS) + ' |',
                          '| --- | --- | --- |' + ' --- | --- |' * len(KEEPS)]
    for kind in KINDS:
        for model in ('plain', 'emo'):
            rows = measure(WORK / f'{model}.gguf', kind, args.ctx, args.passages, args.threads)
            results.append({'kind': kind, 'model': model, 'rows': rows})
            cells = [f'{row["nats_per_byte"]:.3f}' for row in rows]
            lines.append(f'| {NAMES[kind]} | {model} | ' + ' | '.join(cells) + ' |')
    for model in ('plain', 'emo'):
        own = [r['rows'] for r in results if r['model'] == model]
        more = [sum(rows[at]['nats_per_byte'] / rows[0]['nats_per_byte'] for rows in own) / len(own) - 1 for at in range(len(own[0]))]
        lines.append(f'| mean loss | {model} | | ' + ' | '.join(f'+{100 * m:.1f} %' for m in more[1:]) + ' |')
    (WORK / 'table.json').write_text(json.dumps(results, indent=1) + '\n')
    print('\n'.join(lines))


if __name__ == '__main__':
    main()
