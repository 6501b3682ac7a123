/** Above the conversation: the model, the kind of the conversation, and what can be shown. */
import type { Conversation } from '../lib/tree.js';
import {
  colours,
  current,
  isEmpty,
  model,
  models,
  panel,
  sidebar,
  update,
  usualKind,
} from '../state/store.js';
import { Icon, IconButton } from './icons.js';

export function Header() {
  const conversation = current.value;
  return (
    <header class="header">
      <IconButton
        icon="menu"
        label="Conversations"
        class="only-narrow"
        expanded={sidebar.value}
        onClick={() => (sidebar.value = !sidebar.value)}
      />
      <h1 class="unseen">{conversation?.title || 'New conversation'}</h1>
      {conversation && <ModelChoice conversation={conversation} />}
      {conversation && isEmpty(conversation) && <KindChoice conversation={conversation} />}
      <span class="grow" />
      <button
        type="button"
        class="button quiet"
        aria-pressed={colours.value}
        title="Show which tokens were guessed, and by whom (Alt C)"
        onClick={() => (colours.value = !colours.value)}
      >
        <Icon name="colours" />
        <span class="label">Drafts in colour</span>
      </button>
      <IconButton
        icon="sliders"
        label="Settings"
        pressed={panel.value === 'settings'}
        onClick={() => (panel.value = panel.value === 'settings' ? undefined : 'settings')}
      />
      <IconButton
        icon="chart"
        label="What happens inside"
        pressed={panel.value !== undefined && panel.value !== 'settings'}
        onClick={() =>
          (panel.value =
            panel.value === undefined || panel.value === 'settings' ? 'drafts' : undefined)
        }
      />
    </header>
  );
}

function ModelChoice({ conversation }: { readonly conversation: Conversation }) {
  const chosen = model.value?.id ?? conversation.model ?? '';
  return (
    <label class="model-choice">
      <span class="unseen">Model</span>
      <select
        value={chosen}
        onChange={(event) => {
          const id = event.currentTarget.value;
          const kind = usualKind(models.value.find((one) => one.id === id));
          void update(conversation.id, (old) => ({
            ...old,
            model: id,
            kind: isEmpty(old) ? kind : old.kind,
          }));
        }}
      >
        {models.value.map(({ id, state }) => (
          <option key={id} value={id}>
            {state === 'ready' ? id : `${id} (not loaded)`}
          </option>
        ))}
        {models.value.length === 0 && <option value={chosen}>{chosen || 'No model yet'}</option>}
      </select>
    </label>
  );
}

function KindChoice({ conversation }: { readonly conversation: Conversation }) {
  const choose = (kind: Conversation['kind']): void => {
    void update(conversation.id, (old) => ({ ...old, kind }));
  };
  return (
    <fieldset class="segments words">
      <legend class="unseen">Kind</legend>
      {(['chat', 'text'] as const).map((kind) => (
        <label key={kind}>
          <input
            type="radio"
            name="kind"
            class="unseen"
            checked={conversation.kind === kind}
            onChange={() => choose(kind)}
          />
          {kind === 'chat' ? 'Chat' : 'Continue a text'}
        </label>
      ))}
    </fieldset>
  );
}
