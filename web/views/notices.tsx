/** What everybody has to know now: the state of the server, and one sentence at a time. */
import { useEffect } from 'preact/hooks';
import { needsKey } from '../data/api.js';
import { seconds } from '../lib/numbers.js';
import { lookNow, model, notice, online, status } from '../state/store.js';
import { IconButton } from './icons.js';

/** The server's state, while it is not as it should be. */
export function Banner() {
  const text = bannerText();
  return (
    <output class="banner" hidden={text === undefined} aria-live="polite">
      {text !== undefined && (
        <>
          <span class="spinner" aria-hidden="true" />
          <span>{text}</span>
          {!online.value && (
            <button type="button" class="button small" onClick={lookNow}>
              Try now
            </button>
          )}
        </>
      )}
    </output>
  );
}

function bannerText(): string | undefined {
  if (needsKey.value) return undefined;
  if (!online.value) {
    return 'The server does not answer. Start `paceline serve` again: the page goes on by itself.';
  }
  switch (status.value?.engine) {
    case 'loading':
      return 'The model is being loaded.';
    case 'restarting':
      return 'The engine stopped and is being started again. What you write now is answered then.';
    case 'stopped':
      return 'The server is shutting down.';
    case 'failed':
      return 'The engine did not start. The log of the server says why.';
    default: {
      const loading = model.value?.state === 'loading' ? model.value : undefined;
      if (loading === undefined) return undefined;
      const { done = 0, total = 0 } = loading.progress ?? {};
      const share = total > 0 ? `, ${Math.round((100 * done) / total)} %` : '';
      return `${loading.id} is being loaded${share}.`;
    }
  }
}

const goodMs = 5000;

export function Notice() {
  const shown = notice.value;
  useEffect(() => {
    if (shown === undefined || shown.bad) return;
    const timer = setTimeout(() => (notice.value = undefined), goodMs);
    return () => clearTimeout(timer);
  }, [shown]);
  return (
    <div class="notices" role={shown?.bad ? 'alert' : 'status'}>
      {shown !== undefined && (
        <div class={`notice ${shown.bad ? 'bad' : ''}`}>
          <span>{shown.text}</span>
          <IconButton icon="close" label="Close" onClick={() => (notice.value = undefined)} />
        </div>
      )}
    </div>
  );
}

/** A span of time, as text that says its unit. */
export function Time({ ms }: { readonly ms: number }) {
  return <span class="number">{seconds(ms)}</span>;
}
