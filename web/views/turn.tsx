/** One turn: what was said, by whom, and what can be done with it. */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { newId } from '../data/browser.js';
import { GrowingMarkdown } from '../lib/markdown.js';
import { RunList } from '../lib/runs.js';
import { type Conversation, newestLeaf, siblings, type Turn, withTurn } from '../lib/tree.js';
import { answer, send } from '../state/generate.js';
import type { LiveAnswer } from '../state/live.js';
import { chosenTurn, colours, lives, panel, proving, update } from '../state/store.js';
import { Copy } from './code.js';
import { Icon, IconButton } from './icons.js';
import { Markdown } from './markdown.js';
import { LiveNumbers, TurnNumbers } from './numbers.js';

interface TurnProps {
  readonly turn: Turn;
  readonly conversation: Conversation;
  readonly last: boolean;
}

const speakers = { user: 'You', assistant: 'Answer', tool: 'Result of a tool' } as const;

export function TurnView({ turn, conversation, last }: TurnProps) {
  const [editing, setEditing] = useState(false);
  const live = lives.value.get(turn.id);
  return (
    <li class={`turn ${turn.role}`} aria-label={speakers[turn.role]} aria-busy={live !== undefined}>
      {editing ? (
        <Edit turn={turn} conversation={conversation} close={() => setEditing(false)} />
      ) : (
        <>
          <Files turn={turn} />
          {turn.role === 'assistant' ? (
            <Answer turn={turn} live={live} conversation={conversation} last={last} />
          ) : (
            <div class="said">{turn.text}</div>
          )}
          <Actions
            turn={turn}
            live={live}
            conversation={conversation}
            edit={() => setEditing(true)}
          />
        </>
      )}
    </li>
  );
}

function Files({ turn }: { readonly turn: Turn }) {
  if (turn.files === undefined || turn.files.length === 0) return null;
  return (
    <ul class="files">
      {turn.files.map(({ name, text }) => (
        <li key={name}>
          <details>
            <summary>
              <Icon name="file" /> {name} <span class="faint">{text.length} characters</span>
            </summary>
            <pre>{text}</pre>
          </details>
        </li>
      ))}
    </ul>
  );
}

interface AnswerProps {
  readonly turn: Turn;
  readonly live: LiveAnswer | undefined;
  readonly conversation: Conversation;
  readonly last: boolean;
}

function Answer({ turn, live, conversation, last }: AnswerProps) {
  // Read to be drawn again with every frame in which something came.
  live?.frame.value;
  const { text, reasoning = '', calls = [] } = live ?? turn;
  const markdown = useRef(new GrowingMarkdown());
  const stored = useMemo(() => new RunList(turn.runs), [turn.runs]);
  const marks = { runs: live?.runs ?? stored, shown: colours.value };
  return (
    <>
      {reasoning !== '' && <Thought text={reasoning} growing={live !== undefined && text === ''} />}
      {text !== '' && (
        <Markdown
          blocks={markdown.current.update(text)}
          marks={marks}
          growing={live !== undefined}
        />
      )}
      {calls.map((call, index) => (
        <Call
          key={index}
          name={call.name}
          text={call.arguments}
          reply={
            last && live === undefined
              ? (result) =>
                  void send(conversation, {
                    role: 'tool',
                    text: result,
                    callId: call.id,
                    parent: turn.id,
                  })
              : undefined
          }
        />
      ))}
      {live !== undefined && <Waiting live={live} />}
      {turn.state === 'cut' && <p class="ended">Stopped here.</p>}
      {turn.report?.finish === 'length' && live === undefined && (
        <p class="ended">Cut at the limit of tokens.</p>
      )}
      {turn.report?.engine !== undefined && live === undefined && (
        <p class="ended">Answered by {turn.report.engine}.</p>
      )}
      {turn.report?.warnings?.map((warning) => (
        <p key={warning} class="ended">
          {warning}
        </p>
      ))}
      {turn.state === 'failed' && (
        <div class="failure" role="alert">
          <p>{turn.error ?? 'The answer failed.'}</p>
          <button
            type="button"
            class="button"
            onClick={() => turn.parent && void answer(conversation.id, turn.parent)}
          >
            <Icon name="again" /> Try again
          </button>
        </div>
      )}
    </>
  );
}

function Waiting({ live }: { readonly live: LiveAnswer }) {
  if (live.text !== '' || live.reasoning !== '' || live.calls.length > 0) return null;
  const { done = 0, total = 0 } = live.prefill ?? {};
  const reading = total > 0 && done < total;
  return (
    <p class="waiting">
      <span class="spinner" aria-hidden="true" />
      {reading ? `Reading ${done} of ${total} tokens` : 'Waiting for the first token'}
    </p>
  );
}

function Thought({ text, growing }: { readonly text: string; readonly growing: boolean }) {
  return (
    <details class="thought" open={growing}>
      <summary>{growing ? 'Thinking' : 'Thought'}</summary>
      <div>{text}</div>
    </details>
  );
}

