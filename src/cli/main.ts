#!/usr/bin/env node
/** The `paceline` program: runs one command and ends with the exit code of the contract. */
import { CommanderError } from 'commander';
import { reportFailure } from './failure.js';
import { endOnBrokenOutput, flushed } from './output.js';
import { createProgram } from './program.js';

/** Whether the caller asked for JSON, also when the command line as a whole is wrong. */
function wantsJson(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return (end === -1 ? args : args.slice(0, end)).includes('--json');
}

async function main(args: readonly string[]): Promise<number> {
  try {
    await createProgram().parseAsync(args, { from: 'user' });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    if (error instanceof CommanderError && error.code === 'commander.help') return 2;
    return reportFailure(error, wantsJson(args));
  }
}

endOnBrokenOutput();
const code = await main(process.argv.slice(2));
await flushed();
process.exit(code);
