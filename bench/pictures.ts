/**
 * The pictures of the documents, as SVG: what was measured, read from the table of the README, and how
 * drafting works. Readable in light and dark, by people who see colours differently, and in words.
 * Usage: tsx bench/pictures.ts    writes docs/pictures/*.svg; `npm run docs` does so too
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const style = `
  .card { fill: #ffffff; stroke: #d0d7de; }
  text { font-family: system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328; }
  .soft { fill: #59636e; }
  .ours { fill: #0b5cad; }
  .peer { fill: #afb8c1; }
  .right { fill: #dcebfa; stroke: #0b5cad; }
  .wrong { fill: #fbe9dc; stroke: #9a4f00; stroke-dasharray: 4 3; }
  .plain { fill: #f3f4f6; stroke: #afb8c1; }
  .line { stroke: #59636e; fill: none; }
  .said { fill: #0b5cad; } .onsaid { fill: #ffffff; }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #3d444d; }
    text { fill: #f0f6fc; }
    .soft { fill: #9198a1; }
    .ours { fill: #58a6ff; }
    .peer { fill: #59636e; }
    .right { fill: #12304f; stroke: #58a6ff; }
    .wrong { fill: #3b2413; stroke: #e0964e; }
    .plain { fill: #1c2128; stroke: #59636e; }
    .line { stroke: #9198a1; }
    .said { fill: #58a6ff; } .onsaid { fill: #0d1117; }
  }`;

/** Rows of the table of numbers: what, value, command. */
function measuredRows(readme: string): readonly (readonly string[])[] {
  const table = /<!-- numbers:begin[\s\S]*?numbers:end -->/.exec(readme)?.[0] ?? '';
  return table
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| ---'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

/** What the picture shows: the first cell of a row, and how its value is written. */
interface Shown {
  readonly row: RegExp;
  readonly title: string;
  /** Its groups are numbers, the last of them the ratio. */
  readonly value: RegExp;
  readonly told: (numbers: readonly string[]) => string;
}

const versus = /^([\d.,]+) against ([\d.,]+) tokens\/s, ([\d.]+) times/;
const told = ([ours, peer]: readonly string[]): string => `${ours} against ${peer} tokens a second`;

const shown: readonly Shown[] = [
  {
    row: /^SmolLM2.*decode against node-llama-cpp/,
    title: 'Writing, a token at a time',
    value: versus,
    told,
  },
  {
    row: /^prefill of 511 tokens/,
    title: 'Reading a prompt',
    value: versus,
    told,
  },
  {
    row: /^editing a text with n-gram drafts/,
    title: 'Editing a text, with drafts',
    value: versus,
    told: (numbers) => `${told(numbers)}, and no token is another one`,
  },
];

interface Measured {
  readonly title: string;
  /** How many times as fast. */
  readonly ratio: number;
  readonly told: string;
}

/** @throws {Error} where the table has no such row, or its value is written otherwise. */
function measured(readme: string): readonly Measured[] {
  const rows = measuredRows(readme);
  return shown.map(({ row, title, value, told }) => {
    const found = rows.find(([what = '']) => row.test(what));
    if (found === undefined) throw new Error(`The README's numbers have no row like ${row}`);
    const numbers = value.exec(found[1] ?? '');
    if (numbers === null) throw new Error(`The row “${found[0]}” does not begin with ${value}`);
    const list = numbers.slice(1);
    return { title, ratio: Number(list.at(-1)), told: told(list) };
  });
}

const escapes: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };
const escaped = (text: string): string => text.replace(/[&<>]/g, (char) => escapes[char] ?? char);

interface Picture {
  readonly width: number;
  readonly height: number;
  readonly title: string;
  readonly description: string;
  readonly body: readonly string[];
}

