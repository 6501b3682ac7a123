/**
 * A language and a vocabulary as the constraint of a text: the state is one integer, so that a copy
 * costs nothing. Knows nothing of how the language was described.
 */
import { PacelineError } from '../../base/errors.js';
import { type Constraint, maskAllows, type TokenMask } from '../constraint.js';
import { exhausted, withWork } from '../core/budget.js';
import type { Language } from '../core/derivatives.js';
import { NOTHING } from '../core/expressions.js';
import { FIRST_SPECIAL } from '../core/symbols.js';
import type { MaskMaker } from './masks.js';
import type { VocabularyIndex } from './vocabulary-index.js';

/** What all texts of one constraint share. */
export class ConstraintMachine {
  /** Of each state looked at, the only symbol that may come, or -1. */
  private readonly only = new Map<number, number>();

  constructor(
    readonly language: Language,
    readonly vocabulary: VocabularyIndex,
    readonly masks: MaskMaker,
    /** Special tokens that the language names, by symbol. */
    readonly symbols: ReadonlyMap<number, number>,
  ) {}

  /** Answers one question about a text, within the steps that one may take. */
  answer<T>(question: () => T): T {
    const { question: steps } = this.language.limits;
    const exceeded = () => exhausted(`what may come next takes more than ${steps} steps to find`);
    return withWork(steps, exceeded, question);
  }

  /** The only symbol that may follow a state that may not end; -1 where there is a choice. */
  onlySymbol(state: number): number {
    const known = this.only.get(state);
    if (known !== undefined) return known;
    const only = this.findOnly(state);
    this.only.set(state, only);
    return only;
  }

  private findOnly(state: number): number {
    const { language } = this;
    if (language.nullable(state)) return -1;
    let found = -1;
    for (const leader of language.classes.members) {
      if (language.derive(state, leader) === NOTHING) continue;
      if (found !== -1 || !language.classes.isAlone(leader)) return -1;
      found = leader;
    }
    for (const symbol of [FIRST_SPECIAL - 1, ...this.symbols.values()]) {
      if (language.derive(state, symbol) === NOTHING) continue;
      if (found !== -1 || symbol < FIRST_SPECIAL) return -1;
      found = symbol;
    }
    return found;
  }
}

/** After the text's end nothing may come but its end. */
const ENDED = -1;
/** Bytes that are looked ahead for guessing tokens. */
const AHEAD = 256;

export class TokenConstraint implements Constraint {
  private readonly endMask: { mask?: TokenMask } = {};

  constructor(
    private readonly machine: ConstraintMachine,
    private state: number,
  ) {}

  /** Whether the text may end here. */
  get canEnd(): boolean {
    return this.state === ENDED || this.machine.language.nullable(this.state);
  }

  mask(): TokenMask {
    if (this.state !== ENDED) {
      return this.machine.answer(() => this.machine.masks.mask(this.state));
    }
    const { vocabulary } = this.machine;
    this.endMask.mask ??= new Uint32Array(vocabulary.words);
    for (const end of vocabulary.ends) {
      const word = end >>> 5;
      this.endMask.mask[word] = (this.endMask.mask[word] as number) | (1 << (end & 31));
    }
    return this.endMask.mask;
  }

  allows(token: number): boolean {
    const { machine, state } = this;
    if (!Number.isInteger(token) || token < 0 || token >= machine.vocabulary.size) return false;
    if (machine.vocabulary.isEnd(token) && this.canEnd) return true;
    return state !== ENDED && machine.answer(() => machine.masks.after(state, token)) !== NOTHING;
  }

  accept(token: number): void {
    const { machine, state } = this;
    if (state !== ENDED) {
      const next = machine.answer(() => machine.masks.after(state, token));
      if (next !== NOTHING) {
        this.state = next;
        return;
      }
    }
    if (machine.vocabulary.isEnd(token) && this.canEnd) {
      this.state = ENDED;
      return;
    }
    throw new PacelineError('internal', `Token ${token} is not allowed by the constraint`, {
      hint: 'Choose tokens by the mask.',
      details: { token },
    });
  }

  forced(limit: number): readonly number[] {
    return this.machine.answer(() => this.findForced(limit));
  }

  private findForced(limit: number): readonly number[] {
    const { machine } = this;
    const found: number[] = [];
    let { state } = this;
    while (found.length < limit && state !== ENDED && machine.onlySymbol(state) !== -1) {
      const token = onlyToken(machine.masks.mask(state));
      if (token === undefined || !maskAllows(machine.masks.mask(state), token)) break;
      found.push(token);
      state = machine.masks.after(state, token);
    }
    return found;
  }

  likely(limit: number): readonly number[] {
    return this.machine.answer(() => this.findLikely(limit));
  }

  private findLikely(limit: number): readonly number[] {
    const { machine } = this;
    const { language, vocabulary } = machine;
    if (this.state === ENDED || limit <= 0) return [];
    const found: number[] = [];
    let { state } = this;
    while (found.length < limit) {
      const bytes: number[] = [];
      let symbol = machine.onlySymbol(state);
      while (symbol >= 0 && symbol < FIRST_SPECIAL && bytes.length < AHEAD) {
        bytes.push(symbol);
        state = language.derive(state, symbol);
        symbol = machine.onlySymbol(state);
      }
      const special = symbol >= FIRST_SPECIAL;
      const whole = vocabulary.spell(bytes, special, limit - found.length, found);
      if (!special || !whole || found.length >= limit) break;
      const token = [...machine.symbols].find(([, known]) => known === symbol)?.[0];
      if (token === undefined) break;
      found.push(token);
      state = language.derive(state, symbol);
    }
    return found;
  }

  fork(): TokenConstraint {
    return new TokenConstraint(this.machine, this.state);
  }
}

/** The only token of a mask; undefined where there are several or none. */
function onlyToken(mask: TokenMask): number | undefined {
  let found: number | undefined;
  for (let word = 0; word < mask.length; word++) {
    const bits = mask[word] as number;
    if (bits === 0) continue;
    if (found !== undefined || (bits & (bits - 1)) !== 0) return undefined;
    found = word * 32 + (31 - Math.clz32(bits));
  }
  return found;
}
