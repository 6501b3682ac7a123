/** Engines that are killed 50 times; `npm run test:backends` does the same with llama-server. */
import './killed-engines.js';
