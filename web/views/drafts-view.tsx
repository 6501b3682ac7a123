/** What drafting did for an answer: by drafter, by position, and what the controller made of it. */
import { legend } from '../lib/legend.js';
import { percent, rate, seconds } from '../lib/numbers.js';
import { countRuns } from '../lib/runs.js';
import type { ControllerReport } from '../lib/tree.js';
import { colours } from '../state/store.js';
import { gainOf } from './numbers.js';
import { Nothing } from './panel-parts.js';
import { watched } from './report.js';

export function DraftsView() {
  const seen = watched();
  return (
    <>
      <Legend />
      {seen === undefined ? (
        <Nothing>What drafting did shows here with the first answer.</Nothing>
      ) : (
        <Numbers seen={seen} />
      )}
    </>
  );
}

/** Which mark is whose. */
function Legend() {
  return (
    <section class="block">
      <h3>Marks</h3>
      <label class="switch">
        <input
          type="checkbox"
          checked={colours.value}
          onChange={(event) => (colours.value = event.currentTarget.checked)}
        />
        <span>Show in the text who guessed each token</span>
      </label>
      <dl class="legend">
        {legend.map(({ drafter, title, explanation, pattern }) => (
          <div key={drafter}>
            <dt>
              <span class={`run-${drafter} sample`}>{title}</span>
            </dt>
            <dd>
              {explanation} <span class="faint">({pattern})</span>
            </dd>
          </div>
        ))}
        <div>
          <dt>
            <span class="run-wrong sample">wrong</span>
          </dt>
          <dd>
            a guess was wrong here, and the model’s own token stands{' '}
            <span class="faint">(wavy line)</span>
          </dd>
        </div>
      </dl>
    </section>
  );
}

function Numbers({ seen }: { readonly seen: NonNullable<ReturnType<typeof watched>> }) {
  const { report, runs, live } = seen;
  const speed = live?.rate ?? report.tokensPerSecond;
  const gain = live?.gain ?? gainOf(report);
  const counts = countRuns(runs);
  const { controller, steps } = report;
  return (
    <>
      <section class="block">
        <h3>Speed</h3>
        <div class="tiles">
          <Tile value={speed === undefined ? '–' : rate(speed)} label="tokens/s" strong />
          <Tile
            value={speed === undefined || gain === undefined ? '–' : rate(speed / gain)}
            label="without drafts (estimate)"
          />
          <Tile value={gain === undefined ? '–' : `${gain.toFixed(2)}×`} label="as fast" />
          <Tile
            value={steps === undefined || steps === 0 ? '–' : (counts.tokens / steps).toFixed(2)}
            label="tokens a pass"
          />
        </div>
      </section>
      <section class="block">
        <h3>Who wrote it</h3>
        <ShareBar counts={counts} />
        <ByDrafter byDrafter={report.byDrafter} />
      </section>
      {controller !== undefined && <Controller report={controller} />}
      {Object.entries(report.failed ?? {}).map(([name, why]) => (
        <p key={name} class="ended">
          {name} was given up: {why}
        </p>
      ))}
    </>
  );
}

function Tile({
  value,
  label,
  strong,
}: {
  readonly value: string;
  readonly label: string;
  readonly strong?: boolean;
}) {
  return (
    <div class="tile" data-strong={strong}>
      <b class="number">{value}</b>
      <span>{label}</span>
    </div>
  );
}

/** Shares of tokens as one bar. */
function ShareBar({ counts }: { readonly counts: ReturnType<typeof countRuns> }) {
  const { tokens, alone, byDrafter, wrong } = counts;
  if (tokens === 0) return <Nothing>No tokens yet.</Nothing>;
  const parts = [
    ...Object.entries(byDrafter).map(([name, count]) => ({ name, count })),
    { name: 'alone', count: alone },
  ];
  const text = parts
    .map(
      ({ name, count }) =>
        `${name === 'alone' ? 'the model alone' : name} ${percent(count / tokens)}`,
    )
    .join(', ');
  return (
    <>
      <div class="share" role="img" aria-label={text}>
        {parts.map(({ name, count }) => (
          <span key={name} class={`fill-${name}`} style={{ flexGrow: count }} />
        ))}
      </div>
      <p class="faint">
        {tokens} tokens: {text}. Guesses that were wrong: {wrong} places.
      </p>
    </>
  );
}

