/** Experts as GGUF has them, all matrices of a kind as one tensor, from the layouts that checkpoints have. */
import { PacelineError } from '../base/errors.js';
import { type PlannedTensor, wrongShape } from './planned-tensors.js';
import type { SafetensorsTensor } from './safetensors.js';

/** Experts whose matrices a checkpoint has one by one, gathered by the stacks that they belong to. */
export class ExpertStacks {
  readonly #countOf: (stack: string) => number;
  readonly #members = new Map<string, (SafetensorsTensor | undefined)[]>();

  /** @param countOf how many experts a stack has. */
  constructor(countOf: (stack: string) => number) {
    this.#countOf = countOf;
  }

  /** @throws {PacelineError} `wrong-shape` for an expert that the config has no place for. */
  add(stack: string, index: number, tensor: SafetensorsTensor): void {
    if (index >= this.#countOf(stack)) throw wrongShape(`${stack}, expert ${index}`, tensor);
    const members = this.#members.get(stack) ?? [];
    members[index] = tensor;
    this.#members.set(stack, members);
  }

  /** @throws {PacelineError} `missing-tensor`, `wrong-shape`. */
  planned(): PlannedTensor[] {
    return [...this.#members].map(([name, members]) => stacked(name, members, this.#countOf(name)));
  }
}

/** All matrices in one tensor [matrices, out, in], as it is. @throws {PacelineError} `wrong-shape`. */
export function matrixStack(name: string, tensor: SafetensorsTensor): PlannedTensor {
  if (tensor.shape.length !== 3) throw wrongShape(name, tensor);
  return rowsOfAll(name, tensor, 0, tensor.shape[1] ?? 0);
}

/** So many rows of each matrix of a tensor [matrices, out, in], from `first` on. */
function rowsOfAll(
  name: string,
  tensor: SafetensorsTensor,
  first: number,
  rows: number,
): PlannedTensor {
  const [count = 0, allRows = 0, rowLength = 0] = tensor.shape;
  const matrices = Array.from({ length: count }, (_, at) => ({
    tensor,
    firstRow: at * allRows + first,
  }));
  return { name, type: tensor.type, shape: [rowLength, rows, count], matrices, rowLength, rows };
}

/** All experts in one tensor [experts, out, in], gate above up, as transformers 5 saves them. */
export function fusedExperts(
  block: string,
  part: string,
  tensor: SafetensorsTensor,
): PlannedTensor[] {
  if (tensor.shape.length !== 3) throw wrongShape(`${block}.${part}`, tensor);
  if (part === 'down_proj') return [matrixStack(`${block}.ffn_down_exps.weight`, tensor)];
  const half = (tensor.shape[1] ?? 0) / 2;
  if (!Number.isInteger(half)) throw wrongShape(`${block}.${part}`, tensor);
  return [
    rowsOfAll(`${block}.ffn_gate_exps.weight`, tensor, 0, half),
    rowsOfAll(`${block}.ffn_up_exps.weight`, tensor, half, half),
  ];
}

/**
 * The experts of a layer, one matrix each, as one stack of `count`.
 * @throws {PacelineError} `missing-tensor`, `wrong-shape`.
 */
function stacked(
  name: string,
  members: readonly (SafetensorsTensor | undefined)[],
  count: number,
): PlannedTensor {
  const [first] = members;
  const all = Array.from({ length: count }, (_, index) => {
    const tensor = members[index];
    if (first === undefined || tensor === undefined) {
      throw new PacelineError('missing-tensor', `Expert ${index} of ${name} is missing`, {
        hint: 'A shard of the checkpoint is missing; download it again.',
        details: { tensor: name, expert: index },
      });
    }
    const same = tensor.type === first.type && String(tensor.shape) === String(first.shape);
    if (!same || tensor.shape.length !== 2) throw wrongShape(name, tensor);
    return { tensor, firstRow: 0 };
  });
  const { type, shape } = first as SafetensorsTensor;
  const [rows = 1, rowLength = 1] = shape;
  return { name, type, shape: [rowLength, rows, count], matrices: all, rowLength, rows };
}
