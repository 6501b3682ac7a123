/** A block of code: coloured by its language or by its tokens' drafters, with a button that copies. */

import { memo } from 'preact/compat';
import { useEffect, useRef, useState } from 'preact/hooks';
import { copyText } from '../data/browser.js';
import { type Highlight, highlight } from '../lib/highlight.js';
import { IconButton } from './icons.js';
import { MarkedText, type Marks } from './marked-text.js';

interface CodeProps {
  readonly code: string;
  readonly language: string;
  /** Where the code stands in the text. */
  readonly at: number | undefined;
  readonly marks: Marks;
  /** No more of it can come. */
  readonly closed: boolean;
}

/** A new colouring waits so many times as long as the last one took. */
const patience = 12;

export function Code({ code, language, at, marks, closed }: CodeProps) {
  const known = useRef<{ code: string; lines: readonly Highlight[]; nextAt: number }>(undefined);
  let before = known.current;
  const now = performance.now();
  if (before === undefined || (before.code !== code && (closed || now >= before.nextAt))) {
    const lines = highlight(code, language);
    const took = performance.now() - now;
    before = { code, lines, nextAt: now + Math.max(80, took * patience) };
    known.current = before;
  }
  const lines = code.split('\n');
  let offset = 0;
  return (
    <figure class="code">
      <figcaption>
        <span>{language || 'text'}</span>
        <Copy text={code} />
      </figcaption>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard */}
      <pre tabIndex={0}>
        <code>
          {lines.map((line, index) => {
            const start = offset;
            offset += line.length + 1;
            const last = index === lines.length - 1;
            const coloured = before.lines[index];
            const fits = coloured !== undefined && coloured.text === line;
            return (
              <Line
                key={index}
                text={last ? line : `${line}\n`}
                highlight={fits ? coloured : undefined}
                at={at === undefined ? undefined : at + start}
                marks={marks}
                covered={marks.shown && at !== undefined ? covered(marks, at + start, line) : 0}
              />
            );
          })}
        </code>
      </pre>
    </figure>
  );
}

/** How much of a line has tokens: changes exactly when its marks do. */
function covered({ runs }: Marks, at: number, line: string): number {
  return Math.min(line.length + 1, Math.max(0, runs.length - at));
}

interface LineProps {
  readonly text: string;
  readonly highlight: Highlight | undefined;
  readonly at: number | undefined;
  readonly marks: Marks;
  readonly covered: number;
}

const Line = memo(
  ({ text, highlight: coloured, at, marks }: LineProps) => {
    if (marks.shown && at !== undefined) return <MarkedText text={text} at={at} marks={marks} />;
    if (coloured === undefined) return <>{text}</>;
    const parts = coloured.parts.map(({ text: piece, name }, index) =>
      name === undefined ? (
        piece
      ) : (
        <span key={index} class={name}>
          {piece}
        </span>
      ),
    );
    return (
      <>
        {parts}
        {text.slice(coloured.text.length)}
      </>
    );
  },
  (a, b) =>
    a.text === b.text &&
    a.covered === b.covered &&
    a.at === b.at &&
    a.marks.shown === b.marks.shown &&
    a.highlight === b.highlight,
);

/** Says for a moment that it has copied. */
export function Copy({ text, label = 'Copy' }: { readonly text: string; readonly label?: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1600);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <IconButton
      icon={copied ? 'check' : 'copy'}
      label={copied ? 'Copied' : label}
      onClick={() => void copyText(text).then(setCopied)}
    />
  );
}
