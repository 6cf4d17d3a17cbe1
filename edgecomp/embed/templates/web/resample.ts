// Change the sample rate as the model was trained with: a linear-phase low-pass without delay, in whole or in pieces.

import { ModelError } from "./facts.js";

/** Of half the lower rate; samples of the lower rate on each side; Kaiser. Fitted to the impulse response of soxr's VHQ. */
const [CUTOFF, HALF, BETA] = [0.9556642, 133.25, 18.43353];
const [LOWEST_HZ, HIGHEST_HZ] = [4_000, 384_000];
const MOST_PHASES = 1_280;

interface Design {
  readonly up: number;
  readonly down: number;
  readonly reach: number;
  readonly table: readonly Float64Array[];
}

/** Resamples a stream: `push` pieces of any size, then `finish`; the same bits however it was cut. */
export class Resampler {
  readonly #design: Design;
  #kept: Float64Array;
  #first: number; // index in the source of the first kept sample; zeros stand before the beginning
  #given = 0;
  #made = 0;

  /** Throws ModelError where the rates cannot be used. */
  constructor(
    readonly sourceHz: number,
    readonly targetHz: number,
  ) {
    this.#design = designed(sourceHz, targetHz);
    this.#kept = new Float64Array(this.#design.reach);
    this.#first = -this.#design.reach;
  }

  /** Take samples at the source's rate; return what is ready at the target's. */
  push(wave: Float32Array): Float32Array {
    if (this.sourceHz === this.targetHz) return wave;
    const { up, down, reach } = this.#design;
    this.#keep(wave);
    this.#given += wave.length;
    return this.#make(Math.ceil(((this.#given - reach - 1) * up) / down));
  }

  /** Return the last samples, with zeros after the end. */
  finish(): Float32Array {
    if (this.sourceHz === this.targetHz) return new Float32Array(0);
    this.#keep(new Float32Array(this.#design.reach + 2));
    return this.#make(Math.floor((2 * this.#given * this.targetHz + this.sourceHz) / (2 * this.sourceHz)));
  }

  #keep(wave: Float32Array): void {
    const longer = new Float64Array(this.#kept.length + wave.length);
    longer.set(this.#kept);
    longer.set(wave, this.#kept.length);
    this.#kept = longer;
  }

  /** Return the outputs from the next one to `end`, and forget the sources that no later one needs. */
  #make(end: number): Float32Array {
    const { up, down, reach, table } = this.#design;
    const made = new Float32Array(Math.max(0, end - this.#made));
    for (let row = 0; row < made.length; row += 1, this.#made += 1) {
      const at = this.#made * down;
      const taps = table[at % up]!;
      const from = Math.floor(at / up) - reach - this.#first;
      let total = 0;
      for (let tap = 0; tap < taps.length; tap += 1) total += taps[tap]! * this.#kept[from + tap]!;
      made[row] = total;
    }
    const spare = Math.min(Math.floor((this.#made * down) / up) - reach - this.#first, this.#kept.length);
    if (spare > 0) {
      this.#kept = this.#kept.slice(spare);
      this.#first += spare;
    }
    return made;
  }
}

/** Resample a whole recording. */
export function resample(wave: Float32Array, sourceHz: number, targetHz: number): Float32Array {
  const one = new Resampler(sourceHz, targetHz);
  return joined(one.push(wave), one.finish());
}

/** Return two pieces as one. */
export function joined(first: Float32Array, second: Float32Array): Float32Array {
  if (first.length === 0) return second;
  if (second.length === 0) return first;
  const whole = new Float32Array(first.length + second.length);
  whole.set(first);
  whole.set(second, first.length);
  return whole;
}

const designs = new Map<string, Design>();

function designed(sourceHz: number, targetHz: number): Design {
  for (const rate of [sourceHz, targetHz]) {
    if (!Number.isInteger(rate) || rate < LOWEST_HZ || rate > HIGHEST_HZ) {
      throw new ModelError(`a sample rate of ${rate} Hz cannot be used; allowed: ${LOWEST_HZ} to ${HIGHEST_HZ}`);
    }
  }
  const key = `${sourceHz} ${targetHz}`;
  let found = designs.get(key);
  if (found === undefined) {
    found = design(sourceHz, targetHz);
    designs.set(key, found);
  }
  return found;
}

function design(sourceHz: number, targetHz: number): Design {
  const shared = divisor(sourceHz, targetHz);
  const [up, down, low] = [targetHz / shared, sourceHz / shared, Math.min(sourceHz, targetHz)];
  if (up === down) return { up: 1, down: 1, reach: 0, table: [] };
  if (up > MOST_PHASES) {
    throw new ModelError(
      `${sourceHz} Hz cannot be resampled to ${targetHz} Hz in ${MOST_PHASES} phases; ` +
        "record at 8000, 16000, 22050, 32000, 44100 or 48000 Hz",
    );
  }
  const half = (HALF * sourceHz) / low;
  const cut = (CUTOFF * low) / sourceHz;
  const reach = Math.floor(half);
  const highest = bessel(BETA);
  const weight = (away: number): number => {
    if (Math.abs(away) > half) return 0;
    const angle = Math.PI * cut * away;
    const sinc = angle === 0 ? 1 : Math.sin(angle) / angle;
    return (cut * sinc * bessel(BETA * Math.sqrt(Math.max(0, 1 - (away / half) ** 2)))) / highest;
  };
  const table = Array.from({ length: up }, (_, phase) =>
    Float64Array.from({ length: 2 * reach + 2 }, (_, tap) => weight(tap - reach - phase / up)),
  );
  return { up, down, reach, table };
}

/** The modified Bessel function of order 0, by its power series (Abramowitz and Stegun, 9.6.10). */
function bessel(x: number): number {
  const quarter = (x * x) / 4;
  let [total, term] = [1, 1];
  for (let order = 1; term > total * 1e-17; order += 1) {
    term *= quarter / (order * order);
    total += term;
  }
  return total;
}

function divisor(one: number, other: number): number {
  return other === 0 ? one : divisor(other, one % other);
}
