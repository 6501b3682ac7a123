/** What the routes need of whoever runs texts. */
import type { TextEvent } from '../../chat/events.js';
import type { TextRequest } from '../../chat/request.js';

export interface TextSource {
  /** Events as they come, as many at once as there are. @throws {PacelineError} what goes wrong */
  run(
    request: TextRequest,
    options: { readonly signal: AbortSignal; readonly client?: string },
  ): AsyncGenerator<readonly TextEvent[], void>;
}
