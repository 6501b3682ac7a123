/** `paceline chat`: the page of a server in the browser; a server is started where none answers. */
import type { Command } from 'commander';
import { endpointUrl, servedModels } from '../../connect/endpoint.js';
import { addExamples } from '../help.js';
import { modelArgument } from '../model-names.js';
import { note, printJson } from '../output.js';

interface ChatFlags {
  readonly url: string;
  readonly apiKey?: string;
  readonly open: boolean;
  readonly json?: boolean;
}

/** Declares the command. */
export function defineChat(program: Command): void {
  const command = program
    .command('chat')
    .summary('chat in the browser')
    .description(
      'Opens the page of the server. Where none answers, one is started with the model and ends ' +
        'with Ctrl-C. All flags of a server are those of `serve`, whose page it is.',
    )
    .argument('[model]', `${modelArgument} (default: the server’s first, or \`default\`)`)
    .option('--url <address>', 'the server', 'http://127.0.0.1:11711')
    .option('--api-key <key>', 'its key; also PACELINE_API_KEY')
    .option('--no-open', 'only say where the page is')
    .option('--json', 'one JSON object on stdout when the page is there: {"page", "opened"}')
    .action(chatCommand);
  addExamples(
    command,
    ['chat', 'with the server that runs, or with the embedded model'],
    ['chat model.gguf', 'with a model of yours'],
  );
}

async function chatCommand(model: string | undefined, flags: ChatFlags): Promise<void> {
  const url = endpointUrl(flags.url);
  const key = flags.apiKey ?? (process.env.PACELINE_API_KEY || undefined);
  const models = await servedModels(url, key);
  if (models !== undefined) {
    const { PacelineError } = await import('../../base/errors.js');
    if (model !== undefined && !models.some(({ id }) => id === model)) {
      throw new PacelineError('model-not-found', `The server on ${url} has no model ${model}`, {
        hint: `It has ${models.map(({ id }) => id).join(', ')}. Give another --url to start one.`,
      });
    }
    await show(pageOf(url, model), flags);
    return;
  }
  const { startServer } = await import('../../connect/launch.js');
  const { hostname, port } = new URL(url);
  const args = [model ?? 'default', '--host', hostname, '--port', port || '80'];
  const env = key === undefined ? {} : { PACELINE_API_KEY: key };
  const server = await startServer(process.argv[1] ?? '', [...args, '--log-format', 'none'], env);
  const stopped = new Promise<void>((resolve) => {
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
  try {
    await show(pageOf(server.url, undefined), flags);
    note('Ctrl-C ends the server');
    await stopped;
  } finally {
    await server.stop();
  }
}

function pageOf(url: string, model: string | undefined): string {
  return model === undefined ? `${url}/` : `${url}/?model=${encodeURIComponent(model)}`;
}

async function show(page: string, { open, json }: ChatFlags): Promise<void> {
  const { openBrowser } = await import('../open-browser.js');
  const opened = open && (await openBrowser(page));
  if (json === true) return printJson({ page, opened });
  note(`${opened ? 'Opened' : 'Page:'} ${page}`);
}
