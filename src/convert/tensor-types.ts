/**
 * Which type each tensor of a model gets in a mix. The choice is llama.cpp's, tensor for tensor, so
 * that a file made here can stand for one made there: more bits for values and down projections of
 * the layers that suffer most, another type for the head, a coarser block where rows are too short.
 * Pure functions of names, shapes and a few facts about the model; reads no weights.
 */
import { PacelineError } from '../base/errors.js';
import { needsImportance } from '../ggml/row-converter.js';
import { trimShape } from '../ggml/tensor.js';
import { GgmlType, isQuantized, typeName, typeTraits } from '../ggml/types.js';
import type { Mix, MixName } from './mixes.js';
import {
  compareTensorNames,
  kindOf,
  layerIn,
  mayQuantize,
  type TensorKind,
} from './tensor-names.js';

/** What the rules need to know of a model. */
export interface ModelFacts {
  readonly architecture: string;
  readonly layers: number;
  /** 0 in dense models. */
  readonly experts: number;
  readonly heads: number;
  readonly kvHeads: number;
}

export interface TensorFacts {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: GgmlType;
}

/** A type for the tensors whose name holds a match of the pattern. */
export interface TypeOverride {
  readonly pattern: RegExp;
  readonly type: GgmlType;
}

export interface TypeOptions {
  readonly mix: Mix;
  /** The first that matches decides. */
  readonly overrides?: readonly TypeOverride[] | undefined;
  /** All matrices get the mix's own type. */
  readonly pure?: boolean | undefined;
  readonly outputType?: GgmlType | undefined;
  readonly embeddingType?: GgmlType | undefined;
  /** Whether there are importance weights; some rules depend on it. */
  readonly hasImportance?: boolean | undefined;
}

export interface ChosenType extends TensorFacts {
  readonly target: GgmlType;
  /** Set when rows are too short for the blocks of the type that the mix asks for. */
  readonly insteadOf?: GgmlType;
}

const T = GgmlType;

/** The tensors in the order of the file to be written, each with its type. */
export function chooseTypes(
  tensors: Iterable<TensorFacts>,
  model: ModelFacts,
  options: TypeOptions,
): ChosenType[] {
  const ordered = [...tensors].sort((a, b) => compareTensorNames(a.name, b.name));
  const rules = new Rules(ordered, model, options);
  return ordered.map((tensor) => {
    if (!mayQuantize(tensor.name, trimShape(tensor.shape))) {
      return { ...tensor, target: tensor.type };
    }
    const wanted = rules.typeOf(tensor);
    const target = isQuantized(options.mix.type) ? fitting(wanted, tensor) : wanted;
    return target === wanted ? { ...tensor, target } : { ...tensor, target, insteadOf: wanted };
  });
}

/**
 * Refuses types that are of no use without importance weights.
 * @throws {PacelineError} `usage`, naming the first such tensor.
 */
export function requireImportance(
  chosen: readonly ChosenType[],
  mix: Mix,
  hasImportance: (name: string) => boolean,
): void {
  for (const { name, type, target } of chosen) {
    if (target === type || hasImportance(name)) continue;
    // ggml itself ends the process; the others are llama.cpp's judgement.
    const spared = kindOf(name) === 'output' || kindOf(name) === 'embedding';
    const poor = target === T.IQ3_XXS || target === T.IQ2_S || target === T.IQ1_M;
    const coarse = poor || (target === T.Q2_K && mix.name === 'Q2_K_S');
    if (!needsImportance(target) && (spared || !coarse)) continue;
    throw new PacelineError(
      'usage',
      `${mix.name} needs an importance matrix: tensor ${name} would become ${typeName(target)}`,
      {
        hint: 'Make one with `paceline imatrix MODEL --text FILE` and give it as --imatrix.',
        details: { tensor: name, type: typeName(target) },
      },
    );
  }
}

/** The type itself, or what stands in for it when a row is no whole number of its blocks. */
function fitting(type: GgmlType, { name, shape }: TensorFacts): GgmlType {
  const columns = shape[0] ?? 1;
  const fits = (candidate: GgmlType) => columns % typeTraits(candidate).blockSize === 0;
  if (fits(type)) return type;
  const smaller = smallerBlocks.get(type) ?? type;
  if (smaller === type && typeTraits(type).blockSize > 32) {
    throw new PacelineError(
      'unsupported-type',
      `Tensor ${name} has rows of ${columns}, which do not fill blocks of ${typeName(type)}`,
      { hint: 'Choose another type for it with --tensor-type.', details: { tensor: name } },
    );
  }
  return fits(smaller) ? smaller : T.F16;
}

