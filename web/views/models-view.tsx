/** Models: loaded, served, and on the disk; load and unload with progress. */
import { useEffect, useState } from 'preact/hooks';
import { getLibrary, loadFromLibrary, loadModel, unloadModel } from '../data/api.js';
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

/** Waits for what the server does, looks at its state meanwhile, and says what went wrong. */
async function watched(done: Promise<unknown>): Promise<void> {
  setTimeout(lookNow, 50);
  try {
    await done;
  } catch (error) {
    say(error instanceof Error ? error.message : String(error), true);
  }
  lookNow();
}

function Served({ model }: { readonly model: ModelBody }) {
  const { id, state, progress, pinned, users } = model;
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
        {model.backend == null ? (
          <>
            {model.architecture}, {count(model.parameters)} parameters, {model.quantization},{' '}
            {bytes(model.bytes)}
          </>
        ) : (
          <>Served by {model.backend}</>
        )}
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
        <button type="button" class="button small" onClick={() => void watched(loadModel(id))}>
          Load
        </button>
      )}
      {state === 'ready' && (
        <button
          type="button"
          class="button small"
          disabled={users > 0}
          onClick={() => void watched(unloadModel(id))}
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
  const served = models.value.length;
  useEffect(() => {
    getLibrary().then(
      ({ models: found }) => setLibrary(found),
      () => setLibrary([]),
    );
    // A model that was loaded from here is one of the server's then.
  }, [served]);
  return (
    <section class="block">
      <h3>On the disk</h3>
      <p class="faint">
        What is loaded here is the server's until it ends. <code>paceline pull</code> gets more.
      </p>
      {library === undefined && <Nothing>Looking.</Nothing>}
      {library?.length === 0 && <Nothing>None but the embedded one.</Nothing>}
      <ul class="library">
        {library?.map((one) => (
          <Listed key={one.id} model={one} />
        ))}
      </ul>
    </section>
  );
}

function Listed({ model }: { readonly model: LibraryBody['models'][number] }) {
  const [loading, setLoading] = useState(false);
  const { id, served_as: servedAs, name, bytes: size, parameters, quantization, problem } = model;
  const load = async (): Promise<void> => {
    setLoading(true);
    await watched(loadFromLibrary(id));
    setLoading(false);
  };
  const facts = [parameters === null ? '' : count(parameters), quantization ?? '', bytes(size)];
  return (
    <li>
      <span class="break">{name}</span>
      <span class="faint">{problem ?? facts.filter((part) => part !== '').join(' · ')}</span>
      {problem === null && servedAs === null && (
        <button
          type="button"
          class="button small"
          aria-label={`Load ${name}`}
          disabled={loading}
          onClick={() => void load()}
        >
          Load
        </button>
      )}
      {servedAs !== null && <span class="faint">of this server, as {servedAs}</span>}
    </li>
  );
}
