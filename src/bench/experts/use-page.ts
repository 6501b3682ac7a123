/** What texts use of a model's experts, as one HTML page without scripts or anything from elsewhere. */
import type { LayerUse } from './meter.js';
import { type ExpertStatistics, expertsFor, type Likeness } from './statistics.js';

export interface UsePage {
  readonly model: string;
  readonly texts: readonly ExpertStatistics[];
  readonly likeness: readonly Likeness[];
}

/** Steps of colour, from nothing to eight times the even share. */
const steps = 12;
const mostTimes = 8;

/** The page's text. */
export function usePage({ model, texts, likeness }: UsePage): string {
  const title = `Experts of ${escaped(model)}`;
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<style>${style()}</style>
<h1>${title}</h1>
<p>Each square is an expert: the darker, the more of the router's probability it gets. A square that has
just its even share is as dark as this one: <b class="s${stepOf(1)}"></b>, the darkest have ${mostTimes} times as much or
more: <b class="s${steps}"></b>. Point at a square for its numbers.</p>
${texts.map(section).join('\n')}
${likeness.length === 0 ? '' : likenessTable(likeness)}
</html>
`;
}

function section({ name, tokens, layers }: ExpertStatistics): string {
  return `<section>
<h2>${escaped(name)}</h2>
<p>${tokens.toLocaleString('en')} tokens</p>
<div class="wide"><table class="map">
<tr><th scope="col">layer<th scope="col">experts in their order<th scope="col">sorted by use<th scope="col">half<th scope="col">90 %
${layers.map(row).join('\n')}
</table></div>
<p class="note">half, 90 %: how many experts have so much of the probability.</p>
</section>`;
}

function row(use: LayerUse): string {
  const ids = Array.from(use.mass, (_, id) => id);
  const sorted = [...ids].sort((a, b) => (use.mass[b] as number) - (use.mass[a] as number));
  const cells = (order: readonly number[]) => order.map((id) => cell(use, id)).join('');
  return (
    `<tr><th scope="row">${use.layer}${use.byToken ? ', by token' : ''}<td><div>${cells(ids)}</div><td><div>${cells(sorted)}</div>` +
    `<td>${expertsFor(0.5, use)}<td>${expertsFor(0.9, use)}`
  );
}

function cell({ mass, chosen, experts }: LayerUse, id: number): string {
  const [probability, tokens] = [mass[id] as number, chosen[id] as number];
  const percent = (value: number) => `${(100 * value).toFixed(2)} %`;
  const title = `expert ${id}: ${percent(probability)} of the probability, ${percent(tokens)} of the tokens`;
  return `<b class="s${stepOf(probability * experts)}" title="${title}"></b>`;
}

/** The colour of so many times the even share. */
function stepOf(times: number): number {
  const share = Math.log1p(times) / Math.log1p(mostTimes);
  return Math.max(0, Math.min(steps, Math.round(share * steps)));
}

function likenessTable(pairs: readonly Likeness[]): string {
  const layers = (pairs[0] as Likeness).layers.map(({ layer }) => `<th scope="col">${layer}`);
  const rows = pairs.map(({ first, second, mean, layers: each }) => {
    const cells = each.map(({ cosine }) => `<td>${cosine.toFixed(2)}`).join('');
    return `<tr><th scope="row">${escaped(first)}, ${escaped(second)}<td>${mean.toFixed(3)}${cells}`;
  });
  return `<section>
<h2>How alike the texts are</h2>
<p>The cosine of what two texts use: 1 is the same experts to the same degree.</p>
<div class="wide"><table>
<tr><th scope="col">texts<th scope="col">mean${layers.join('')}
${rows.join('\n')}
</table></div>
</section>`;
}

function style(): string {
  const colours = Array.from({ length: steps + 1 }, (_, step) => {
    const share = step / steps;
    return `.s${step}{background:color-mix(in oklab,var(--full) ${(100 * share).toFixed(0)}%,var(--none))}`;
  });
  return (
    ':root{color-scheme:light dark;--none:#eef1f4;--full:#8a1c00;--line:#ccd3da}' +
    '@media(prefers-color-scheme:dark){:root{--none:#20262c;--full:#ffb26b;--line:#3a444e}}' +
    'body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:110rem;padding:0 1rem}' +
    'h1{font-size:1.5rem}h2{font-size:1.15rem;margin:2rem 0 0}p{margin:.3rem 0;max-width:50rem}' +
    '.wide{overflow-x:auto}.note{opacity:.75;font-size:.85rem}' +
    'table{border-collapse:collapse;margin:.6rem 0}' +
    'th,td{padding:.15rem .6rem;text-align:right;font-weight:400;white-space:nowrap}' +
    'tr:first-child th{border-bottom:1px solid var(--line);text-align:left;font-size:.85rem}' +
    '.map td div{display:flex;gap:1px}b{display:inline-block;width:9px;height:16px;border-radius:2px;flex:none}' +
    'p b{width:14px;vertical-align:middle}' +
    `${colours.join('')}`
  );
}

function escaped(text: string): string {
  const names: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };
  return text
    .replace(/[&<>]/g, (character) => names[character] as string)
    .replaceAll('"', '&quot;');
}
