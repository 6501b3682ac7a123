/** Installs a version of the double's engine, to be killed meanwhile. Arguments: address, folder, tag. */

import { installBackend } from '../../../src/backends/install/install.js';
import { engineOf, strixHalo } from './support.js';

const [url = '', data = '', tag = ''] = process.argv.slice(2);
await installBackend(engineOf(tag), {
  ...{ data, machine: strixHalo, endpoint: new URL(url) },
  http: { pauseMs: 1 },
});
