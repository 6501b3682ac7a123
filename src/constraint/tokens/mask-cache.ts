/**
 * Masks of states, kept up to a number of bytes; the oldest go first. Also the tokens that consist of
 * some kind of character alone, which many constraints share. Knows nothing of how masks are made.
 */
import type { TokenMask } from '../constraint.js';
import type { CharacterTokens } from './character-tokens.js';

/** Kinds of characters that are kept besides the common ones: some megabytes each. */
const KINDS = 12;

export class MaskCache {
  private readonly masks = new Map<number, Map<number, TokenMask>>();
  private readonly order = new Map<string, number>();
  private readonly characters = new Map<string, CharacterTokens>();
  private bytes = 0;
  private owners = 0;

  constructor(
    private readonly limit: number,
    /** Tokens of the common kinds of characters, by name. */
    private readonly common: ReadonlyMap<string, CharacterTokens>,
  ) {}

  /** Tokens of one kind of character: of the common ones, or made, and kept for a while. */
  charactersOf(name: string, make: () => CharacterTokens): CharacterTokens {
    let found = this.common.get(name) ?? this.characters.get(name);
    if (found) return found;
    found = make();
    this.characters.set(name, found);
    for (const oldest of this.characters.keys()) {
      if (this.characters.size <= KINDS) break;
      this.characters.delete(oldest);
    }
    return found;
  }

  /** A number under which one constraint keeps its masks. */
  register(): number {
    return this.owners++;
  }

  get memory(): number {
    return this.bytes;
  }

  get(owner: number, state: number): TokenMask | undefined {
    return this.masks.get(owner)?.get(state);
  }

  set(owner: number, state: number, mask: TokenMask): void {
    let own = this.masks.get(owner);
    if (!own) {
      own = new Map();
      this.masks.set(owner, own);
    }
    own.set(state, mask);
    const key = `${owner} ${state}`;
    this.order.set(key, mask.byteLength);
    this.bytes += mask.byteLength;
    // The oldest go first; a mask that is still in use is only computed again.
    for (const [oldest, size] of this.order) {
      if (this.bytes <= this.limit || oldest === key) break;
      const [of = '', at = ''] = oldest.split(' ');
      const masks = this.masks.get(Number(of));
      masks?.delete(Number(at));
      if (masks?.size === 0) this.masks.delete(Number(of));
      this.order.delete(oldest);
      this.bytes -= size;
    }
  }
}
