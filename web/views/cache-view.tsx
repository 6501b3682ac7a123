/** What the cache saved an answer: which prefix, from where, and how long it would have taken. */
import { count, percent, seconds } from '../lib/numbers.js';
import { model } from '../state/store.js';
import { Fact, Nothing } from './panel-parts.js';
import { watched } from './report.js';

export function CacheView() {
  const { report } = watched() ?? {};
  return (
    <>
      {report?.promptTokens === undefined ? (
        <Nothing>What the cache saved shows here with the first answer.</Nothing>
      ) : (
        <Saved report={report} promptTokens={report.promptTokens} />
      )}
      <Slots />
    </>
  );
}

interface SavedProps {
  readonly report: NonNullable<ReturnType<typeof watched>>['report'];
  readonly promptTokens: number;
}

function Saved({ report, promptTokens }: SavedProps) {
  const { cachedTokens = 0, cachedInMemory = 0, prefixEnd = '', promptTokenMs, prefillMs } = report;
  const fromDisk = Math.max(0, cachedTokens - cachedInMemory);
  const computed = promptTokens - cachedTokens;
  const parts = [
    { name: 'memory', title: 'from memory', tokens: cachedInMemory },
    { name: 'disk', title: 'from the disk', tokens: fromDisk },
    { name: 'computed', title: 'computed', tokens: computed },
  ];
  const text = parts.map(({ title, tokens }) => `${tokens} tokens ${title}`).join(', ');
  return (
    <section class="block">
      <h3>This prompt</h3>
      <div class="share" role="img" aria-label={text}>
        {parts.map(({ name, tokens }) => (
          <span key={name} class={`fill-${name}`} style={{ flexGrow: tokens }} />
        ))}
      </div>
      <ul class="keys">
        {parts.map(({ name, title, tokens }) => (
          <li key={name}>
            <span class={`key fill-${name}`} aria-hidden="true" />
            <span class="number">{count(tokens)}</span> {title}
          </li>
        ))}
      </ul>
      <dl class="facts">
        <Fact
          label="Saved"
          value={
            promptTokenMs === undefined ? '–' : `about ${seconds(promptTokenMs * cachedTokens)}`
          }
        />
        <Fact
          label="Share of the prompt"
          value={percent(cachedTokens / Math.max(1, promptTokens))}
        />
        <Fact
          label="Computed the rest in"
          value={prefillMs === undefined ? '–' : seconds(prefillMs)}
        />
        <Fact
          label="Read back in"
          value={report.restoreMs === undefined ? '–' : seconds(report.restoreMs)}
        />
        <Fact label="Waited" value={report.queueMs === undefined ? '–' : seconds(report.queueMs)} />
      </dl>
      {cachedTokens > 0 && prefixEnd !== '' && (
        <>
          <p class="faint">The prefix that was known ends with</p>
          <pre class="quote">…{prefixEnd}</pre>
        </>
      )}
    </section>
  );
}

/** What the server keeps in memory for the next prompt. */
function Slots() {
  const known = model.value;
  const slots = known?.slots ?? [];
  const context = known?.context_length ?? 0;
  return (
    <section class="block">
      <h3>Slots</h3>
      <p class="faint">
        Texts that stay in memory; a prompt that begins like one goes on from there.
      </p>
      {slots.length === 0 && <Nothing>None yet.</Nothing>}
      <ul class="slots">
        {slots.map(({ id, busy, tokens }) => (
          <li key={id}>
            <span>Slot {id + 1}</span>
            <meter
              min={0}
              max={Math.max(context, tokens, 1)}
              value={tokens}
              aria-label={`Tokens of slot ${id + 1}`}
            />
            <span class="number">
              {count(tokens)}
              {busy ? ', busy' : ''}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
