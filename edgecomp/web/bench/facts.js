// What this browser is and can do, as far as a page may know; what it may not know is null.

/** A module of one function that uses a 128-bit vector: only a browser with SIMD takes it for valid. */
const SIMD = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
]);

/** Say what lacks for running models here: {simd, threads, missing}; missing is "" where they can be run. */
export function canDo(scope = globalThis) {
  const wasm = typeof scope.WebAssembly === "object";
  const simd = wasm && scope.WebAssembly.validate(SIMD);
  let missing = "";
  if (!wasm) missing = "it has no WebAssembly";
  else if (!simd) missing = "its WebAssembly has no SIMD; use Chrome 91, Firefox 89, Safari 16.4 or newer";
  return { simd, threads: wasm && scope.crossOriginIsolated === true, missing };
}

/** Return the smallest step of this page's clock in ms: the least difference of two readings that differ. */
export function clockStepMs(now = () => performance.now(), steps = 40) {
  let least = Infinity;
  for (let step = 0; step < steps; step += 1) {
    const before = now();
    let after = before;
    while (after === before) after = now();
    least = Math.min(least, after - before);
  }
  return Math.round(least * 1e6) / 1e6;
}

/** Describe this browser. */
export async function facts() {
  const told = navigator.userAgentData
    ? await navigator.userAgentData.getHighEntropyValues(["model", "platformVersion", "architecture", "fullVersionList"])
    : {};
  const battery = await now();
  return {
    user_agent: navigator.userAgent,
    model: told.model || null,
    platform: told.platform ? `${told.platform} ${told.platformVersion ?? ""}`.trim() : null,
    isa: told.architecture || null,
    brands: (told.fullVersionList ?? []).map((one) => `${one.brand} ${one.version}`),
    cores: navigator.hardwareConcurrency ?? null,
    ram_bytes_about: navigator.deviceMemory ? navigator.deviceMemory * 2 ** 30 : null,
    isolated: globalThis.crossOriginIsolated === true,
    clock_step_ms: clockStepMs(),
    ...canDo(),
    battery,
  };
}

/** Return the battery as it is now, or null where the page may not know. */
export async function now() {
  if (!navigator.getBattery) return null;
  try {
    const battery = await navigator.getBattery();
    return { percent: Math.round(battery.level * 100), charging: battery.charging };
  } catch {
    return null;
  }
}

/**
 * Watch which WebAssembly memories come to be from now on; returns a function that says how many bytes they have now.
 *
 * A runtime keeps itself, the model and all tensors there. A memory never shrinks, so what it has is the most it held.
 */
export function watchHeap(scope = globalThis) {
  const seen = new Set();
  const note = (things) => {
    for (const one of Object.values(things ?? {})) {
      if (one instanceof scope.WebAssembly.Memory) seen.add(one);
    }
  };
  for (const name of ["instantiate", "instantiateStreaming"]) {
    const original = scope.WebAssembly[name];
    scope.WebAssembly[name] = async (source, imports) => {
      const made = await original.call(scope.WebAssembly, source, imports);
      Object.values(imports ?? {}).forEach(note);
      note((made.instance ?? made).exports);
      return made;
    };
  }
  return () => [...seen].reduce((sum, one) => sum + one.buffer.byteLength, 0);
}
