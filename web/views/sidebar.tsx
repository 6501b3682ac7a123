/** The list of conversations, and what is done with all of them. */
import { chooseFiles, saveFile } from '../data/browser.js';
import { exportConversations, importConversations } from '../lib/archive.js';
import {
  addAll,
  allConversations,
  current,
  fresh,
  lives,
  open,
  remove,
  say,
  sidebar,
  summaries,
  type Theme,
  theme,
} from '../state/store.js';
import { Icon, IconButton, type IconName } from './icons.js';

export function Sidebar() {
  return (
    <nav class="sidebar" data-open={sidebar.value} aria-label="Conversations">
      <div class="brand">
        <img src="/page/icon.svg" alt="" width="24" height="24" />
        <span>Paceline</span>
      </div>
      <button
        type="button"
        class="button new"
        onClick={() => {
          fresh();
          sidebar.value = false;
          requestAnimationFrame(() => document.getElementById('composer')?.focus());
        }}
      >
        <Icon name="plus" />
        New conversation
        <kbd>Alt N</kbd>
      </button>
      <ul class="conversations">
        {summaries.value.map(({ id, title, kind, updatedAt }) => (
          <li key={id} data-current={id === current.value?.id}>
            <a
              href={`#${id}`}
              aria-current={id === current.value?.id ? 'page' : undefined}
              onClick={(event) => {
                event.preventDefault();
                sidebar.value = false;
                void open(id);
              }}
            >
              <span class="title">{title || 'Untitled'}</span>
              <span class="when">
                {kind === 'text' ? 'text · ' : ''}
                {lives.value.has(id) ? 'writing' : when(updatedAt)}
              </span>
            </a>
            <IconButton
              icon="trash"
              label={`Delete ${title || 'Untitled'}`}
              onClick={() => {
                if (confirm(`Delete “${title || 'Untitled'}”?`)) void remove(id);
              }}
            />
          </li>
        ))}
        {summaries.value.length === 0 && (
          <li class="none">What you write is kept in this browser only, and listed here.</li>
        )}
      </ul>
      <div class="sidebar-foot">
        <IconButton icon="download" label="Export all conversations" onClick={exportAll} />
        <IconButton icon="upload" label="Import conversations" onClick={() => void importAll()} />
        <ThemeSwitch />
      </div>
    </nav>
  );
}

function when(time: number): string {
  const days = Math.floor((Date.now() - time) / 86_400_000);
  const date = new Date(time);
  if (days < 1)
    return date.toLocaleTimeString('en', { hour: '2-digit', minute: '2-digit', hour12: false });
  return date.toLocaleDateString('en', { month: 'short', day: 'numeric' });
}

function exportAll(): void {
  void allConversations().then((all) =>
    saveFile(`paceline-${new Date().toISOString().slice(0, 10)}.json`, exportConversations(all)),
  );
}

async function importAll(): Promise<void> {
  for (const file of await chooseFiles('application/json,.json', true)) {
    try {
      const { conversations, broken } = importConversations(await file.text());
      await addAll(conversations);
      const left = broken > 0 ? `; ${broken} were broken and left out` : '';
      say(`Imported ${conversations.length} conversations${left}`, broken > 0);
    } catch (error) {
      say(`${file.name}: ${error instanceof Error ? error.message : error}`, true);
    }
  }
}

const themes: readonly { readonly id: Theme; readonly label: string; readonly icon: IconName }[] = [
  { id: 'light', label: 'Light', icon: 'sun' },
  { id: 'auto', label: 'As the system', icon: 'auto' },
  { id: 'dark', label: 'Dark', icon: 'moon' },
];

function ThemeSwitch() {
  return (
    <fieldset class="segments">
      <legend class="unseen">Theme</legend>
      {themes.map(({ id, label, icon }) => (
        <label key={id} title={label}>
          <input
            type="radio"
            name="theme"
            class="unseen"
            checked={theme.value === id}
            onChange={() => (theme.value = id)}
          />
          <Icon name={icon} />
          <span class="unseen">{label}</span>
        </label>
      ))}
    </fieldset>
  );
}
