/** A piece of a text with the marks of its tokens. */
import type { ComponentChildren } from 'preact';
import { runClass, runTitle } from '../lib/legend.js';
import type { RunList } from '../lib/runs.js';

/** Whose tokens a text has, and whether they are shown. */
export interface Marks {
  readonly runs: RunList;
  readonly shown: boolean;
}

interface MarkedTextProps {
  readonly text: string;
  /** Where it stands in the text that the runs belong to; undefined: not written there like this. */
  readonly at: number | undefined;
  readonly marks: Marks;
}

/** The text, cut at the borders of tokens that have a mark. */
export function MarkedText({ text, at, marks }: MarkedTextProps) {
  if (!marks.shown || at === undefined) return <>{text}</>;
  const parts: ComponentChildren[] = [];
  let plain = '';
  for (const { start, end, run } of marks.runs.slice(at, at + text.length)) {
    const piece = text.slice(start - at, end - at);
    const name = runClass(run);
    if (name === undefined) {
      plain += piece;
      continue;
    }
    if (plain !== '') parts.push(plain);
    plain = '';
    parts.push(
      <span class={name} title={runTitle(run)}>
        {piece}
      </span>,
    );
  }
  const covered = Math.max(0, Math.min(text.length, marks.runs.length - at));
  parts.push(plain + text.slice(covered));
  return <>{parts}</>;
}
