/**
 * The models on this machine's disk that a server may take in while it runs. A request names one by an
 * id of the server's own list, which is made anew each time: no request ever names a file, and what is
 * not listed can't be loaded.
 */
import { createHash } from 'node:crypto';
import { PacelineError } from '../base/errors.js';
import type { ListedModel } from '../hub/list.js';
import { type Catalog, servedName } from './catalog.js';
import type { ModelSpec } from './engine-process/models.js';

/** Where the list comes from. */
export interface ModelSource {
  list(): Promise<readonly ListedModel[]>;
  /** Notes that a model is used, and gives the files of the drafters that are remembered of it. */
  use(model: ListedModel): Promise<readonly string[]>;
}

export interface LibraryEntry extends ListedModel {
  /** 16 hexadecimal digits; the same as long as the file stays where it is. */
  readonly id: string;
  /** What the server calls it; undefined while it is not one of the server's. */
  readonly servedAs: string | undefined;
}

export interface LibraryOptions {
  /** Default: nothing is on the disk. */
  readonly source: ModelSource | undefined;
  readonly catalog: Catalog;
  /** Told of each model that the server has from now on. */
  readonly onAdded: (spec: ModelSpec) => void;
}

export class Library {
  readonly #options: LibraryOptions;

  constructor(options: LibraryOptions) {
    this.#options = options;
  }

  /** All models on the disk but drafters, as they are now. @throws as the source */
  async list(): Promise<readonly LibraryEntry[]> {
    const { source, catalog } = this.#options;
    const listed = (await source?.list()) ?? [];
    return listed
      .filter(({ drafter }) => drafter === undefined)
      .map((model) => ({ ...model, id: idOf(model), servedAs: catalog.nameOf(model.path) }));
  }

  /**
   * Makes a listed model one of the server's, and gives the name that requests call it by.
   * @throws {PacelineError} `model-not-found` for an id that is not in the list; as `readGguf` for a
   *   file that can't be read.
   */
  async take(id: string): Promise<string> {
    const { source, catalog, onAdded } = this.#options;
    const model = (await this.list()).find((one) => one.id === id);
    if (source === undefined || model === undefined) {
      throw new PacelineError('model-not-found', `There is no model ${id} on the disk`, {
        hint: 'GET /paceline/v1/library has the ids.',
        details: { param: 'library' },
      });
    }
    if (model.servedAs !== undefined) return model.servedAs;
    const draftModels = await source.use(model);
    const spec = await catalog.add({
      id: servedName(model.aliases[0] ?? model.name),
      path: model.path,
      ...(draftModels.length === 0 ? {} : { draftModels }),
    });
    onAdded(spec);
    return spec.id;
  }
}

function idOf({ path }: ListedModel): string {
  return createHash('sha256').update(path).digest('hex').slice(0, 16);
}
