/** Models: loaded, served, and on the disk; load and unload with progress. */
import { useEffect, useState } from 'preact/hooks';
import { getLibrary, loadModel, unloadModel } from '../data/api.js';
import type { LibraryBody, ModelBody } from '../data/bodies.js';
import { bytes, count, seconds } from '../lib/numbers.js';
import { lookNow, models, say } from '../state/store.js';
import { Fact, Nothing } from './panel-parts.js';

export function ModelsView() {
  return (
    <>
      <section class="block">
        <h3>Of this server</h3>
        {models.value.length === 0 && <Nothing>The server has not said yet.</Nothing>}
        {models.value.map((one) => (
          <Served key={one.id} model={one} />
        ))}
      </section>
      <OnDisk />
    </>
  );
}

const states = { ready: 'in memory', loading: 'loading', unloaded: 'not loaded' } as const;

function Served({ model }: { readonly model: ModelBody }) {
  const { id, state, progress, pinned, users } = model;
  const change = async (work: (id: string) => Promise<unknown>): Promise<void> => {
    const done = work(id);
    setTimeout(lookNow, 50);
    try {
      await done;
    } catch (error) {
      say(error instanceof Error ? error.message : String(error), true);
    }
    lookNow();
  };
  return (
    <article class="model" aria-label={id}>
      <header>
        <strong>{id}</strong>
        <span class="state" data-state={state}>
          {states[state]}
        </span>
      </header>
      {state === 'loading' && (
        <progress
          aria-label={`${id} is being loaded`}
          max={progress?.total || 1}
          {...(progress === null ? {} : { value: progress.done })}
        />
      )}
      <p class="faint">
        {model.architecture}, {count(model.parameters)} parameters, {model.quantization},{' '}
        {bytes(model.bytes)}
      </p>
      {state === 'ready' && (
        <dl class="facts">
          <Fact label="Context" value={count(model.context_length ?? 0)} />
          <Fact label="Drafters" value={['ngram', ...model.drafters].join(', ')} />
          <Fact label="Threads" value={String(model.threads ?? '–')} />
          <Fact label="Loaded in" value={seconds(model.load_ms ?? 0)} />
          <Fact label="Computes with" value={model.kernels ?? '–'} />
          <Fact label="Same bytes in any batch" value={model.exact ? 'yes' : 'no'} />
        </dl>
      )}
      {state === 'unloaded' && (
        <button type="button" class="button small" onClick={() => void change(loadModel)}>
          Load
        </button>
      )}
      {state === 'ready' && (
        <button
          type="button"
          class="button small"
          disabled={users > 0}
          onClick={() => void change(unloadModel)}
        >
          Unload
        </button>
      )}
      {pinned && state === 'ready' && (
        <p class="faint">
          The first of the command line: it is kept in memory unless you unload it.
        </p>
      )}
    </article>
  );
}

function OnDisk() {
  const [library, setLibrary] = useState<LibraryBody['models']>();
  useEffect(() => {
    getLibrary().then(
      ({ models: found }) => setLibrary(found),
      () => setLibrary([]),
    );
  }, []);
  return (
    <section class="block">
      <h3>On the disk</h3>
      <p class="faint">
        Start the server with the names of those that it shall have:{' '}
        <code>paceline serve NAME</code>. <code>paceline pull</code> gets more.
      </p>
      {library === undefined && <Nothing>Looking.</Nothing>}
      {library?.length === 0 && <Nothing>None but the embedded one.</Nothing>}
      <ul class="library">
        {library?.map(({ name, bytes: size, parameters, quantization, problem }) => (
          <li key={name}>
            <span class="break">{name}</span>
            <span class="faint">
              {problem ??
                [parameters === null ? '' : count(parameters), quantization ?? '', bytes(size)]
                  .filter((part) => part !== '')
                  .join(' · ')}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
