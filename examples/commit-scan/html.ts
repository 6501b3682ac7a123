/**
 * The report as one HTML file: no script, nothing from any other place, everything that comes from the
 * repository or the model escaped. Readable in light and dark, on paper, and with a screen reader.
 */
import type { Finding } from './rank.js';
import type { Report } from './report.js';

const style = `
:root { color-scheme: light dark; --text: #1c1e21; --soft: #5c636b; --line: #d9dde1; --card: #fff;
  --page: #f4f5f7; --accent: #0b62c4; --model: #9a4f00; --warn: #a3231a; --warn-card: #fdecea; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e8ea; --soft: #a0a8b0; --line: #363c43;
  --card: #1e2227; --page: #15181b; --accent: #6fb1ff; --model: #f0a860; --warn: #ff9d94;
  --warn-card: #3a1f1d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1rem; background: var(--page);
  color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } p { margin: .25rem 0 1rem; color: var(--soft); }
dl.sums { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .5rem;
  margin: 1rem 0 1.5rem; }
dl.sums div { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .5rem .75rem; }
dl.sums dt { font-size: .8rem; color: var(--soft); } dl.sums dd { margin: 0; font-weight: 600; }
ol { list-style: none; padding: 0; margin: 0; }
details { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  margin-bottom: .5rem; }
summary { display: grid; grid-template-columns: 3.2rem 1fr auto; gap: .75rem; align-items: center;
  padding: .6rem .75rem; cursor: pointer; }
summary:focus-visible { outline: 2px solid var(--accent); border-radius: .5rem; }
summary b { font-variant-numeric: tabular-nums; font-size: 1.05rem; }
.subject { overflow-wrap: anywhere; } .subject small { display: block; color: var(--soft); }
.tag { display: inline-block; border: 1px solid currentColor; border-radius: 1rem; font-size: .8rem;
  padding: 0 .55rem; color: var(--model); white-space: nowrap; }
.tag.warn { color: var(--warn); background: var(--warn-card); }
.body { padding: 0 .75rem .75rem; border-top: 1px solid var(--line); }
.bars { display: grid; grid-template-columns: auto 1fr 3rem; gap: .25rem .75rem; align-items: center;
  margin: .75rem 0; }
.bar { height: .5rem; background: var(--line); border-radius: .25rem; overflow: hidden; }
.bar i { display: block; height: 100%; background: var(--accent); } .bar.model i { background: var(--model); }
table { width: 100%; border-collapse: collapse; font-size: .9rem; }
td, th { text-align: left; padding: .25rem .5rem .25rem 0; vertical-align: top;
  border-top: 1px solid var(--line); }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
code { font: .85em ui-monospace, monospace; overflow-wrap: anywhere; }
.warning { color: var(--warn); background: var(--warn-card); border-radius: .4rem; padding: .4rem .6rem;
  margin: .5rem 0; }
@media print { details { break-inside: avoid; } }
`;

