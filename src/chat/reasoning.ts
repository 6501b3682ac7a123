/**
 * Tells thought from answer in the text of models that write both, by the marks that their chat
 * template names. Works on text in pieces; a part of a mark is never shown. Knows no dialect.
 */

export interface ReasoningMarks {
  readonly open: string;
  readonly close: string;
}

const known: readonly ReasoningMarks[] = [
  { open: '<think>', close: '</think>' },
  { open: '[THINK]', close: '[/THINK]' },
  { open: '<seed:think>', close: '</seed:think>' },
  { open: '<|channel>thought\n', close: '<channel|>' },
];

/** The marks that a chat template writes or looks for; undefined: the model does not think apart. */
export function reasoningMarks(template: string): ReasoningMarks | undefined {
  return known.find(({ close }) => template.includes(close));
}

/** Whether a prompt ends inside a thought that it has opened. */
export function opensReasoning(promptEnd: string, marks: ReasoningMarks): boolean {
  return promptEnd.trimEnd().endsWith(marks.open);
}

export interface ReasoningPiece {
  readonly type: 'text' | 'reasoning';
  readonly text: string;
}

export class ReasoningSplitter {
  readonly #marks: ReasoningMarks;
  /** Before the first word, inside the thought, after it: white space, and the answer. */
  #state: 'start' | 'thought' | 'after' | 'answer';
  #held = '';

  constructor(marks: ReasoningMarks, options: { readonly opened: boolean }) {
    this.#marks = marks;
    this.#state = options.opened ? 'thought' : 'start';
  }

  get inThought(): boolean {
    return this.#state === 'thought';
  }

  /** Whether the answer has begun, so that no thought can come any more. */
  get answers(): boolean {
    return this.#state === 'answer';
  }

  /** Ends the thought as if its mark had come; for a budget that is used up. */
  close(): ReasoningPiece[] {
    const held = this.#held;
    this.#held = '';
    this.#state = 'after';
    return held === '' ? [] : [{ type: 'reasoning', text: held }];
  }

  push(piece: string): ReasoningPiece[] {
    if (this.#state === 'answer') return piece === '' ? [] : [{ type: 'text', text: piece }];
    let text = this.#held + piece;
    this.#held = '';
    const pieces: ReasoningPiece[] = [];
    if (this.#state === 'start') {
      const { open } = this.#marks;
      const begin = text.trimStart();
      if (open.startsWith(begin.slice(0, open.length)) && begin.length < open.length) {
        this.#held = text;
        return [];
      }
      if (!begin.startsWith(open)) {
        this.#state = 'answer';
        return [{ type: 'text', text }];
      }
      this.#state = 'thought';
      text = begin.slice(open.length);
    }
    if (this.#state === 'thought') {
      const { close } = this.#marks;
      const at = text.indexOf(close);
      if (at < 0) {
        const hold = suffixThatBegins(text, close);
        this.#held = text.slice(text.length - hold);
        const shown = text.slice(0, text.length - hold);
        return shown === '' ? [] : [{ type: 'reasoning', text: shown }];
      }
      if (at > 0) pieces.push({ type: 'reasoning', text: text.slice(0, at) });
      this.#state = 'after';
      text = text.slice(at + close.length);
    }
    // Line breaks between thought and answer belong to neither.
    const answer = text.trimStart();
    if (answer === '') return pieces;
    this.#state = 'answer';
    pieces.push({ type: 'text', text: answer });
    return pieces;
  }

  /** What was held back, at the end of the text. */
  flush(): ReasoningPiece[] {
    const text = this.#held;
    this.#held = '';
    if (text === '') return [];
    return [{ type: this.#state === 'thought' ? 'reasoning' : 'text', text }];
  }
}

/** Length of the longest suffix of `text` that is a proper beginning of `mark`. */
function suffixThatBegins(text: string, mark: string): number {
  for (let size = Math.min(mark.length - 1, text.length); size > 0; size--) {
    if (text.endsWith(mark.slice(0, size))) return size;
  }
  return 0;
}
