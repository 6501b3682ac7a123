/** Syntax of the usual languages, line by line, as data: nothing here makes HTML. */
import bash from 'highlight.js/lib/languages/bash';
import c from 'highlight.js/lib/languages/c';
import cpp from 'highlight.js/lib/languages/cpp';
import csharp from 'highlight.js/lib/languages/csharp';
import css from 'highlight.js/lib/languages/css';
import diff from 'highlight.js/lib/languages/diff';
import go from 'highlight.js/lib/languages/go';
import ini from 'highlight.js/lib/languages/ini';
import java from 'highlight.js/lib/languages/java';
import javascript from 'highlight.js/lib/languages/javascript';
import json from 'highlight.js/lib/languages/json';
import markdown from 'highlight.js/lib/languages/markdown';
import php from 'highlight.js/lib/languages/php';
import python from 'highlight.js/lib/languages/python';
import ruby from 'highlight.js/lib/languages/ruby';
import rust from 'highlight.js/lib/languages/rust';
import sql from 'highlight.js/lib/languages/sql';
import typescript from 'highlight.js/lib/languages/typescript';
import xml from 'highlight.js/lib/languages/xml';
import yaml from 'highlight.js/lib/languages/yaml';
import { createLowlight } from 'lowlight';

const lowlight = createLowlight({
  bash,
  c,
  cpp,
  csharp,
  css,
  diff,
  go,
  ini,
  java,
  javascript,
  json,
  markdown,
  php,
  python,
  ruby,
  rust,
  sql,
  typescript,
  xml,
  yaml,
});

/** One line, cut into pieces of one class each. */
export interface Highlight {
  readonly text: string;
  readonly parts: readonly { readonly text: string; readonly name: string | undefined }[];
}

/** Longer code stays plain. */
const longest = 60_000;

interface Node {
  readonly type: string;
  readonly value?: string;
  readonly properties?: { readonly className?: unknown };
  readonly children?: readonly Node[];
}

/** The lines of a code; those of unknown languages have no classes. */
export function highlight(code: string, language: string): readonly Highlight[] {
  const known = language !== '' && lowlight.registered(language) && code.length <= longest;
  if (!known) return code.split('\n').map((text) => ({ text, parts: [{ text, name: undefined }] }));
  const lines: { text: string; parts: { text: string; name: string | undefined }[] }[] = [
    { text: '', parts: [] },
  ];
  const visit = (node: Node, name: string | undefined): void => {
    if (node.type === 'text') {
      for (const [index, text] of (node.value ?? '').split('\n').entries()) {
        if (index > 0) lines.push({ text: '', parts: [] });
        const line = lines.at(-1);
        if (line === undefined || text === '') continue;
        line.text += text;
        line.parts.push({ text, name });
      }
      return;
    }
    const { className } = node.properties ?? {};
    const inner = Array.isArray(className) ? className.join(' ') : name;
    for (const child of node.children ?? []) visit(child, inner);
  };
  visit(lowlight.highlight(language, code) as Node, undefined);
  return lines;
}
