/** Numbers under an answer: how fast it is, against what it would be without drafts. */
import { draftGain, draftTime } from '../lib/estimate.js';
import { rate, seconds } from '../lib/numbers.js';
import type { Turn, TurnReport } from '../lib/tree.js';
import type { LiveAnswer } from '../state/live.js';

/** While it comes. */
export function LiveNumbers({ live }: { readonly live: LiveAnswer }) {
  live.frame.value;
  const { rate: speed, tokens, guessed, gain } = live;
  return (
    <div class="actions numbers" aria-hidden="true">
      {speed === undefined ? null : (
        <span>
          <b class="number">{rate(speed)}</b> tokens/s
        </span>
      )}
      <Against speed={speed} gain={gain} />
      {tokens > 0 && (
        <span>
          {tokens} tokens, {guessed} guessed
        </span>
      )}
    </div>
  );
}

/** How fast a finished text came, as a multiple of without drafts. */
export function gainOf(report: TurnReport): number | undefined {
  const { tokens = 0, steps = 0, drafted = 0, controller } = report;
  const passMs = controller?.pass_ms ?? report.passMs ?? {};
  const draftMs = controller && draftTime(controller.drafters);
  return draftGain({ tokens, steps, drafted, passMs, draftMs });
}

interface AgainstProps {
  readonly speed: number | undefined;
  readonly gain: number | undefined;
}

/** The speed as a multiple of that without drafts. */
export function Against({ speed, gain }: AgainstProps) {
  if (speed === undefined || gain === undefined) return null;
  return (
    <span title="Estimated from what passes with and without guesses cost here">
      {rate(speed / gain)} without drafts, {gain.toFixed(1)}×
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