/** The whole file. */
export function htmlOf(report: Report): string {
  const { repository, range, model, commits, answered, failed, injected, per1000Commits } = report;
  const sums: readonly (readonly [string, string])[] = [
    ['Commits', number(commits)],
    ['Model', model],
    [
      'Answers',
      failed === 0 ? number(answered) : `${number(answered)}, and ${number(failed)} broken`,
    ],
    ['Speak to a model', number(injected)],
    [
      'Time per 1,000',
      per1000Commits.seconds === undefined ? 'nothing was new' : duration(per1000Commits.seconds),
    ],
    ['Tokens read per 1,000', number(per1000Commits.promptTokens)],
    ['Of these from the cache', number(per1000Commits.cachedTokens)],
    ['Tokens written per 1,000', number(per1000Commits.answerTokens)],
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>Commits of ${escaped(repository)}</title>
<style>${style}</style>
</head>
<body>
<header>
<h1>Which commits may silently repair a vulnerability</h1>
<p>${escaped(repository)}, ${escaped(range)}. A ranking for people who read on: neither signals nor model prove anything.</p>
<dl class="sums">${sums.map(([name, value]) => `<div><dt>${name}</dt><dd>${escaped(value)}</dd></div>`).join('')}</dl>
</header>
<main>
<ol>
${report.findings.map(findingOf).join('\n')}
</ol>
</main>
</body>
</html>
`;
}

function findingOf(finding: Finding): string {
  const { subject, hash, time, author, files, fileCount, added, removed, answer, injections } =
    finding;
  const date = new Date(time * 1000);
  const when = Number.isNaN(date.getTime()) ? 'no date' : date.toISOString().slice(0, 10);
  const tags = [
    ...(injections.length > 0 ? ['<span class="tag warn">speaks to a model</span>'] : []),
    ...(answer?.fix === true ? [`<span class="tag">${escaped(answer.kind)}</span>`] : []),
  ].join(' ');
  const more = fileCount > files.length ? ` and ${number(fileCount - files.length)} more` : '';
  return `<li><details><summary><b>${percent(finding.score.combined)}</b>
<span class="subject">${escaped(subject === '' ? '(no message)' : subject)}<small><code>${escaped(hash.slice(0, 12))}</code> ${when}, ${escaped(author)}</small></span>
<span>${tags}</span></summary>
<div class="body">
${injections.length > 0 ? `<p class="warning">Something in this commit speaks to a model: ${escaped(injections.join('; '))}. The model’s answer can’t lower its rank.</p>` : ''}
<div class="bars">${barOf('Signals', finding.score.signals, '')}${finding.score.model === undefined ? '' : barOf('Model', finding.score.model, 'model')}${barOf('Both', finding.score.combined, '')}</div>
${modelOf(finding)}
<table><thead><tr><th scope="col">Signal</th><th scope="col">Weight</th><th scope="col">Found in</th></tr></thead>
<tbody>${finding.signals.map(({ name, weight, where }) => `<tr><td>${escaped(name)}</td><td class="n">${weight > 0 ? '+' : '−'}${Math.abs(weight)}</td><td><code>${escaped(where)}</code></td></tr>`).join('')}</tbody></table>
<p><code>${escaped(files.join(', '))}</code>${more}; ${number(added)} lines added, ${number(removed)} removed.${finding.cut ? ' Too large for the model as a whole: it saw a part.' : ''}${finding.oddEncoding ? ' Some bytes are not UTF-8.' : ''} <code>git show ${escaped(hash)}</code></p>
</div></details></li>`;
}

function modelOf({ answer, failure }: Finding): string {
  if (answer !== undefined) {
    const verdict = answer.fix ? `repairs something (${answer.kind})` : 'repairs no vulnerability';
    return `<p>The model says that it ${escaped(verdict)}, ${answer.confidence}% sure: “${escaped(answer.why)}”</p>`;
  }
  return failure === undefined ? '' : `<p>The model gave no answer: ${escaped(failure)}</p>`;
}

function barOf(name: string, share: number, kind: string): string {
  return `<span>${name}</span><span class="bar ${kind}" aria-hidden="true"><i style="width:${(100 * share).toFixed(1)}%"></i></span><span>${percent(share)}</span>`;
}

const percent = (share: number): string => `${Math.round(100 * share)}%`;
const number = (value: number): string => value.toLocaleString('en-US');

function duration(seconds: number): string {
  if (seconds < 120) return `${number(seconds)} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text for elements and attributes; what would turn the direction of lines is shown as a mark. */
export function escaped(text: string): string {
  return text
    .replace(/[&<>"']/g, (char) => entities[char] ?? char)
    .replace(/[\u200b-\u200f\u202a-\u202e\u2060-\u2069\u{e0000}-\u{e007f}]/gu, '\u{fffd}')
    .replace(/[\p{Cc}]/gu, ' ');
}
