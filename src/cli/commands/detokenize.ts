/** `paceline detokenize`: token ids to text, the inverse of `tokenize`. */
import type { Command } from 'commander';
import { PacelineError } from '../../base/errors.js';
import { addExamples } from '../help.js';
import { readStdin } from '../input.js';
import { print, printJson } from '../output.js';

interface DetokenizeFlags {
  /** False with `--no-special`. */
  readonly special: boolean;
  readonly showSpecial?: boolean;
  readonly json?: boolean;
}

/** Declares the command. */
export function defineDetokenize(program: Command): void {
  const command = program
    .command('detokenize')
    .summary('token ids to text')
    .description(
      'Prints the text of token ids: from the arguments, or from stdin as numbers or as the JSON ' +
        'of `tokenize --json`. A BOS and EOS that `tokenize` adds are left out again.',
    )
    .argument('<model>', 'a path or `default`')
    .argument('[ids...]', 'token ids')
    .option('--no-special', 'the ids were made with `tokenize --no-special`: leave nothing out')
    .option('--show-special', 'write special tokens as their names instead of leaving them out')
    .option('--json', '{"text": ...} on stdout')
    .action(detokenizeCommand);
  addExamples(
    command,
    ['detokenize default 64 65', 'ids as arguments'],
    ['detokenize model.gguf --json < tokens.json', 'what tokenize --json printed'],
  );
}

/**
 * Token ids in a text: numbers with spaces or commas between them, a JSON list, or `{"tokens"}`.
 * @throws {PacelineError} `usage` for anything else.
 */
function parseTokenIds(text: string): number[] {
  const wrong = (what: string): PacelineError =>
    new PacelineError('usage', `Not a token id: ${what}`, {
      hint: 'Give whole numbers, or the JSON that `paceline tokenize --json` prints.',
    });
  const trimmed = text.trim();
  let items: unknown = trimmed.split(/[\s,]+/).filter((word) => word !== '');
  if (trimmed.startsWith('{') || trimmed.startsWith('[')) {
    try {
      items = JSON.parse(trimmed) as unknown;
    } catch (cause) {
      throw new PacelineError('usage', 'The token ids are not valid JSON', {
        hint: 'Give {"tokens": [ids]}, a list, or plain numbers.',
        cause,
      });
    }
    if (typeof items === 'object' && items !== null && 'tokens' in items) items = items.tokens;
  }
  if (!Array.isArray(items)) throw wrong(trimmed.slice(0, 40));
  return items.map((item: unknown) => {
    const word = typeof item === 'number' || typeof item === 'string' ? String(item) : typeof item;
    if (!/^\d{1,10}$/.test(word)) throw wrong(word.slice(0, 40));
    return Number(word);
  });
}

async function detokenizeCommand(
  model: string,
  words: readonly string[],
  flags: DetokenizeFlags,
): Promise<void> {
  const { openTokenizer } = await import('../model-file.js');
  const tokenizer = await openTokenizer(model);
  const tokens = parseTokenIds(words.length > 0 ? words.join(' ') : await readStdin());
  const options = {
    removeSpecial: flags.special && flags.showSpecial !== true,
    unparseSpecial: flags.showSpecial === true,
  };
  if (flags.json === true) await printJson({ text: tokenizer.decode(tokens, options) });
  else await print(tokenizer.decodeBytes(tokens, options));
}