const smallerBlocks = new Map<GgmlType, GgmlType>([
  ...[T.IQ1_S, T.IQ1_M, T.IQ2_XXS, T.IQ2_XS, T.IQ2_S, T.IQ3_XXS, T.IQ3_S, T.IQ4_XS].map(
    (type): [GgmlType, GgmlType] => [type, T.IQ4_NL],
  ),
  ...[T.Q2_0, T.Q2_K, T.Q3_K, T.TQ1_0, T.TQ2_0].map((type): [GgmlType, GgmlType] => [type, T.Q4_0]),
  [T.Q4_K, T.Q5_0],
  [T.Q5_K, T.Q5_1],
  [T.Q6_K, T.Q8_0],
]);

/** Attention values, alone or with what they are fused with. */
const valueKinds: ReadonlySet<TensorKind> = new Set<TensorKind>([
  'attention-v',
  'attention-qkv',
  'attention-kv-b',
]);

const smallest: ReadonlySet<MixName> = new Set<MixName>([
  'IQ1_S',
  'IQ1_M',
  'IQ2_XXS',
  'IQ2_XS',
  'IQ2_S',
  'IQ2_M',
]);

/** Expert matrices in the DS4 mix: what most of the file is made of, and nothing else. */
const ds4Experts: readonly (readonly [part: RegExp, type: GgmlType])[] = [
  [/ffn_(gate|up|gate_up)_exps\.weight$/, T.IQ2_XXS],
  [/ffn_down_exps\.weight$/, T.Q2_K],
  [/(^|[._])(hc|compressor|indexer)[._]/, T.F16],
];

class Rules {
  readonly #model: ModelFacts;
  readonly #options: TypeOptions;
  readonly #mix: MixName;
  /** Whether the token table is the head, too. */
  readonly #tied: boolean;
  readonly #values: number;
  /** How many of a kind were seen before. */
  readonly #seen = { values: 0, up: 0, gate: 0, down: 0 };

  constructor(tensors: readonly TensorFacts[], model: ModelFacts, options: TypeOptions) {
    this.#model = model;
    this.#options = options;
    this.#mix = options.mix.name;
    this.#tied = !tensors.some(({ name }) => name === 'output.weight');
    this.#values = tensors.filter(({ name }) => valueKinds.has(kindOf(name))).length;
  }

  typeOf(tensor: TensorFacts): GgmlType {
    const { mix, overrides = [], pure, outputType, embeddingType } = this.#options;
    const kind = kindOf(tensor.name);
    const override = overrides.find(({ pattern }) => pattern.test(tensor.name))?.type;
    const named = override !== undefined && tensor.name === 'per_layer_token_embd.weight';
    if (kind === 'embedding' && embeddingType !== undefined && !named) return embeddingType;
    if (kind === 'output' && outputType !== undefined) return outputType;
    if (override !== undefined) return override;
    if (pure === true || !isQuantized(mix.type)) return mix.type;
    if (mix.name === 'DS4') {
      return ds4Experts.find(([part]) => part.test(tensor.name))?.[1] ?? mix.type;
    }
    return this.#mixed(tensor, kind);
  }

  #mixed(tensor: TensorFacts, kind: TensorKind): GgmlType {
    if (kind === 'output' || (kind === 'embedding' && this.#tied)) return this.#head(tensor);
    if (this.#mix === 'MXFP4_MOE') {
      const expert = this.#model.architecture !== 'bailingmoe3' || kind.startsWith('ffn-');
      return (tensor.shape[2] ?? 1) > 1 && expert ? T.MXFP4 : T.Q8_0;
    }
    if (kind === 'embedding') return this.#table();
    if (smallest.has(this.#mix)) return this.#small(kind);
    if (valueKinds.has(kind)) return this.#value();
    switch (kind) {
      case 'attention-k':
        return this.#model.experts === 8 ? T.Q8_0 : this.#keyOrQuery();
      case 'attention-q':
        return this.#keyOrQuery();
      case 'attention-output':
        return this.#attentionOutput();
      case 'ffn-down':
        return this.#down(tensor);
      case 'ffn-gate':
        return this.#gateOrUp(this.#layer(tensor, this.#seen.gate++));
      case 'ffn-up':
        return this.#gateOrUp(this.#layer(tensor, this.#seen.up++));
      default:
        return this.#usual;
    }
  }

  get #usual(): GgmlType {
    return this.#options.mix.type;
  }

  #is(...mixes: readonly MixName[]): boolean {
    return mixes.includes(this.#mix);
  }

  get #groups(): number {
    const { heads, kvHeads } = this.#model;
    return kvHeads === 0 ? 0 : Math.floor(heads / kvHeads);
  }

  get #falcon(): boolean {
    return this.#model.architecture === 'falcon';
  }

