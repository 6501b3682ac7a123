/** Where the memory is: weights, experts, caches, drafters, the rest of the process, what is free. */

import type { ModelBody } from '../data/bodies.js';
import { bytes } from '../lib/numbers.js';
import { models, status } from '../state/store.js';
import { Fact, Nothing } from './panel-parts.js';

interface Part {
  readonly name: string;
  readonly title: string;
  readonly bytes: number;
}

export function memoryParts(loaded: readonly ModelBody[]): readonly Part[] {
  let [weights, experts, texts, drafters] = [0, 0, 0, 0];
  for (const { memory, expert_bytes: expertBytes } of loaded) {
    if (memory === null) continue;
    experts += Math.min(expertBytes, memory.weight_bytes);
    weights += memory.weight_bytes - Math.min(expertBytes, memory.weight_bytes);
    texts += memory.texts.reduce((sum, text) => sum + text.bytes, 0);
    drafters += memory.drafters.reduce((sum, drafter) => sum + drafter.weight_bytes, 0);
  }
  return [
    { name: 'weights', title: 'weights', bytes: weights },
    { name: 'experts', title: 'experts', bytes: experts },
    { name: 'kv', title: 'caches of texts', bytes: texts },
    { name: 'drafters', title: 'drafters', bytes: drafters },
  ].filter(({ bytes: size }) => size > 0);
}

export function MemoryView() {
  const known = status.value;
  const loaded = models.value.filter(({ memory }) => memory !== null);
  if (known === undefined) return <Nothing>The server has not said yet.</Nothing>;
  const { total, available, engine } = known.memory;
  const parts = memoryParts(loaded);
  const held = parts.reduce((sum, part) => sum + part.bytes, 0);
  const rest = Math.max(0, engine - held);
  const all = [...parts, { name: 'rest', title: 'program and buffers', bytes: rest }];
  const text = all.map((part) => `${part.title} ${bytes(part.bytes)}`).join(', ');
  return (
    <>
      <section class="block">
        <h3>The engine’s memory</h3>
        <div class="share tall" role="img" aria-label={text}>
          {all.map(({ name, bytes: size }) => (
            <span key={name} class={`fill-${name}`} style={{ flexGrow: size }} />
          ))}
        </div>
        <ul class="keys">
          {all.map(({ name, title, bytes: size }) => (
            <li key={name}>
              <span class={`key fill-${name}`} aria-hidden="true" />
              <span class="number">{bytes(size)}</span> {title}
            </li>
          ))}
        </ul>
        <dl class="facts">
          <Fact label="Engine in all" value={bytes(engine)} />
          <Fact label="Free on this machine" value={`${bytes(available)} of ${bytes(total)}`} />
        </dl>
      </section>
      {loaded.map((one) => (
        <ModelMemory key={one.id} model={one} />
      ))}
    </>
  );
}

function ModelMemory({ model }: { readonly model: ModelBody }) {
  const { memory } = model;
  if (memory === null) return null;
  const texts = [...memory.texts].sort((a, b) => b.bytes - a.bytes);
  return (
    <section class="block">
      <h3>{model.id}</h3>
      <dl class="facts">
        <Fact label="Weights" value={bytes(memory.weight_bytes)} />
        {model.expert_bytes > 0 && (
          <Fact label="of these experts" value={bytes(model.expert_bytes)} />
        )}
        {memory.drafters.map(({ name, weight_bytes: size }) => (
          <Fact key={name} label={`Drafter ${name}`} value={bytes(size)} />
        ))}
        <Fact label="A text with a full context" value={bytes(memory.full_text_bytes)} />
        <Fact label="Type of the caches" value={model.kv_type ?? '–'} />
      </dl>
      {texts.length > 0 && (
        <table class="table">
          <thead>
            <tr>
              <th scope="col">Text</th>
              <th scope="col" class="align-right">
                Tokens
              </th>
              <th scope="col" class="align-right">
                Memory
              </th>
            </tr>
          </thead>
          <tbody>
            {texts.map(({ tokens, bytes: size }, index) => (
              <tr key={index}>
                <th scope="row">{index + 1}</th>
                <td class="align-right number">{tokens}</td>
                <td class="align-right number">{bytes(size)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
