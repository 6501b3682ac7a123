/** Names of tensors that have a table of what stands outside of the layers, and one of what is in each. */

export interface LayeredNames {
  /** What stands before a layer's number in the checkpoint: `model.layers`. */
  readonly layers: string;
  readonly outer: ReadonlyMap<string, string>;
  readonly inLayer: ReadonlyMap<string, string>;
}

/**
 * GGUF's name of a tensor; undefined: it is not known.
 * @param given the checkpoint's name, which ends in `weight` or `bias`.
 */
export function layeredName(given: string, names: LayeredNames): string | undefined {
  const [, part = '', kind] = /^(.+)\.(weight|bias)$/.exec(given) ?? [];
  const inside = part.startsWith(`${names.layers}.`) ? part.slice(names.layers.length + 1) : '';
  const [, layer, inner = ''] = /^(\d+)\.(.+)$/.exec(inside) ?? [];
  if (layer === undefined) {
    const found = names.outer.get(part);
    return found && `${found}.${kind}`;
  }
  const found = names.inLayer.get(inner);
  return found && `blk.${layer}.${found}.${kind}`;
}
