/** Opens an address in the user's browser, where there is one. */
import { spawn } from 'node:child_process';

/** The program that opens addresses here; undefined where nobody could see them. */
function opener(): readonly [command: string, ...args: string[]] | undefined {
  if (process.platform === 'darwin') return ['open'];
  if (process.platform === 'win32') return ['cmd', '/c', 'start', ''];
  const { DISPLAY, WAYLAND_DISPLAY } = process.env;
  return DISPLAY || WAYLAND_DISPLAY ? ['xdg-open'] : undefined;
}

/** Asks the system to open the address; false where it can't. Never waits for the browser. */
export function openBrowser(address: string): Promise<boolean> {
  const [command, ...args] = opener() ?? [];
  if (command === undefined) return Promise.resolve(false);
  return new Promise((resolve) => {
    const child = spawn(command, [...args, address], { stdio: 'ignore', detached: true });
    child.once('error', () => resolve(false));
    child.once('spawn', () => {
      child.unref();
      resolve(true);
    });
  });
}
