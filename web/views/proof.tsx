/** The proof: an answer once more without drafts and once with them, token by token. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { lines, request } from '../data/api.js';
import type { ProofLine } from '../data/bodies.js';
import { runClass, runTitle } from '../lib/legend.js';
import { rate, seconds } from '../lib/numbers.js';
import { emptyProof, type ProofState, type ProofWay, taken } from '../lib/proof.js';
import type { Turn } from '../lib/tree.js';
import { chatBody } from '../state/generate.js';
import { current, proving } from '../state/store.js';
import { Icon, IconButton } from './icons.js';

/** Tokens of an answer whose length is not known. */
const usualLength = 256;

export function Proof({ turn }: { readonly turn: Turn }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [proof, setProof] = useState<ProofState>(emptyProof);
  useEffect(() => {
    dialog.current?.showModal();
    const abort = new AbortController();
    void run(turn, abort.signal, setProof);
    return () => abort.abort();
  }, [turn]);
  const close = (): void => {
    proving.value = undefined;
  };
  return (
    <dialog ref={dialog} class="dialog proof" aria-labelledby="proof-title" onClose={close}>
      <div class="panel-head">
        <h2 id="proof-title">Proof of this answer</h2>
        <IconButton icon="close" label="Close the proof" onClick={close} />
      </div>
      <p class="faint">
        The same prompt, settings and seed, computed twice from nothing: one token a pass, and with
        drafts. Both must give the same tokens, from logits that are the same to the byte.
      </p>
      <Verdict proof={proof} turn={turn} />
      <div class="ways">
        <Way
          title="Without drafts"
          way={proof.plain}
          difference={proof.verdict?.difference?.index}
        />
        <Way
          title="With drafts"
          way={proof.drafted}
          difference={proof.verdict?.difference?.index}
        />
      </div>
    </dialog>
  );
}

function Verdict({ proof, turn }: { readonly proof: ProofState; readonly turn: Turn }) {
  const { verdict, error } = proof;
  if (error !== undefined) {
    return (
      <div class="verdict" data-good={false} role="alert">
        {error}
      </div>
    );
  }
  if (verdict === undefined) {
    return (
      <output class="verdict">
        <span class="spinner" aria-hidden="true" /> Computing
      </output>
    );
  }
  const { identical, rows, seed, difference } = verdict;
  const said = proof.plain.tokens.map(({ text }) => text).join('');
  const asShown = !turn.reasoning && said.trim() === turn.text.trim();
  return (
    <output class="verdict" data-good={identical}>
      <Icon name={identical ? 'check' : 'close'} />
      <span>
        {identical
          ? `Identical: ${proof.plain.tokens.length} tokens, ${rows} rows of logits, to the byte.`
          : `Different from token ${(difference?.index ?? 0) + 1} on (${difference?.kind}).`}{' '}
        {asShown ? 'It is also the text above, character by character. ' : ''}
        <span class="faint">Seed {seed}</span>
      </span>
    </output>
  );
}

interface WayProps {
  readonly title: string;
  readonly way: ProofWay;
  readonly difference: number | undefined;
}

function Way({ title, way, difference }: WayProps) {
  const { tokens, end } = way;
  return (
    <section class="way" aria-label={title}>
      <header>
        <h3>{title}</h3>
        {end !== undefined && (
          <span class="faint number">
            {end.steps} passes, {seconds(end.ms)}
            {end.ms > 0 && `, ${rate((tokens.length * 1000) / end.ms)} tokens/s`}
          </span>
        )}
      </header>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard */}
      <pre tabIndex={0}>
        {tokens.map((token, index) => {
          const run = {
            length: token.text.length,
            ...(token.drafter ? { drafter: token.drafter } : {}),
          };
          return (
            <span
              key={index}
              class={[
                runClass(run),
                index % 2 === 0 ? 'even' : 'odd',
                index === difference ? 'parted' : '',
              ]
                .filter(Boolean)
                .join(' ')}
              title={[`token ${token.id}`, runTitle(run)].filter(Boolean).join(', ')}
            >
              {token.text}
            </span>
          );
        })}
      </pre>
    </section>
  );
}

async function run(
  turn: Turn,
  signal: AbortSignal,
  show: (change: (old: ProofState) => ProofState) => void,
): Promise<void> {
  const conversation = current.value;
  if (conversation === undefined) return;
  const { seed, tokens, finish } = turn.report ?? {};
  // One token more, where the model ended by itself: that it ends is a part of the proof.
  const length = (tokens ?? usualLength) + (finish === 'stop' ? 1 : 0);
  try {
    const body = {
      ...chatBody({ ...conversation, ...turn.report?.asked }, turn.parent),
      model: turn.report?.model,
      max_tokens: length,
      ...(seed === undefined ? {} : { seed }),
    };
    const response = await request('/paceline/v1/verify', { body, signal });
    for await (const batch of lines(response)) {
      const told = batch.filter((line) => line !== '').map((line) => JSON.parse(line) as ProofLine);
      if (told.length > 0) show((old) => told.reduce(taken, old));
    }
  } catch (error) {
    if (signal.aborted) return;
    const message = error instanceof Error ? error.message : String(error);
    show((old) => ({ ...old, error: message }));
  }
}
