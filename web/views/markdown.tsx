/**
 * Markdown as elements. Parsed blocks become elements one by one, never HTML: what a text holds can't
 * run, load anything or leave its place. A block that has not changed is not drawn again.
 */
import type { Token, Tokens } from 'marked';
import type { ComponentChildren } from 'preact';
import { memo } from 'preact/compat';
import {
  type Block,
  decodeEntities,
  isClosedCode,
  PieceFinder,
  safeLink,
} from '../lib/markdown.js';
import { Code } from './code.js';
import { MarkedText, type Marks } from './marked-text.js';

interface MarkdownProps {
  readonly blocks: readonly Block[];
  readonly marks: Marks;
  /** More may come behind the last block. */
  readonly growing: boolean;
}

export function Markdown({ blocks, marks, growing }: MarkdownProps) {
  // The conversation's own heading is the first level, and none may be skipped.
  let level = 1;
  const levels = blocks.map(({ token }) => {
    const before = level;
    if (token.type === 'heading') level = Math.min(before + 1, (token as Tokens.Heading).depth + 1);
    return before;
  });
  return (
    <div class="markdown">
      {blocks.map((block, index) => (
        <BlockView
          key={block.start}
          block={block}
          marks={marks}
          shown={marks.shown}
          level={levels[index] ?? 1}
          last={growing && index === blocks.length - 1}
        />
      ))}
    </div>
  );
}

interface BlockProps {
  readonly block: Block;
  readonly marks: Marks;
  readonly shown: boolean;
  /** Of the last heading before it. */
  readonly level: number;
  readonly last: boolean;
}

const BlockView = memo(
  ({ block, marks, level, last }: BlockProps) => {
    const finder = new PieceFinder(block.raw, block.start);
    const drawing = new Drawing(finder, marks, { complete: !last, level });
    return <>{drawing.block(block.token)}</>;
  },
  (a, b) => a.block === b.block && a.shown === b.shown && a.last === b.last && a.level === b.level,
);

/** Draws the tokens of one block, in the order in which they stand in its source. */
class Drawing {
  readonly #finder: PieceFinder;
  readonly #marks: Marks;
  readonly #complete: boolean;
  #keys = 0;

  #level: number;

  constructor(
    finder: PieceFinder,
    marks: Marks,
    { complete, level }: { readonly complete: boolean; readonly level: number },
  ) {
    this.#finder = finder;
    this.#marks = marks;
    this.#complete = complete;
    this.#level = level;
  }

  block(token: Token): ComponentChildren {
    switch (token.type) {
      case 'space':
      case 'def':
        return null;
      case 'hr':
        return <hr />;
      case 'heading': {
        const { depth, tokens } = token as Tokens.Heading;
        this.#level = Math.min(this.#level + 1, depth + 1, 6);
        const Level = `h${this.#level}` as 'h2' | 'h3' | 'h4' | 'h5' | 'h6';
        return <Level data-depth={depth}>{this.#inline(tokens)}</Level>;
      }
      case 'paragraph':
        return <p>{this.#inline((token as Tokens.Paragraph).tokens)}</p>;
      case 'code':
        return this.#code(token as Tokens.Code);
      case 'blockquote':
        return <blockquote>{this.#blocks((token as Tokens.Blockquote).tokens)}</blockquote>;
      case 'list':
        return this.#list(token as Tokens.List);
      case 'table':
        return this.#table(token as Tokens.Table);
      case 'text': {
        const { tokens } = token as Tokens.Text;
        return tokens === undefined ? this.#text(token.raw) : this.#inline(tokens);
      }
      default:
        return <p>{this.#text(token.raw.trim())}</p>;
    }
  }

  #blocks(tokens: readonly Token[]): ComponentChildren {
    return tokens.map((token) => this.block(token));
  }

  #code(token: Tokens.Code): ComponentChildren {
    const language = /^\S*/.exec(token.lang ?? '')?.[0]?.toLowerCase() ?? '';
    return (
      <Code
        code={token.text}
        language={language}
        at={this.#finder.find(token.text)}
        marks={this.#marks}
        closed={this.#complete || isClosedCode(token)}
      />
    );
  }

  #list({ ordered, start, items }: Tokens.List): ComponentChildren {
    const entries = items.map((item) => (
      <li key={this.#keys++} class={item.task ? 'task' : undefined}>
        {item.task && (
          <input
            type="checkbox"
            checked={item.checked === true}
            disabled
            aria-label={item.checked ? 'done' : 'to do'}
          />
        )}
        {this.#blocks(item.tokens.filter(({ type }) => type !== 'checkbox'))}
      </li>
    ));
    if (!ordered) return <ul>{entries}</ul>;
    return <ol start={typeof start === 'number' ? start : 1}>{entries}</ol>;
  }

  #table({ header, rows, align }: Tokens.Table): ComponentChildren {
    const side = (index: number): string | undefined => {
      const where = align[index];
      return where == null ? undefined : `align-${where}`;
    };
    return (
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
      <section class="table" tabIndex={0} aria-label="Table">
        <table>
          <thead>
            <tr>
              {header.map(({ tokens }, index) => (
                <th key={this.#keys++} scope="col" class={side(index)}>
                  {this.#inline(tokens)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={this.#keys++}>
                {row.map(({ tokens }, index) => (
                  <td key={this.#keys++} class={side(index)}>
                    {this.#inline(tokens)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    );
  }

  #inline(tokens: readonly Token[]): ComponentChildren {
    return tokens.map((token) => this.#span(token));
  }

  #span(token: Token): ComponentChildren {
    switch (token.type) {
      case 'strong':
        return <strong>{this.#inline((token as Tokens.Strong).tokens)}</strong>;
      case 'em':
        return <em>{this.#inline((token as Tokens.Em).tokens)}</em>;
      case 'del':
        return <del>{this.#inline((token as Tokens.Del).tokens)}</del>;
      case 'br':
        return <br />;
      case 'codespan':
        return <code>{this.#text((token as Tokens.Codespan).text)}</code>;
      case 'link': {
        const { href, tokens } = token as Tokens.Link;
        return link(href, this.#inline(tokens));
      }
      case 'image': {
        // A picture would be a request to another host: whoever wants it can follow the link.
        const { href, text } = token as Tokens.Image;
        return link(href, this.#text(text || href));
      }
      case 'text': {
        const { tokens } = token as Tokens.Text;
        if (tokens !== undefined) return this.#inline(tokens);
        return this.#text(token.raw);
      }
      case 'escape':
        return this.#text((token as Tokens.Escape).text);
      default:
        return this.#text(token.raw);
    }
  }

  /** Lines are found one by one: quotes and lists have marks before them in the source. */
  #text(text: string): ComponentChildren {
    return text.split('\n').map((line, index) => {
      const shown = decodeEntities(line);
      const at = this.#finder.find(line);
      return (
        <>
          {index > 0 && '\n'}
          <MarkedText
            key={this.#keys++}
            text={shown}
            at={shown === line ? at : undefined}
            marks={this.#marks}
          />
        </>
      );
    });
  }
}

function link(address: string, children: ComponentChildren): ComponentChildren {
  const href = safeLink(address);
  if (href === undefined) return <span>{children}</span>;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer">
      {children}
    </a>
  );
}
