/** Ways to choose the experts that are kept. */
export const selectionMethods = ['layerwise', 'easy-ep', 'global', 'random'] as const;
export type SelectionMethod = (typeof selectionMethods)[number];
