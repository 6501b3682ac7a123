/** Where an engine of ours can listen. */
import { createServer } from 'node:net';
import { PacelineError } from '../../base/errors.js';

/** A port of loopback that is free now. @throws {PacelineError} `io` */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') {
    throw new PacelineError('io', 'No port is free');
  }
  return address.port;
}