  /** The place of a tensor among those of its kind; with experts, by the layer in its name. */
  #layer({ name }: TensorFacts, seen: number): number {
    if (this.#model.experts <= 1) return seen;
    const layer = layerIn(name);
    if (layer >= 0 && layer < this.#model.layers) return layer;
    throw new PacelineError(
      'broken-file',
      `Tensor ${name} belongs to no layer from 0 to ${this.#model.layers - 1}`,
      { details: { tensor: name } },
    );
  }

  /** The first and last eighth of the layers, and every third between them. */
  #deservesMore(index: number, count: number): boolean {
    const eighth = Math.floor(count / 8);
    return index < eighth || index >= Math.floor((7 * count) / 8) || (index - eighth) % 3 === 2;
  }

  #head({ shape }: TensorFacts): GgmlType {
    const { outputType } = this.#options;
    if (outputType !== undefined) return outputType;
    const short = (shape[0] ?? 1) % typeTraits(this.#usual).blockSize !== 0;
    if (this.#mix === 'MXFP4_MOE' || this.#falcon || short) return T.Q8_0;
    if (smallest.has(this.#mix) || this.#mix === 'IQ3_XXS') return T.Q5_K;
    return this.#usual === T.Q8_0 ? T.Q8_0 : T.Q6_K;
  }

  #table(): GgmlType {
    if (this.#is('IQ2_XXS', 'IQ2_XS', 'IQ1_S', 'IQ1_M')) return T.Q2_K;
    if (this.#is('IQ2_S', 'IQ2_M', 'IQ3_XXS')) return T.IQ3_S;
    if (this.#is('TQ1_0', 'TQ2_0', 'Q2_0')) return T.Q4_K;
    return this.#usual;
  }

  /** Mixes of two bits and fewer. */
  #small(kind: TensorKind): GgmlType {
    const { experts, layers } = this.#model;
    const better = this.#is('IQ2_S', 'IQ2_M') ? T.IQ3_S : T.Q2_K;
    if (valueKinds.has(kind)) return this.#groups >= 4 || experts >= 4 ? T.Q4_K : better;
    if (kind === 'attention-k' && experts === 8) return T.Q4_K;
    if (kind === 'ffn-down') {
      return this.#seen.down++ < Math.floor(layers / 8) ? better : this.#usual;
    }
    if (kind === 'attention-output') {
      if (experts === 8) return T.Q5_K;
      if (this.#is('IQ1_S', 'IQ1_M')) return T.IQ2_XXS;
      if (this.#is('IQ2_S', 'IQ2_M')) return T.IQ3_S;
    }
    return this.#usual;
  }

  #value(): GgmlType {
    const index = this.#seen.values++;
    let type = this.#plainValue(index);
    // Eight query heads share a value there, so that its matrix is small, and its errors count more.
    if (this.#isSeventyBillion && (type === T.Q3_K || type === T.Q4_K)) type = T.Q5_K;
    return this.#model.experts === 8 ? T.Q8_0 : type;
  }

  #plainValue(index: number): GgmlType {
    const grouped = this.#groups >= 4;
    const { hasImportance } = this.#options;
    switch (this.#mix) {
      case 'Q2_K':
        return grouped ? T.Q4_K : T.Q3_K;
      case 'Q2_K_S':
      case 'IQ3_XS':
      case 'IQ3_S':
        return grouped ? T.Q4_K : this.#usual;
      case 'IQ3_XXS':
        return grouped ? T.Q4_K : hasImportance === true ? T.IQ3_XXS : T.IQ3_S;
      case 'IQ3_M':
        return T.Q4_K;
      case 'Q3_K_M':
        return index < 2 ? T.Q5_K : T.Q4_K;
      case 'Q3_K_L':
        return T.Q5_K;
      case 'IQ4_NL':
      case 'IQ4_XS':
        return grouped ? T.Q5_K : this.#usual;
      case 'Q4_K_M':
      case 'Q5_K_M':
        return this.#deservesMore(index, this.#values) ? T.Q6_K : this.#usual;
      case 'Q4_K_S':
        return index < 4 ? T.Q5_K : this.#usual;
      default:
        return this.#usual;
    }
  }

  get #isSeventyBillion(): boolean {
    const { architecture, layers, heads, kvHeads, experts } = this.#model;
    if (architecture === 'llama') return layers === 80 && heads !== kvHeads && experts !== 8;
    if (architecture === 'jais2') return layers === 68;
    return layers === 80 && ['qwen2', 'deci', 'olmo'].includes(architecture);
  }

  #keyOrQuery(): GgmlType {
    if (this.#mix === 'IQ3_XS') return T.IQ3_XXS;
    return this.#mix === 'IQ3_XXS' ? T.IQ2_S : this.#usual;
  }

  #attentionOutput(): GgmlType {
    if (this.#falcon) return this.#mix === 'Q3_K_L' ? T.Q4_K : this.#usual;
    if (this.#model.experts === 8) {
      const raised = this.#is(
        'Q2_K',
        'IQ3_XS',
        'IQ3_XXS',
        'Q3_K_S',
        'Q3_K_M',
        'IQ4_NL',
        'Q4_K_S',
        'Q4_K_M',
        'IQ3_S',
        'IQ3_M',
        'IQ4_XS',
      );
      return raised ? T.Q5_K : this.#usual;
    }
    switch (this.#mix) {
      case 'Q2_K':
        return T.Q3_K;
      case 'IQ3_XXS':
        return T.IQ3_S;
      case 'Q3_K_M':
      case 'IQ3_M':
        return T.Q4_K;
      case 'Q3_K_L':
        return T.Q5_K;
      default:
        return this.#usual;
    }
  }

  #down(tensor: TensorFacts): GgmlType {
    const { layers, experts } = this.#model;
    const hasImportance = this.#options.hasImportance === true;
    const layer = this.#layer(tensor, this.#seen.down++);
    const first = layer < Math.floor(layers / 8);
    const falcon = this.#falcon;
    const more = this.#deservesMore(layer, layers);
    switch (this.#mix) {
      case 'Q2_K':
        return T.Q3_K;
      case 'Q2_K_S':
        return first ? T.Q4_K : this.#usual;
      case 'IQ3_XXS':
        return hasImportance ? this.#usual : first ? T.Q4_K : T.Q3_K;
      case 'Q3_K_M':
        if (layer < Math.floor(layers / 16)) return T.Q5_K;
        return !falcon || more ? T.Q4_K : T.Q3_K;
      case 'IQ3_M':
        return first || (experts === 8 && more) ? T.Q4_K : this.#usual;
      case 'Q3_K_L':
        return falcon ? T.Q4_K : T.Q5_K;
      case 'Q4_K_M':
        if (falcon) return layer < Math.floor(layers / 16) ? T.Q6_K : more ? T.Q5_K : T.Q4_K;
        return more ? T.Q6_K : this.#usual;
      case 'IQ4_NL':
      case 'IQ4_XS':
        return first && !hasImportance ? T.Q5_K : this.#usual;
      case 'Q5_K_M':
        return more ? T.Q6_K : this.#usual;
      case 'Q4_K_S':
        return first && !falcon ? T.Q5_K : this.#usual;
      // Without importance weights the asymmetric types do worse there.
      case 'Q4_0':
        return first && hasImportance ? T.Q4_1 : this.#usual;
      case 'Q5_0':
        return first && hasImportance ? T.Q5_1 : this.#usual;
      default:
        return this.#usual;
    }
  }

  #gateOrUp(layer: number): GgmlType {
    const { layers } = this.#model;
    const middle = layer >= Math.floor(layers / 8) && layer < Math.floor((7 * layers) / 8);
    return this.#mix === 'IQ3_XS' && middle ? T.IQ3_XXS : this.#usual;
  }
}
