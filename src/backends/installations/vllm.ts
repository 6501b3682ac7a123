/** How vLLM is installed: wheels for processors and CUDA, and the portable build for ROCm. */
import type { Installation } from '../descriptor.js';

/** In the order in which they are preferred. */
export const vllmInstallations: readonly Installation[] = [];
