/** `paceline tokenize`: text on stdin to token ids, with nothing loaded but the vocabulary. */
import type { Command } from 'commander';
import { addExamples } from '../help.js';
import { readStdin } from '../input.js';
import { print, printJson } from '../output.js';

interface TokenizeFlags {
  /** False with `--no-special`. */
  readonly special: boolean;
  readonly parseSpecial?: boolean;
  readonly pieces?: boolean;
  readonly json?: boolean;
}

/** Declares the command. */
export function defineTokenize(program: Command): void {
  const command = program
    .command('tokenize')
    .summary('text on stdin to token ids')
    .description(
      'Reads text from stdin, exactly as it is, and prints its token ids, separated by spaces.',
    )
    .argument('<model>', 'a path or `default`')
    .option('--no-special', 'add no BOS or EOS')
    .option('--parse-special', 'read names of special tokens in the text as those tokens')
    .option('--pieces', 'one line a token: its id and its text')
    .option('--json', '{"tokens": [ids]} on stdout')
    .action(tokenizeCommand);
  addExamples(
    command,
    ['tokenize default < notes.txt', 'token ids of a file'],
    ['tokenize model.gguf --pieces --no-special < notes.txt', 'one line a token, with its text'],
  );
}

async function tokenizeCommand(model: string, flags: TokenizeFlags): Promise<void> {
  const { openTokenizer } = await import('../model-file.js');
  const tokenizer = await openTokenizer(model);
  const text = await readStdin();
  const tokens = tokenizer.encode(text, {
    addSpecial: flags.special,
    parseSpecial: flags.parseSpecial === true,
  });
  const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
  const piece = (token: number): string => utf8.decode(tokenizer.tokenBytes(token));
  if (flags.json === true) {
    const pieces = tokens.map((token) => piece(token));
    await printJson(flags.pieces === true ? { tokens, pieces } : { tokens });
  } else if (flags.pieces === true) {
    for (const token of tokens) {
      await print(`${token}\t${JSON.stringify(piece(token))}\n`);
    }
  } else {
    await print(`${tokens.join(' ')}\n`);
  }
}
