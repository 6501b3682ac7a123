/** The scheduler's waterfall: which texts shared which pass, with slices of prompts and decode steps. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { getActivity } from '../data/api.js';
import { type Pass, passTotals, waterfall } from '../lib/waterfall.js';
import { lives, model, theme } from '../state/store.js';
import { Fact, Nothing } from './panel-parts.js';

const windowMs = 8000;
const mostPasses = 1200;
const busyMs = 200;
const idleMs = 1000;

export function ScheduleView() {
  const id = model.value?.id;
  const passes = usePasses(id);
  // The canvas has no style of its own: it is painted again.
  theme.value;
  const canvas = useRef<HTMLCanvasElement>(null);
  const last = passes.at(-1)?.endedAt ?? 0;
  const drawn = waterfall(passes, { now: last, windowMs });
  useEffect(() => {
    if (canvas.current !== null) draw(canvas.current, drawn);
  });
  const totals = passTotals(passes.filter(({ endedAt }) => endedAt >= last - windowMs));
  return (
    <section class="block">
      <h3>Passes</h3>
      <p class="faint">
        Every pass of the model over its weights serves all texts at once. The last{' '}
        {windowMs / 1000} seconds in which it worked, one lane a text.
      </p>
      {passes.length === 0 ? (
        <Nothing>The model has not computed anything yet.</Nothing>
      ) : (
        <>
          <canvas
            ref={canvas}
            class="waterfall"
            role="img"
            aria-label={`${drawn.lanes.length} texts in ${totals.passes} passes, ${totals.shared} of them shared`}
          />
          <ul class="keys single">
            <li>
              <span class="key fill-prefill" aria-hidden="true" /> slice of a prompt
            </li>
            <li>
              <span class="key fill-decode" aria-hidden="true" /> decode step, as high as it has
              tokens
            </li>
            <li>
              <span class="key fill-waste" aria-hidden="true" /> guesses that were wrong
            </li>
          </ul>
          <dl class="facts">
            <Fact label="Passes" value={String(totals.passes)} />
            <Fact label="Shared by several texts" value={String(totals.shared)} />
            <Fact label="Prompt tokens read" value={String(totals.prefill)} />
            <Fact label="Tokens checked" value={String(totals.decode)} />
            <Fact label="of these stayed" value={String(totals.kept)} />
          </dl>
        </>
      )}
    </section>
  );
}

/** The passes of a model, asked for again and again while the view is open. */
function usePasses(id: string | undefined): readonly Pass[] {
  const [passes, setPasses] = useState<readonly Pass[]>([]);
  useEffect(() => {
    if (id === undefined) return;
    let [open, since] = [true, 0];
    setPasses([]);
    const ask = async (): Promise<void> => {
      while (open) {
        try {
          const { passes: found } = await getActivity(id, since);
          // Numbers begin anew when the engine does.
          since = found.at(-1)?.number ?? since;
          if (open && found.length > 0) {
            const fresh = found.map(({ ended_at: endedAt, ...pass }) => ({ ...pass, endedAt }));
            setPasses((old) => [...old, ...fresh].slice(-mostPasses));
          }
        } catch {
          since = 0;
        }
        const pause = lives.value.size > 0 ? busyMs : idleMs;
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    };
    void ask();
    return () => {
      open = false;
    };
  }, [id]);
  return passes;
}

const laneHeight = 30;
/** A step with so many tokens fills its lane. */
const fullRows = 8;

function draw(canvas: HTMLCanvasElement, { lanes, bars }: ReturnType<typeof waterfall>): void {
  const scale = devicePixelRatio;
  const width = canvas.clientWidth;
  const height = Math.max(1, lanes.length) * laneHeight + 4;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.style.height = `${height}px`;
  const context = canvas.getContext('2d');
  if (context === null) return;
  const style = getComputedStyle(canvas);
  const colour = (name: string): string => style.getPropertyValue(name);
  context.scale(scale, scale);
  context.font = '10px system-ui, sans-serif';
  for (const [lane, text] of lanes.entries()) {
    const bottom = (lane + 1) * laneHeight;
    context.fillStyle = colour('--line');
    context.fillRect(0, bottom, width, 1);
    context.fillStyle = colour('--ink-faint');
    context.fillText(`text ${text}`, 2, bottom - laneHeight + 11);
  }
  const most = laneHeight - 6;
  for (const { lane, from, to, kind, rows, kept } of bars) {
    const left = from * width;
    const wide = Math.max(1, (to - from) * width - 0.5);
    const bottom = (lane + 1) * laneHeight;
    if (kind === 'prefill') {
      context.fillStyle = colour('--prefill');
      context.fillRect(left, bottom - most, wide, most);
      continue;
    }
    const unit = most / fullRows;
    const all = Math.min(most, Math.max(3, rows * unit));
    const stayed = Math.min(all, Math.max(2, kept * unit));
    context.fillStyle = colour('--waste');
    context.fillRect(left, bottom - all, wide, all);
    context.fillStyle = colour('--decode');
    context.fillRect(left, bottom - stayed, wide, stayed);
  }
}
