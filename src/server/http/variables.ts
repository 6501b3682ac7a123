/** What every request carries from the first handler on. Types only. */

export interface AppVariables {
  readonly Variables: {
    /** The request's id, the client's own or a fresh one. */
    id: string;
    /** Aborts when the client has gone. */
    gone: AbortController;
  };
}
