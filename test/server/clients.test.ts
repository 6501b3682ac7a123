/** All official clients in one process, since they share a server. */
import './clients/failures.js';
import './clients/ollama-tools.js';
import './clients/over-backends.js';
import './clients/pings.js';
