/** The page as a whole: list of conversations, the conversation, and the panel of numbers. */
import { useEffect } from 'preact/hooks';
import { needsKey } from '../data/api.js';
import { stop } from '../state/generate.js';
import { announcement, colours, current, fresh, panel, proving, sidebar } from '../state/store.js';
import { Composer } from './composer.js';
import { Header } from './header.js';
import { KeyDialog } from './key-dialog.js';
import { Banner, Notice } from './notices.js';
import { Panel } from './panel.js';
import { Proof } from './proof.js';
import { Sidebar } from './sidebar.js';
import { TextEditor } from './text-editor.js';
import { Thread } from './thread.js';

export function App() {
  useEffect(() => {
    addEventListener('keydown', shortcut);
    return () => removeEventListener('keydown', shortcut);
  }, []);
  const conversation = current.value;
  return (
    <div class="page" data-panel={panel.value === undefined ? 'closed' : 'open'}>
      <button type="button" class="skip" onClick={toComposer}>
        To the text field
      </button>
      <Sidebar />
      {sidebar.value && <Scrim close={() => (sidebar.value = false)} />}
      <main class="main">
        <Header />
        <Banner />
        {conversation?.kind === 'text' ? (
          <TextEditor key={conversation.id} conversation={conversation} />
        ) : (
          conversation && (
            <>
              <Thread key={conversation.id} conversation={conversation} />
              <Composer key={`composer-${conversation.id}`} conversation={conversation} />
            </>
          )
        )}
      </main>
      <Panel />
      <Notice />
      <output class="unseen" aria-live="polite">
        {announcement.value}
      </output>
      {needsKey.value && <KeyDialog />}
      {proving.value !== undefined && <Proof key={proving.value.id} turn={proving.value} />}
    </div>
  );
}

function Scrim({ close }: { readonly close: () => void }) {
  return <button type="button" class="scrim" aria-label="Close" onClick={close} />;
}

function toComposer(): void {
  document.getElementById('composer')?.focus();
}

/** Esc stops or closes; Alt with a letter: new, colours, panel. */
function shortcut(event: KeyboardEvent): void {
  if (event.key === 'Escape' && !event.defaultPrevented) {
    if (document.querySelector('dialog[open]') !== null) return;
    if (sidebar.value) sidebar.value = false;
    else stop();
    return;
  }
  if (!event.altKey || event.ctrlKey || event.metaKey) return;
  const actions: Readonly<Record<string, () => void>> = {
    KeyN: () => {
      fresh();
      requestAnimationFrame(() => document.getElementById('composer')?.focus());
    },
    KeyC: () => {
      colours.value = !colours.value;
    },
    KeyP: () => {
      panel.value = panel.value === undefined ? 'drafts' : undefined;
    },
  };
  const action = actions[event.code];
  if (action === undefined) return;
  event.preventDefault();
  action();
}
