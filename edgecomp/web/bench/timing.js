// The arithmetic of an interleaved run, as in edgecomp/portable/runner.py: how many windows, whose turn, which figures stay.

export const MOST_WINDOWS = 100;
export const MOST_KEPT = 400;
export const SUSTAINED_WINDOW_S = 1;
/** Share of a reading that one step of the clock may be. */
export const STEP_SHARE = 0.02;

/** Return how many windows there are at least, and how often each model runs within one. */
export function schedule(job, typicalS) {
  const names = Object.keys(typicalS);
  const each = (seconds) => Object.fromEntries(names.map((one) => [one, Math.max(1, Math.round(seconds / typicalS[one]))]));
  if (job.sustained_s) {
    return { windows: Math.max(job.windows, Math.floor(job.sustained_s / SUSTAINED_WINDOW_S)), repeats: each(SUSTAINED_WINDOW_S) };
  }
  const slowest = Math.max(...Object.values(typicalS));
  const windows = Math.max(job.windows, Math.min(MOST_WINDOWS, Math.floor(job.seconds / slowest)));
  return { windows, repeats: each(job.seconds / windows) };
}

/** Return how many runs one reading of the clock must span, so that its step does not matter. */
export function batchOf(typicalMs, stepMs) {
  return Math.max(1, Math.ceil(stepMs / (STEP_SHARE * typicalMs)));
}

/** Return the names in a new order; random gives numbers in [0, 1). */
export function shuffled(names, random) {
  const order = [...names];
  for (let last = order.length - 1; last > 0; last -= 1) {
    const other = Math.floor(random() * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}

/** Return a generator of numbers in [0, 1) that repeats itself for one seed: a 32-bit xorshift (Marsaglia 2003). */
export function seeded(seed) {
  let state = (seed * 2654435761 + 1) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Return at most MOST_KEPT of the readings, evenly spaced, to 10 ns. */
export function thinned(readings) {
  const step = Math.max(1, Math.ceil(readings.length / MOST_KEPT));
  return readings.filter((_, index) => index % step === 0).map((ms) => Math.round(ms * 1e5) / 1e5);
}
