/** All official clients in one process, since they share a server. */
import './clients/anthropic.js';
import './clients/failures.js';
import './clients/frameworks.js';
import './clients/ollama.js';
import './clients/ollama-tools.js';
import './clients/openai.js';
import './clients/tools.js';
