/** What a cache of experts has done, in numbers; by itself, for the library's declarations. */

/** What a cache has done so far. */
export interface ExpertStatistics {
  /** Rows of the model's passes. */
  readonly rows: number;
  /** Experts that passes asked for: each once a layer and pass. */
  readonly asked: number;
  /** Of these, those that were in memory. */
  readonly found: number;
  /** Experts that were read. */
  readonly read: number;
  readonly bytesRead: number;
  /** Of these, bytes that were read past the page cache. */
  readonly bytesDirect: number;
  /** Time in which computing waited. */
  readonly waitedMs: number;
  /** Experts that were read before a pass asked for them, and how many of them were then asked for. */
  readonly early: number;
  readonly earlyUsed: number;
  /** Time of a pass that reads early, as a share of one that does not; undefined: not measured. */
  readonly earlyTime: number | undefined;
  /** Layers' passes whose experts did not fit and were computed one after the other. */
  readonly oversized: number;
  /** Experts in memory now. */
  readonly held: number;
  /** Time of reading and repacking, summed over threads. */
  readonly readingMs: number;
}
