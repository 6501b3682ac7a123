/** The panel at the side: settings, and what happens inside, one subject at a time. */
import { type PanelTab, panel } from '../state/store.js';
import { CacheView } from './cache-view.js';
import { DraftsView } from './drafts-view.js';
import { IconButton } from './icons.js';
import { MemoryView } from './memory-view.js';
import { ModelsView } from './models-view.js';
import { ScheduleView } from './schedule-view.js';
import { SettingsView } from './settings-view.js';

const tabs: readonly { readonly id: PanelTab; readonly title: string }[] = [
  { id: 'drafts', title: 'Drafts' },
  { id: 'cache', title: 'Cache' },
  { id: 'memory', title: 'Memory' },
  { id: 'schedule', title: 'Schedule' },
  { id: 'models', title: 'Models' },
];

const views = {
  settings: SettingsView,
  drafts: DraftsView,
  cache: CacheView,
  memory: MemoryView,
  schedule: ScheduleView,
  models: ModelsView,
} as const;

export function Panel() {
  const shown = panel.value;
  if (shown === undefined) return null;
  const View = views[shown];
  const title = shown === 'settings' ? 'Settings' : 'What happens inside';
  return (
    <aside class="panel" aria-label={title}>
      <div class="panel-head">
        <h2 class={shown === 'settings' ? '' : 'unseen'}>{title}</h2>
        {shown !== 'settings' && <Tabs shown={shown} />}
        <IconButton
          icon="close"
          label="Close the panel"
          onClick={() => (panel.value = undefined)}
        />
      </div>
      {shown === 'settings' ? (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
        <section class="panel-body" aria-label="Settings" tabIndex={0}>
          <View />
        </section>
      ) : (
        <div
          class="panel-body"
          id="panel-body"
          role="tabpanel"
          aria-labelledby={`tab-${shown}`}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
          tabIndex={0}
        >
          <View />
        </div>
      )}
    </aside>
  );
}

function Tabs({ shown }: { readonly shown: PanelTab }) {
  const move = (event: KeyboardEvent): void => {
    const step = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0;
    if (step === 0) return;
    event.preventDefault();
    const at = tabs.findIndex(({ id }) => id === shown);
    const next = tabs[(at + step + tabs.length) % tabs.length];
    if (next === undefined) return;
    panel.value = next.id;
    requestAnimationFrame(() => document.getElementById(`tab-${next.id}`)?.focus());
  };
  return (
    <div class="tabs" role="tablist" aria-label="Subject" onKeyDown={move}>
      {tabs.map(({ id, title }) => (
        <button
          type="button"
          key={id}
          id={`tab-${id}`}
          role="tab"
          aria-selected={id === shown}
          aria-controls="panel-body"
          tabIndex={id === shown ? 0 : -1}
          onClick={() => (panel.value = id)}
        >
          {title}
        </button>
      ))}
    </div>
  );
}
