/** Other names of flags: what people who know another program type. */
import { Option } from 'commander';

/** A flag that sets the value of another one; help does not list it. */
export class AliasOption extends Option {
  readonly #attribute: string;

  /** @param option the flag that this is another name of. */
  constructor(name: string, option: Option) {
    super(option.flags.replace(/^\S+/, name), `the same as ${option.short ?? option.long}`);
    this.#attribute = option.attributeName();
    this.hidden = true;
    if (option.parseArg !== undefined) this.parseArg = option.parseArg;
    if (option.argChoices !== undefined) this.choices(option.argChoices);
  }

  override attributeName(): string {
    return this.#attribute;
  }
}
