/** What all kinds of tokenizers do with the text between special tokens. Types only. */

/** Encodes one fragment of plain, well-formed text. */
export interface FragmentEncoder {
  /** @param afterSpecial the fragment is the first of a text or follows a special token */
  encode(text: string, afterSpecial: boolean, output: number[]): void;
}
