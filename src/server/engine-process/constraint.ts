/**
 * From what a request demands of its text to the constraint that the engine enforces. The one place
 * that knows what can be enforced: what can't is refused by name, never ignored.
 */
import { refuseField } from '../internal/failure.js';
import type { TextRequest } from '../internal/request.js';

/** @throws {PacelineError} `usage` naming what can't be enforced. */
export function checkEnforceable(request: TextRequest): void {
  const { format, tools } = request;
  if (format !== undefined) {
    throw refuseField(
      'response_format',
      `This version can't hold a text to ${formatNames[format.type]} yet`,
      'Ask for plain text and check it yourself.',
    );
  }
  if (tools !== undefined && tools.choice.type !== 'none' && tools.definitions.length > 0) {
    throw refuseField(
      'tools',
      "This version can't make tool calls yet",
      'Leave out the tools, or set the tool choice to none.',
    );
  }
}

const formatNames = {
  json: 'JSON',
  'json-schema': 'a JSON schema',
  regex: 'a regular expression',
  grammar: 'a grammar',
  choice: 'a list of choices',
} as const;
