/** All commands and what they have in common: help, exit codes, what counts as wrong usage. */
import { Command, type CommanderError } from 'commander';
import { packageVersion } from '../base/package-version.js';
import { defineBackends } from './commands/backends.js';
import { defineBench } from './commands/bench.js';
import { defineCache } from './commands/cache.js';
import { defineChat } from './commands/chat.js';
import { defineCompletion } from './commands/completion.js';
import { defineConnect } from './commands/connect.js';
import { defineConvert } from './commands/convert.js';
import { defineDetokenize } from './commands/detokenize.js';
import { defineDevices } from './commands/devices.js';
import { defineDraft } from './commands/draft.js';
import { defineEmbed } from './commands/embed.js';
import { defineExperts } from './commands/experts.js';
import { defineFeatures } from './commands/features.js';
import { defineHelp } from './commands/help.js';
import { defineImatrix } from './commands/imatrix.js';
import { defineInspect } from './commands/inspect.js';
import { defineLs } from './commands/ls.js';
import { definePerplexity } from './commands/perplexity.js';
import { definePs } from './commands/ps.js';
import { definePull } from './commands/pull.js';
import { defineQuantize } from './commands/quantize.js';
import { defineRank } from './commands/rank.js';
import { defineRm } from './commands/rm.js';
import { defineRun } from './commands/run.js';
import { defineServe } from './commands/serve.js';
import { defineShow } from './commands/show.js';
import { defineStart } from './commands/start.js';
import { defineTokenize } from './commands/tokenize.js';
import { defineVerify } from './commands/verify.js';
import { exitCodes, refusedBy } from './failure.js';
import { optionText } from './help.js';

/** Variables that the program reads. */
export const environment: readonly (readonly [name: string, meaning: string])[] = [
  [
    'PACELINE_CPU',
    'force one path of the native kernels: amx, avx512vbmi, avx512, avxvnni, avx2, neon or scalar',
  ],
  [
    'PACELINE_PACKAGES',
    'a folder whose node_modules is searched too for libraries of graphics cards',
  ],
  ['PACELINE_API_KEY', 'a key of `serve`, and the one that `ps` sends'],
  [
    'PACELINE_UPSTREAM_KEY',
    'the key of engines that `serve --upstream` and `verify --backend` ask',
  ],
  ['PACELINE_LLAMA_SERVER', 'the program of `serve --backend llama-server`; default: in PATH'],
  ['PACELINE_CACHE', 'folder of the KV cache; off: none is kept'],
  ['PACELINE_DEBUG', 'print stacks of errors'],
  ['PACELINE_RELEASES', 'a mirror of GitHub’s API, where archives of backends are listed'],
  ['NO_COLOR', 'no colours'],
  ['HF_TOKEN', 'token for Hugging Face; otherwise the file `token` in HF_HOME'],
  ['HF_ENDPOINT', 'another hub (default: https://huggingface.co)'],
  ['HF_HOME, HF_HUB_CACHE', 'where Hugging Face’s cache is (default: ~/.cache/huggingface)'],
  ['HF_HUB_OFFLINE', '1: ask the hub for nothing'],
  ['HTTPS_PROXY, HTTP_PROXY, NO_PROXY', 'proxies for downloads'],
];

function columns(rows: readonly (readonly [number | string, string])[]): string {
  const width = Math.max(...rows.map(([key]) => String(key).length));
  return rows.map(([key, text]) => `  ${String(key).padEnd(width)}  ${text}`).join('\n');
}

/** Every command, the hidden ones too, throws instead of ending the process. */
function throwInsteadOfExit(command: Command, above: readonly string[] = []): void {
  const words = [...above, command.name()];
  command.exitOverride((error: CommanderError) => {
    throw refusedBy(error, words.join(' '));
  });
  command.configureOutput({ outputError: () => {} });
  for (const child of command.commands) throwInsteadOfExit(child, words);
}

/** The command line; `parseAsync` throws `CommanderError` for wrong usage. */
export function createProgram(): Command {
  const program = new Command('paceline')
    .description(
      'Text from language models on your own machine: more tokens from the same hardware, ' +
        'and never a different one.',
    )
    .version(packageVersion(), '-V, --version')
    .showSuggestionAfterError(true)
    .helpCommand(false)
    .configureHelp({ optionDescription: optionText })
    .addHelpText(
      'after',
      '\nA model is a path to a GGUF file, `default` (the embedded one), hf:owner/repo[:quant or file], ' +
        'or a name from `paceline ls`.\n' +
        '`paceline help COMMAND` shows the flags of a command, with examples.\n\n' +
        `Exit codes:\n${columns(exitCodes)}\n\nEnvironment:\n${columns(environment)}`,
    );
  defineRun(program);
  defineServe(program);
  defineChat(program);
  definePs(program);
  defineConnect(program);
  defineBackends(program);
  definePull(program);
  defineLs(program);
  defineShow(program);
  defineRm(program);
  defineCache(program);
  defineTokenize(program);
  defineDetokenize(program);
  defineEmbed(program);
  defineRank(program);
  defineInspect(program);
  defineDevices(program);
  defineBench(program);
  defineVerify(program);
  defineConvert(program);
  defineQuantize(program);
  defineImatrix(program);
  definePerplexity(program);
  defineExperts(program);
  defineFeatures(program);
  defineDraft(program);
  defineCompletion(program);
  defineHelp(program);
  defineStart(program);
  throwInsteadOfExit(program);
  return program;
}
