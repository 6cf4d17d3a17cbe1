// Whether this browser can run the model at all, and on how many threads.

import { ModelError } from "./facts.js";

/** A module of one function that uses a 128-bit vector: only a browser with SIMD takes it for valid. */
const SIMD = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
]);

/** Throw ModelError, in words for people, where models cannot be run here. */
export function checkBrowser(): void {
  if (typeof WebAssembly !== "object") throw new ModelError("this browser has no WebAssembly; use a newer one");
  if (!WebAssembly.validate(SIMD)) {
    throw new ModelError("this browser's WebAssembly has no SIMD; use Chrome 91, Firefox 89, Safari 16.4 or newer");
  }
}

/** Return how many threads may be used of those wished for: more than one needs a cross-origin isolated page. */
export function threadsHere(wished: number): number {
  if (globalThis.crossOriginIsolated !== true) return 1;
  return Math.max(1, Math.min(wished, globalThis.navigator?.hardwareConcurrency ?? 1));
}
