/** How SGLang is installed. */
import type { Installation } from '../descriptor.js';

/** In the order in which they are preferred. */
export const sglangInstallations: readonly Installation[] = [];
