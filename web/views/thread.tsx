/** The turns of a conversation, from the first to the one that is looked at. */
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Conversation } from '../lib/tree.js';
import { lives, model, path } from '../state/store.js';
import { TurnView } from './turn.js';

/** Whoever is so near to the end wants to see what comes. */
const nearPixels = 90;

export function Thread({ conversation }: { readonly conversation: Conversation }) {
  const scroller = useRef<HTMLElement>(null);
  const atEnd = useRef(true);
  const [away, setAway] = useState(false);
  const turns = path.value;
  const follow = (): void => {
    const element = scroller.current;
    if (element !== null && atEnd.current) element.scrollTop = element.scrollHeight;
  };
  useLayoutEffect(() => {
    atEnd.current = true;
    follow();
  }, [turns.length]);
  const live = lives.value.get(turns.at(-1)?.id ?? '');
  useEffect(() => live?.frame.subscribe(() => requestAnimationFrame(follow)), [live]);
  return (
    <section
      class="thread"
      ref={scroller}
      aria-label="Conversation"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
      tabIndex={0}
      onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => {
        atEnd.current = scrollHeight - scrollTop - clientHeight < nearPixels;
        setAway(!atEnd.current);
      }}
    >
      {turns.length === 0 ? (
        <Welcome />
      ) : (
        <ol class="turns">
          {turns.map((turn, index) => (
            <TurnView
              key={turn.id}
              turn={turn}
              conversation={conversation}
              last={index === turns.length - 1}
            />
          ))}
        </ol>
      )}
      {away && (
        <button
          type="button"
          class="button to-end"
          onClick={() => {
            atEnd.current = true;
            follow();
          }}
        >
          To the end
        </button>
      )}
    </section>
  );
}

function Welcome() {
  const known = model.value;
  return (
    <div class="welcome">
      <h2>Ask {known?.name ?? 'the model'}</h2>
      <p>
        It runs on this machine, and so does this page: nothing that you write leaves it.
        {known?.is_base_model &&
          ' This model only ever learnt to continue texts, so its answers are a curiosity.'}
      </p>
    </div>
  );
}
