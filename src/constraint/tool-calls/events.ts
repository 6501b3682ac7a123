/**
 * What a parser of tool calls finds in generated text. Knows no format.
 */
export type ToolCallEvent =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'reasoning'; readonly text: string }
  | { readonly type: 'tool-call-start'; readonly index: number; readonly name: string }
  /** A piece of the arguments as JSON text; the pieces of a call make one object. */
  | { readonly type: 'arguments-delta'; readonly index: number; readonly json: string }
  | {
      readonly type: 'tool-call-end';
      readonly index: number;
      /**
       * The call as it was generated, with its marks and the white space before: texts and calls one
       * after the other are the whole text again.
       */
      readonly raw: string;
      /** False where the text ended, or went wrong, inside of the call. */
      readonly complete: boolean;
    }
  /** Markup of a call without a name: no call, and no text either. */
  | { readonly type: 'malformed'; readonly raw: string };

/** What parsers tell; counts the calls. */
export class CallEvents {
  private events: ToolCallEvent[] = [];
  private calls = -1;
  private open = false;
  /** White space that is text only if more text follows; before a call it belongs to the call. */
  private space = '';
  private lead = '';

  drain(): ToolCallEvent[] {
    const found = this.events;
    this.events = [];
    return found;
  }

  text(text: string): void {
    const all = this.space + text;
    const kept = all.trimEnd();
    this.space = all.slice(kept.length);
    if (kept !== '') this.add('text', kept);
  }

  reasoning(text: string): void {
    this.add('reasoning', text);
  }

  private add(type: 'text' | 'reasoning', text: string): void {
    const last = this.events[this.events.length - 1];
    if (last?.type === type) this.events[this.events.length - 1] = { type, text: last.text + text };
    else this.events.push({ type, text });
  }

  /** The end of the whole text: what was held back is text, unless calls came. */
  finish(): void {
    if (this.calls < 0 && this.space !== '') this.add('text', this.space);
    this.space = '';
  }

  private leave(): void {
    this.lead += this.space;
    this.space = '';
  }

  start(name: string): void {
    this.leave();
    this.open = true;
    this.calls++;
    this.events.push({ type: 'tool-call-start', index: this.calls, name });
  }

  delta(json: string): void {
    if (json !== '') this.events.push({ type: 'arguments-delta', index: this.calls, json });
  }

  /** Ends the call, or reports markup in which none began. */
  end(markup: string, complete: boolean): void {
    this.leave();
    const raw = this.lead + markup;
    this.lead = '';
    if (this.open) this.events.push({ type: 'tool-call-end', index: this.calls, raw, complete });
    else if (markup !== '') this.events.push({ type: 'malformed', raw });
    this.open = false;
  }
}