interface ByDrafterProps {
  readonly byDrafter:
    | Readonly<Record<string, { readonly drafted: number; readonly accepted: number }>>
    | undefined;
}

function ByDrafter({ byDrafter = {} }: ByDrafterProps) {
  const rows = Object.entries(byDrafter);
  if (rows.length === 0) return null;
  return (
    <table class="table">
      <thead>
        <tr>
          <th scope="col">Drafter</th>
          <th scope="col" class="align-right">
            Guessed
          </th>
          <th scope="col" class="align-right">
            Right
          </th>
          <th scope="col" class="align-right">
            Share
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map(([name, { drafted, accepted }]) => (
          <tr key={name}>
            <th scope="row">
              <span class={`run-${name} sample`}>{name}</span>
            </th>
            <td class="align-right number">{drafted}</td>
            <td class="align-right number">{accepted}</td>
            <td class="align-right number">{drafted > 0 ? percent(accepted / drafted) : '–'}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** Positions that are drawn. */
const mostPositions = 16;

function Controller({ report }: { readonly report: ControllerReport }) {
  const used = report.drafters.filter(({ acceptance }) => acceptance.length > 0);
  return (
    <>
      <section class="block">
        <h3>Right guesses by position</h3>
        <p class="faint">How often a guess is right when those before it were.</p>
        {used.map(({ name, acceptance }) => (
          <figure class="positions" key={name}>
            <figcaption>{name}</figcaption>
            <div
              class="bars"
              role="img"
              aria-label={`${name}: ${acceptance.slice(0, mostPositions).map(percent).join(', ')}`}
            >
              {acceptance.slice(0, mostPositions).map((share, index) => (
                <span
                  key={index}
                  class={`fill-${name}`}
                  style={{ height: `${Math.max(2, share * 100)}%` }}
                  title={`position ${index + 1}: ${percent(share)}`}
                />
              ))}
            </div>
          </figure>
        ))}
        {used.length === 0 && <Nothing>No drafter has been tried often enough.</Nothing>}
      </section>
      <section class="block">
        <h3>What the controller did</h3>
        <p class="faint">
          {report.plain_steps} passes without guesses, {report.refused_steps} that promised a gain
          and were not covered. {tried(report)}
        </p>
        <ol class="changes">
          {report.changes.map(({ token, choice, why }, index) => (
            <li key={index}>
              <span class="number faint">{token}</span>
              <span class={choice === 'none' ? 'sample' : `run-${choice} sample`}>
                {choice === 'none' ? 'no drafts' : choice}
              </span>
              <span>{why}</span>
            </li>
          ))}
        </ol>
      </section>
      <section class="block">
        <h3>What passes cost</h3>
        <Costs passMs={report.pass_ms} />
      </section>
    </>
  );
}

function tried({ drafters }: ControllerReport): string {
  const trials = drafters.filter(({ trials: count }) => count > 0);
  if (trials.length === 0) return '';
  return `Tried: ${trials.map(({ name, trials: count }) => `${name} ${count} times`).join(', ')}.`;
}

function Costs({ passMs }: { readonly passMs: Readonly<Record<string, number>> }) {
  const rows = Object.entries(passMs);
  const most = Math.max(...rows.map(([, ms]) => ms));
  return (
    <table class="table costs">
      <thead>
        <tr>
          <th scope="col">Tokens at once</th>
          <th scope="col">A pass takes</th>
        </tr>
      </thead>
      <tbody>
        {rows.map(([size, ms]) => (
          <tr key={size}>
            <th scope="row" class="number">
              {size}
            </th>
            <td>
              <span class="cost-bar" style={{ width: `${(60 * ms) / most}%` }} />
              <span class="number">{seconds(ms)}</span>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
