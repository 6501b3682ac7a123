/** Step 1 of the set-up: `npm ci`, when what is installed is not what the lock file asks for. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { npmCommand, root, run } from './process.mjs';
import { say, step } from './say.mjs';

function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(join(root, file), 'utf8')).packages ?? {};
  } catch {
    return undefined;
  }
}

/**
 * True when every package that the lock file requires is installed in the version it asks for.
 * npm keeps a copy of the lock file of what it installed; optional packages of other platforms are
 * missing there, so only those that are present are compared.
 */
export function dependenciesAreCurrent() {
  const wanted = packagesOf('package-lock.json');
  const installed = packagesOf('node_modules/.package-lock.json');
  if (wanted === undefined) return existsSync(join(root, 'node_modules'));
  if (installed === undefined) return false;
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '') return true;
    const present = installed[path];
    if (present === undefined) return entry.optional === true || entry.peer === true;
    return present.version === entry.version;
  });
}

/** Installs exactly what the lock file says; install scripts are neither run nor needed. */
export async function installDependencies() {
  if (dependenciesAreCurrent()) return false;
  await step('installing dependencies (npm ci)', async () => {
    const { command, args, shell } = npmCommand();
    const words = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
    const npm = (...more) => run(command, [...args, ...more, ...words], { shell });
    const { code } = await npm('ci');
    if (code === 0) return;
    // Registries that mirror only a part of npm lack packages of other platforms, which `npm ci`
    // may take amiss; `npm install` goes by the same lock file and leaves it as it is.
    say(`npm ci failed with exit code ${code}; trying npm install`);
    const second = await npm('install', '--no-save');
    if (second.code !== 0) throw new Error(`npm install failed with exit code ${second.code}`);
  });
  return true;
}
