/** How weights are stored here unless somebody asks otherwise. */
import { nativeKernels } from './native/library.js';
import { panelLayout } from './native/panels.js';
import { ggmlLayout, type WeightLayout } from './weight.js';

/** Layouts in order of preference: our panels where the kernels run, else the file's own. */
export function preferredLayouts(): readonly WeightLayout[] {
  const { kernels } = nativeKernels();
  return kernels === undefined ? [ggmlLayout] : [panelLayout(kernels), ggmlLayout];
}
