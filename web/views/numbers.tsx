/** Numbers under an answer: how fast it is, against what it would be without drafts. */
import { rate, seconds } from '../lib/numbers.js';
import type { Turn } from '../lib/tree.js';
import type { LiveAnswer } from '../state/live.js';

/** While it comes. */
export function LiveNumbers({ live }: { readonly live: LiveAnswer }) {
  live.frame.value;
  const { rate: speed, tokens, guessed, report } = live;
  return (
    <div class="actions numbers" aria-hidden="true">
      {speed === undefined ? null : (
        <span>
          <b class="number">{rate(speed)}</b> tokens/s
        </span>
      )}
      <Against speed={speed} plainPassMs={report.plainPassMs} />
      {tokens > 0 && (
        <span>
          {tokens} tokens, {guessed} guessed
        </span>
      )}
    </div>
  );
}

/** The speed as a multiple of that without drafts. */
export function Against({
  speed,
  plainPassMs,
}: {
  readonly speed: number | undefined;
  readonly plainPassMs: number | undefined;
}) {
  if (speed === undefined || plainPassMs === undefined || plainPassMs <= 0) return null;
  const plain = 1000 / plainPassMs;
  return (
    <span title="Estimated from the passes without guesses that the server has measured">
      {rate(plain)} without drafts, {(speed / plain).toFixed(1)}×
    </span>
  );
}

/** When it is there; a click shows more. */
export function TurnNumbers({ turn, look }: { readonly turn: Turn; readonly look: () => void }) {
  const {
    tokensPerSecond,
    tokens,
    cachedTokens = 0,
    promptTokens = 0,
    queueMs,
    prefillMs,
  } = turn.report ?? {};
  if (tokensPerSecond === undefined || tokens === undefined) return null;
  const first = (queueMs ?? 0) + (prefillMs ?? 0);
  return (
    <button type="button" class="numbers" title="Show what happened" onClick={look}>
      <span>
        <b class="number">{rate(tokensPerSecond)}</b> tokens/s
      </span>
      <span>{tokens} tokens</span>
      <span>
        {cachedTokens} of {promptTokens} from the cache
      </span>
      <span>first after {seconds(first)}</span>
    </button>
  );
}
