/** `paceline bench`: speed on this machine, alone or beside a peer. */
import { type Command, InvalidArgumentError } from 'commander';
import { textKinds, usualKinds } from '../../bench/texts.js';
import { draftKinds } from '../../engine/draft-kinds.js';
import { describeShapes } from '../../synthetic/known-shapes.js';
import type { BenchFlags } from '../bench-command.js';
import { addDeviceFlags, kvOption } from '../generation-flags.js';
import { addExamples } from '../help.js';
import { collect, integer, integers, number, words } from '../numbers.js';

const peers = ['node-llama-cpp'] as const;

function peer(text: string): (typeof peers)[number] {
  const found = peers.find((name) => name === text);
  if (found !== undefined) return found;
  throw new InvalidArgumentError(`The peers are: ${peers.join(', ')}.`);
}

/** Declares the command. */
export function defineBench(program: Command): void {
  const command = program
    .command('bench')
    .summary('measure speed on this machine')
    .description(
      'Measures prefill and decode and reports median, least and most of several runs. With --vs, ' +
        'a peer runs the same file with the same threads, in turns with ours, and ratios above 1 ' +
        'mean that ours is faster; the peer is installed into the cache folder when first needed.',
    )
    .argument('[model]', 'a path or `default`; left out with --shape')
    .option('--prompt <tokens>', 'length of the prompt', integer(1), 512)
    .option('--gen <tokens>', 'tokens to generate', integer(1), 64)
    .option(
      '--batch <counts>',
      'time of a pass over this many tokens, for example 1,2,4,8,16',
      integers(1, 512),
    )
    .option('--draft <kinds>', `drafters to compare: ${draftKinds.join(', ')}`, words(draftKinds))
    .option(
      '--draft-model <file>',
      'with --draft: a GGUF with a drafter; may be repeated (default: NAME-mtp.gguf, ' +
        'NAME-assistant.gguf and NAME-dflash.gguf beside the model)',
      collect,
    )
    .option(
      '--texts <kinds>',
      `with --draft: the kinds of text, of ${textKinds.join(', ')}`,
      words(textKinds),
      [...usualKinds],
    )
    .option('--text <file>', 'with --draft: the prompt, in place of the built-in ones')
    .option('--temp <value>', 'with --draft: temperature', number(0, 100), 0)
    .option('--runs <count>', 'how often to measure each', integer(1, 1000), 5)
    .option(
      '--shape <name>',
      `a model of that shape with random weights, for speed alone: ${describeShapes()}`,
    )
    .option('--type <name>', 'with --shape: type of the weights, or q4_k_m or mxfp4', 'q4_0')
    .option(
      '--pad <shape>',
      'the model with blocks of zeros behind its own, at the cost of that shape: same text, real price',
    )
    .option('--vs <peer>', `compare with: ${peers.join(', ')}`, peer)
    .option('--threads <count>', 'threads that compute', integer(1, 1024))
    .addOption(kvOption())
    .option('--profile', 'print time per kind of operation and layer')
    .option('--json', 'one JSON object on stdout')
    .action(async (model: string | undefined, flags: BenchFlags) => {
      const { benchCommand } = await import('../bench-command.js');
      await benchCommand(model, flags);
    });
  addDeviceFlags(command);
  addExamples(
    command,
    ['bench', 'prefill and decode of the embedded model'],
    ['bench model.gguf --batch 1,2,4,8,16', 'what passes over several tokens cost'],
    ['bench model.gguf --draft none,ngram,auto --temp 0.8', 'what drafters are worth on text'],
    ['bench --shape qwen3-0.6b --vs node-llama-cpp', 'side by side, with random weights'],
  );
}