interface CallProps {
  readonly name: string;
  readonly text: string;
  readonly reply: ((result: string) => void) | undefined;
}

function Call({ name, text, reply }: CallProps) {
  const field = useRef<HTMLTextAreaElement>(null);
  return (
    <div class="call">
      <div class="call-head">
        <Icon name="tool" /> <strong>{name}</strong>
      </div>
      <pre>{pretty(text)}</pre>
      {reply !== undefined && (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            reply(field.current?.value ?? '');
          }}
        >
          <label class="field">
            <span>What the tool answers</span>
            <textarea ref={field} rows={2} />
          </label>
          <button type="submit" class="button">
            Give the result
          </button>
        </form>
      )}
    </div>
  );
}

function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), undefined, 2);
  } catch {
    return text;
  }
}

interface ActionsProps {
  readonly turn: Turn;
  readonly live: LiveAnswer | undefined;
  readonly conversation: Conversation;
  readonly edit: () => void;
}

function Actions({ turn, live, conversation, edit }: ActionsProps) {
  if (live !== undefined) return <LiveNumbers live={live} />;
  if (turn.state === 'streaming') {
    return <p class="waiting">It is being written in another window.</p>;
  }
  const { parent } = turn;
  const look = (): void => {
    chosenTurn.value = turn.id;
    if (panel.value === undefined || panel.value === 'settings') panel.value = 'drafts';
  };
  return (
    <div class="actions">
      <Versions turn={turn} conversation={conversation} />
      <Copy text={turn.text} label="Copy text" />
      <IconButton icon="edit" label="Edit" onClick={edit} />
      {turn.role === 'assistant' && parent !== undefined && (
        <>
          <IconButton
            icon="again"
            label="Answer again"
            onClick={() => void answer(conversation.id, parent)}
          />
          <IconButton
            icon="branch"
            label="Go on from here"
            onClick={() => {
              void update(conversation.id, (old) => ({ ...old, leaf: turn.id }));
              document.getElementById('composer')?.focus();
            }}
          />
          <IconButton
            icon="proof"
            label="Prove this answer"
            onClick={() => (proving.value = turn)}
          />
          <TurnNumbers turn={turn} look={look} />
        </>
      )}
    </div>
  );
}

/** The versions of a turn, when it has several. */
function Versions({ turn, conversation }: Pick<TurnProps, 'turn' | 'conversation'>) {
  const all = siblings(conversation.turns, turn);
  if (all.length < 2) return null;
  const at = all.findIndex(({ id }) => id === turn.id);
  const go = (index: number): void => {
    const other = all[index];
    if (other === undefined) return;
    void update(conversation.id, (old) => ({ ...old, leaf: newestLeaf(old.turns, other.id) }));
  };
  return (
    <fieldset class="versions">
      <legend class="unseen">Versions</legend>
      <IconButton
        icon="left"
        label="Version before"
        disabled={at === 0}
        onClick={() => go(at - 1)}
      />
      <span class="number">
        {at + 1}/{all.length}
      </span>
      <IconButton
        icon="right"
        label="Version after"
        disabled={at === all.length - 1}
        onClick={() => go(at + 1)}
      />
    </fieldset>
  );
}

interface EditProps extends Pick<TurnProps, 'turn' | 'conversation'> {
  readonly close: () => void;
}

/** An edit makes a version beside the old one; one of a question is answered. */
function Edit({ turn, conversation, close }: EditProps) {
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    field.current?.focus();
    field.current?.setSelectionRange(turn.text.length, turn.text.length);
  }, [turn.text.length]);
  const asks = turn.role !== 'assistant';
  const done = (): void => {
    const text = field.current?.value ?? '';
    close();
    if (text === turn.text) return;
    const { parent, files, callId } = turn;
    if (asks) {
      const also = { ...(files ? { files } : {}), ...(callId ? { callId } : {}) };
      void send(conversation, { role: turn.role, text, parent, ...also });
      return;
    }
    const { runs: _, report: __, ...rest } = turn;
    const edited: Turn = { ...rest, id: newId(), text, createdAt: Date.now(), state: 'done' };
    void update(conversation.id, (old) => withTurn(old, edited));
  };
  return (
    <form
      class="edit"
      onSubmit={(event) => {
        event.preventDefault();
        done();
      }}
    >
      <label>
        <span class="unseen">Edit</span>
        <textarea
          ref={field}
          rows={Math.min(16, turn.text.split('\n').length + 1)}
          onKeyDown={(event) => {
            if (event.key === 'Escape') {
              event.preventDefault();
              close();
            } else if (
              event.key === 'Enter' &&
              (event.ctrlKey || event.metaKey || (asks && !event.shiftKey))
            ) {
              event.preventDefault();
              done();
            }
          }}
        >
          {turn.text}
        </textarea>
      </label>
      <div class="dialog-buttons">
        <button type="button" class="button" onClick={close}>
          Cancel
        </button>
        <button type="submit" class="button primary">
          {asks ? 'Ask' : 'Keep as a new version'}
        </button>
      </div>
    </form>
  );
}