function svg({ width, height, title, description, body }: Picture): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title description">
<title id="title">${escaped(title)}</title>
<desc id="description">${escaped(description)}</desc>
<style>${style}
</style>
<rect class="card" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="10"/>
${body.join('\n')}
</svg>
`;
}

/** How many times as fast as the peer. */
function speedPicture(readme: string): string {
  const rows = measured(readme);
  const width = 720;
  const left = 24;
  const most = Math.max(...rows.map(({ ratio }) => ratio));
  const unit = (width - left - 110) / most;
  const body = [
    `<text x="${left}" y="36" font-size="17" font-weight="600">Times as fast as node-llama-cpp, SmolLM2-135M on two cores</text>`,
  ];
  let y = 66;
  for (const { title, ratio, told } of rows) {
    const length = (ratio * unit).toFixed(1);
    body.push(
      `<text x="${left}" y="${y}" font-size="14">${escaped(title)}<tspan class="soft" dx="8">${escaped(told)}</tspan></text>`,
      `<rect class="ours" x="${left}" y="${y + 8}" width="${length}" height="20" rx="3"/>`,
      `<text x="${(left + ratio * unit + 10).toFixed(1)}" y="${y + 24}" font-size="16" font-weight="600">${ratio}×</text>`,
      `<rect class="peer" x="${left}" y="${y + 32}" width="${unit.toFixed(1)}" height="8" rx="2"/>`,
    );
    y += 68;
  }
  body.push(
    `<text class="soft" x="${left}" y="${y + 2}" font-size="12">Wide: Paceline. Narrow: node-llama-cpp, 1×. Two cores of a server’s processor, no graphics card.</text>`,
  );
  const words = rows.map(({ title, ratio }) => `${title}: ${ratio} times`).join('; ');
  return svg({
    width,
    height: y + 18,
    title: 'Speed of Paceline against node-llama-cpp',
    description: `${words}.`,
    body,
  });
}

const guesses = ['(', 'a', ',', ' c', ')'];
const choices = ['(', 'a', ',', ' b'];

/** One pass with five guesses, of which three are right. */
function draftingPicture(): string {
  const box = 58;
  const left = 150;
  const row = (
    y: number,
    label: string,
    texts: readonly string[],
    classOf: (index: number) => string,
    mark?: (index: number) => string,
  ): readonly string[] => [
    `<text x="24" y="${y + 26}" font-size="14">${label}</text>`,
    ...texts.flatMap((text, index) => [
      `<rect class="${classOf(index)}" x="${left + index * (box + 12)}" y="${y}" width="${box}" height="40" rx="6"/>`,
      `<text x="${left + index * (box + 12) + box / 2}" y="${y + 26}" font-size="16" font-family="ui-monospace, monospace" text-anchor="middle"${classOf(index) === 'said' ? ' class="onsaid"' : ''}>${escaped(text.trim())}</text>`,
      ...(mark === undefined
        ? []
        : [
            `<text x="${left + index * (box + 12) + box / 2}" y="${y + 60}" font-size="15" text-anchor="middle">${mark(index)}</text>`,
          ]),
    ]),
  ];
  const right = choices.filter((choice, index) => choice === guesses[index]).length;
  const body = [
    '<text x="24" y="36" font-size="17" font-weight="600">One pass of the model, four tokens</text>',
    '<text class="soft" x="24" y="58" font-size="13">so far: export function add</text>',
    ...row(
      78,
      'Drafter guesses',
      guesses,
      (index) => (index < right ? 'right' : index === right ? 'wrong' : 'plain'),
      (index) => (index < right ? '✓' : index === right ? '✗' : '–'),
    ),
    `<path class="line" d="M${left} 158 H${left + 5 * (box + 12) - 12}"/>`,
    `<text class="soft" x="${left}" y="176" font-size="13">the model computes all five in one pass: its own choice at each place</text>`,
    ...row(194, 'Model says', choices, () => 'said'),
    '<text class="soft" x="24" y="264" font-size="13">A guess stands only if it is the model’s own choice.</text>',
    '<text class="soft" x="24" y="284" font-size="13">The first wrong one is replaced by that choice, and what follows it is dropped.</text>',
  ];
  return svg({
    width: 720,
    height: 304,
    title: 'How drafting works',
    description: `A drafter guesses five tokens. The model checks all in one pass: the first ${right} are its own choices and stand, the next is not and is replaced by the model's choice, and the last is dropped. One pass gave ${choices.length} tokens.`,
    body,
  });
}

/** All pictures, by their paths. */
export function pictures(readme: string): Readonly<Record<string, string>> {
  return {
    'docs/pictures/speed.svg': speedPicture(readme),
    'docs/pictures/drafting.svg': draftingPicture(),
  };
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const root = join(dirname(fileURLToPath(import.meta.url)), '..');
  mkdirSync(join(root, 'docs', 'pictures'), { recursive: true });
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  for (const [path, text] of Object.entries(pictures(readme))) {
    writeFileSync(join(root, path), text);
  }
}
