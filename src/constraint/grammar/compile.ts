/**
 * Grammars as languages. Rules call each other as they like, except first thing: a rule that calls
 * itself before any character is refused, as every parser from left to right has to. Knows nothing
 * of tokens but by the texts of special ones.
 */
import { work } from '../core/budget.js';
import type { Language } from '../core/derivatives.js';
import { LEAVE, NOTHING } from '../core/expressions.js';
import { plainCharacters, type Ranges } from '../text/utf8.js';
import { type GrammarRule, grammarError, type Node, parseGrammar } from './syntax.js';

/** The language of the rule `root`, or else of the first one. @throws {PacelineError} `usage` */
export function compileGrammar(
  language: Language,
  source: string,
  mark: (text: string) => number | undefined,
): number {
  const rules = parseGrammar(source);
  return new GrammarCompiler(language, source, rules, mark).root();
}

class GrammarCompiler {
  private readonly byName = new Map<string, { readonly rule: GrammarRule; readonly id: number }>();

  constructor(
    private readonly language: Language,
    private readonly source: string,
    private readonly rules: readonly GrammarRule[],
    private readonly mark: (text: string) => number | undefined,
  ) {
    for (const rule of rules) {
      if (this.byName.has(rule.name))
        throw grammarError(source, rule.at, `the rule '${rule.name}' is defined twice`);
      this.byName.set(rule.name, { rule, id: language.rule() });
    }
  }

  root(): number {
    for (const { rule, id } of this.byName.values()) {
      this.language.define(id, this.language.concat(this.node(rule.body), LEAVE));
    }
    this.refuseLeftRecursion();
    const root = this.byName.get('root') ?? this.byName.get((this.rules[0] as GrammarRule).name);
    return root ? this.language.call(root.id) : NOTHING;
  }

  private node(node: Node): number {
    const { language } = this;
    work();
    switch (node.type) {
      case 'text':
        return language.literal(node.text);
      case 'characters':
        return this.characters(node.ranges);
      case 'rule': {
        const target = this.byName.get(node.name);
        if (!target) throw grammarError(this.source, node.at, `there is no rule '${node.name}'`);
        return language.call(target.id);
      }
      case 'token': {
        const token = this.mark(node.text);
        if (token === undefined) {
          throw grammarError(
            this.source,
            node.at,
            `the vocabulary has no special token '${node.text}'`,
          );
        }
        return token;
      }
      case 'sequence':
        return language.concat(...node.parts.map((part) => this.node(part)));
      case 'either':
        return language.either(node.parts.map((part) => this.node(part)));
      case 'repeat':
        return language.repeat(this.node(node.part), node.least, node.most);
    }
  }

  private characters(ranges: Ranges): number {
    work(32 + 8 * ranges.length);
    const id = plainCharacters(this.language, ranges);
    if (id !== NOTHING) this.language.characterNames.set(id, `plain ${ranges.join(' ')}`);
    return id;
  }

  /** Finds rules that lead back to themselves before anything is taken. */
  private refuseLeftRecursion(): void {
    const nullable = this.nullableRules();
    const starts = new Map<string, ReadonlySet<string>>();
    for (const rule of this.rules) {
      const found = new Set<string>();
      this.firstCalls(rule.body, nullable, found);
      starts.set(rule.name, found);
    }
    // 1: on the way, 2: done.
    const state = new Map<string, number>();
    for (const { name } of this.rules) {
      const stack: { name: string; rest: string[] }[] = [
        { name, rest: [...(starts.get(name) ?? [])] },
      ];
      if (state.has(name)) continue;
      state.set(name, 1);
      while (stack.length > 0) {
        const top = stack[stack.length - 1] as { name: string; rest: string[] };
        const next = top.rest.pop();
        if (next === undefined) {
          state.set(top.name, 2);
          stack.pop();
        } else if (state.get(next) === 1) {
          const at = this.byName.get(next)?.rule.at ?? 0;
          throw grammarError(
            this.source,
            at,
            `the rule '${next}' begins with itself (left recursion)`,
          );
        } else if (!state.has(next)) {
          state.set(next, 1);
          stack.push({ name: next, rest: [...(starts.get(next) ?? [])] });
        }
      }
    }
  }

  private nullableRules(): ReadonlySet<string> {
    const nullable = new Set<string>();
    for (let changed = true; changed; ) {
      changed = false;
      for (const { name, body } of this.rules) {
        if (nullable.has(name) || !isNullable(body, nullable)) continue;
        nullable.add(name);
        changed = true;
      }
    }
    return nullable;
  }

  /** Collects the rules that a node may begin with. */
  private firstCalls(node: Node, nullable: ReadonlySet<string>, found: Set<string>): void {
    work(0.25);
    if (node.type === 'rule') found.add(node.name);
    else if (node.type === 'repeat') this.firstCalls(node.part, nullable, found);
    else if (node.type === 'either')
      for (const part of node.parts) this.firstCalls(part, nullable, found);
    else if (node.type === 'sequence') {
      for (const part of node.parts) {
        this.firstCalls(part, nullable, found);
        if (!isNullable(part, nullable)) return;
      }
    }
  }
}

function isNullable(node: Node, rules: ReadonlySet<string>): boolean {
  work(0.25);
  switch (node.type) {
    case 'text':
      return node.text === '';
    case 'rule':
      return rules.has(node.name);
    case 'sequence':
      return node.parts.every((part) => isNullable(part, rules));
    case 'either':
      return node.parts.some((part) => isNullable(part, rules));
    case 'repeat':
      return node.least === 0 || isNullable(node.part, rules);
    default:
      return false;
  }
}
