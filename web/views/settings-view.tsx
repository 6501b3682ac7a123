/** Settings of a conversation: system prompt, sampling, drafting, tools. */

import { numberFields, readNumber, type Settings } from '../lib/settings.js';
import type { Conversation } from '../lib/tree.js';
import { current, model, update } from '../state/store.js';

export function SettingsView() {
  const conversation = current.value;
  if (conversation === undefined) return null;
  const change = (part: Partial<Conversation>): void => {
    void update(conversation.id, (old) => ({ ...old, ...part }));
  };
  const set = (part: { readonly [K in keyof Settings]?: Settings[K] | undefined }): void => {
    const settings = Object.fromEntries(
      Object.entries({ ...conversation.settings, ...part }).filter(
        ([, value]) => value !== undefined,
      ),
    );
    change({ settings });
  };
  return (
    <>
      {conversation.kind === 'chat' && (
        <section class="block">
          <label class="field">
            <span>System prompt</span>
            <textarea
              rows={4}
              value={conversation.system}
              placeholder="What the model should know and how it should answer"
              onInput={(event) => change({ system: event.currentTarget.value })}
            />
          </label>
        </section>
      )}
      <section class="block">
        <h3>Sampling</h3>
        <p class="faint">
          What is empty is as the model’s makers recommend, else as the server has it.
        </p>
        <div class="grid">
          {numberFields.map((field) => {
            const { key, title, help, min, max, step, usual, recommended } = field;
            const theirs =
              recommended === undefined ? undefined : model.value?.sampling[recommended];
            return (
              <label class="field" key={key} title={help}>
                <span>{title}</span>
                <input
                  type="number"
                  inputMode="decimal"
                  min={min}
                  max={max}
                  step={step}
                  value={conversation.settings[key] ?? ''}
                  placeholder={theirs === undefined ? usual : String(Number(theirs.toFixed(3)))}
                  onChange={(event) => set({ [key]: readNumber(event.currentTarget.value, field) })}
                />
              </label>
            );
          })}
          <label class="field">
            <span>Drafts</span>
            <select
              value={conversation.settings.draft ?? 'auto'}
              onChange={(event) => {
                const { value } = event.currentTarget;
                set({ draft: value === 'auto' ? undefined : value });
              }}
            >
              {['auto', 'none', 'ngram', ...(model.value?.drafters ?? [])].map((kind) => (
                <option key={kind}>{kind}</option>
              ))}
            </select>
          </label>
        </div>
        <p class="faint">Drafts change how fast a text comes, and never what it says.</p>
        {model.value?.thinks && conversation.kind === 'chat' && (
          <label class="switch">
            <input
              type="checkbox"
              checked={conversation.settings.thinking !== 'off'}
              onChange={(event) =>
                set({ thinking: event.currentTarget.checked ? undefined : 'off' })
              }
            />
            <span>Let the model think first</span>
          </label>
        )}
      </section>
      {conversation.kind === 'chat' && (
        <section class="block">
          <label class="field">
            <span>Tools</span>
            <textarea
              rows={6}
              class="mono"
              spellcheck={false}
              value={conversation.tools}
              placeholder={
                '[{"name": "weather", "description": "…", "parameters": {"type": "object", …}}]'
              }
              onInput={(event) => change({ tools: event.currentTarget.value })}
            />
          </label>
          <p class="faint">
            A JSON list. When the model calls one, the call is shown, and you give the result.
          </p>
        </section>
      )}
    </>
  );
}
