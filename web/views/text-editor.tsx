/**
 * For base models: a text that a person and the model write in turns. The field is an ordinary one;
 * the marks of tokens lie behind it, in a copy of the text with the same lines.
 */
import { memo } from 'preact/compat';
import { useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { rate } from '../lib/numbers.js';
import { editedRuns, RunList } from '../lib/runs.js';
import type { Conversation } from '../lib/tree.js';
import { continueText, stop } from '../state/generate.js';
import type { LiveAnswer } from '../state/live.js';
import { colours, lives, model, update } from '../state/store.js';
import { Icon } from './icons.js';
import { MarkedText } from './marked-text.js';
import { Against, gainOf, LiveNumbers } from './numbers.js';

export function TextEditor({ conversation }: { readonly conversation: Conversation }) {
  const live = lives.value.get(conversation.id);
  const { id, draft } = conversation;
  const go = (): void => {
    if (live === undefined) void continueText(id);
  };
  const back = (): void => {
    const { before } = draft;
    if (before === undefined) return;
    const text = draft.text.slice(0, before);
    const kept = new RunList(draft.runs).slice(0, before);
    const runs = kept.map(({ start, end, run }) => ({ ...run, length: end - start }));
    void update(id, (old) => ({ ...old, draft: { text, runs } }));
  };
  const can = draft.before !== undefined && draft.before < draft.text.length;
  return (
    <section class="editor" aria-label="Text">
      <Page conversation={conversation} live={live} go={go} />
      <div class="editor-bar">
        {live === undefined ? (
          <>
            <button type="button" class="button primary" disabled={draft.text === ''} onClick={go}>
              Continue <kbd>Ctrl ↵</kbd>
            </button>
            <button type="button" class="button" disabled={!can} onClick={back}>
              <Icon name="undo" /> Take back
            </button>
            <button
              type="button"
              class="button"
              disabled={!can}
              onClick={() => {
                back();
                void continueText(id);
              }}
            >
              <Icon name="again" /> Other words
            </button>
            <LastNumbers conversation={conversation} />
          </>
        ) : (
          <>
            <button type="button" class="button primary" onClick={stop}>
              <Icon name="stop" /> Stop <kbd>Esc</kbd>
            </button>
            <LiveNumbers live={live} />
          </>
        )}
      </div>
    </section>
  );
}

function LastNumbers({ conversation }: { readonly conversation: Conversation }) {
  const { report } = conversation.draft;
  const { tokensPerSecond, tokens } = report ?? {};
  if (report === undefined || tokensPerSecond === undefined || tokens === undefined) return null;
  return (
    <div class="numbers">
      <span>
        <b class="number">{rate(tokensPerSecond)}</b> tokens/s
      </span>
      <Against speed={tokensPerSecond} gain={gainOf(report)} />
      <span>{tokens} tokens</span>
    </div>
  );
}

interface PageProps {
  readonly conversation: Conversation;
  readonly live: LiveAnswer | undefined;
  readonly go: () => void;
}

/** What a new text may begin with. */
const examples = ['export function ', '# Getting started\n\n', 'interface Options {\n'];

function Page({ conversation, live, go }: PageProps) {
  live?.frame.value;
  const field = useRef<HTMLTextAreaElement>(null);
  const scroller = useRef<HTMLDivElement>(null);
  const { id, draft } = conversation;
  // What comes now is in `draft` too as often as it is written down: it counts once.
  const base = useRef(draft);
  if (live === undefined) base.current = draft;
  const text = live === undefined ? draft.text : base.current.text + live.text;
  const stored = useMemo(() => new RunList(base.current.runs), [base.current]);
  const write = (after: string): void => {
    void update(id, (old) => ({
      ...old,
      draft: { text: after, runs: editedRuns(old.draft.runs, old.draft.text, after) },
    }));
  };
  useLayoutEffect(() => {
    const element = scroller.current;
    if (live !== undefined && element !== null) element.scrollTop = element.scrollHeight;
  });
  return (
    <div class="editor-page" ref={scroller}>
      <div class="editor-sheet">
        <div class="editor-marks" aria-hidden="true">
          {colours.value && (
            <>
              <MarkedLines text={base.current.text} runs={stored} />
              {live !== undefined && <MarkedLines text={live.text} runs={live.runs} />}
            </>
          )}
          {'\n'}
        </div>
        <label>
          <span class="unseen">Text</span>
          <textarea
            id="composer"
            ref={field}
            spellcheck={false}
            readOnly={live !== undefined}
            value={text}
            placeholder={`Begin a text, and let ${model.value?.name ?? 'the model'} continue it.`}
            onInput={(event) => write(event.currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
              event.preventDefault();
              go();
            }}
          />
        </label>
      </div>
      {text === '' && (
        <div class="examples">
          {examples.map((example) => (
            <button
              type="button"
              key={example}
              class="button"
              onClick={() => {
                write(example);
                field.current?.focus();
              }}
            >
              <code>{example.trim()}</code>
            </button>
          ))}
        </div>
      )}
    </div>
  );
}

/** Pieces of a text that are drawn again only when they grow. */
const pieceLength = 600;

function MarkedLines({ text, runs }: { readonly text: string; readonly runs: RunList }) {
  const pieces: { readonly start: number; readonly text: string }[] = [];
  for (let start = 0; start < text.length; start += pieceLength) {
    pieces.push({ start, text: text.slice(start, start + pieceLength) });
  }
  return (
    <>
      {pieces.map((piece) => (
        <MarkedPiece key={piece.start} start={piece.start} text={piece.text} runs={runs} />
      ))}
    </>
  );
}

interface PieceProps {
  readonly start: number;
  readonly text: string;
  readonly runs: RunList;
}

const MarkedPiece = memo(
  ({ start, text, runs }: PieceProps) => (
    <MarkedText text={text} at={start} marks={{ runs, shown: true }} />
  ),
  (a, b) => a.text === b.text && a.runs === b.runs && a.start === b.start,
);
