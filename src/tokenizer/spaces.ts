/**
 * The clean-up of spaces that the reference's detokenizer does for some models. It changes texts
 * ("a ." becomes "a."), so only `decode` with `compatible` uses it.
 */

const SPACE = 0x20;
const APOSTROPHE = 0x27;
const code = (char: string) => char.charCodeAt(0);
const signs = new Set(['?', '!', '.', ','].map(code));

/** Three passes over UTF-8 bytes, each over what the one before left. */
export function cleanSpaces(bytes: Uint8Array): Uint8Array {
  return joinContractions(joinApostrophes(joinSigns(bytes)));
}

/**
 * Runs over the bytes from the second on. `visit` sees the current byte and the one before it in
 * the pass's input, and says whether the space before goes and whether the next byte goes.
 */
function pass(
  input: Uint8Array,
  visit: (index: number, previous: number) => 'keep' | 'join' | 'join-both',
): Uint8Array {
  const output = new Uint8Array(input.length);
  let length = Math.min(1, input.length);
  output.set(input.subarray(0, length));
  let previous = input[0] ?? 0;
  for (let index = 1; index < input.length; index++) {
    const verdict = visit(index, previous);
    if (verdict !== 'keep') length--;
    previous = input[index] as number;
    output[length++] = previous;
    if (verdict === 'join-both') {
      // A space that was dropped is not dropped again.
      index++;
      previous = 0;
    }
  }
  return output.subarray(0, length);
}

function joinSigns(input: Uint8Array): Uint8Array {
  return pass(input, (index, previous) =>
    previous === SPACE && signs.has(input[index] as number) ? 'join' : 'keep',
  );
}

function joinApostrophes(input: Uint8Array): Uint8Array {
  return pass(input, (index, previous) =>
    input[index] === APOSTROPHE && previous === SPACE && input[index + 1] === SPACE
      ? 'join-both'
      : 'keep',
  );
}

function joinContractions(input: Uint8Array): Uint8Array {
  return pass(input, (index, previous) => {
    if (previous !== SPACE || input[index] !== APOSTROPHE) return 'keep';
    const [first, second] = [input[index + 1], input[index + 2]];
    if (first === code('s') || first === code('m')) return 'join';
    const joined = (first === code('r') || first === code('v')) && second === code('e');
    return joined ? 'join' : 'keep';
  });
}
