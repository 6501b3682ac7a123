/** The tests whose answers may come from another engine: `npm run test:backends` runs these over each. */
import './anthropic.js';
import './frameworks.js';
import './ollama.js';
import './openai.js';
import './tools.js';
