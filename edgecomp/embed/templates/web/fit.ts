// Which part of a recording the model is asked about: the window is found while the samples come in.

import { ModelError, type Fit } from "./facts.js";
import { joined } from "./resample.js";

/** A stream's centre is known only at its end, so half of it must be kept. */
const CENTRE_LIMIT_S = 600;

/** Crops a stream to the model's length, or sets a shorter one in the middle of zeros. */
export class Window {
  readonly #limit: number;
  #given = 0;
  #kept = new Float32Array(0) as Float32Array; // the last samples; for "start" the first, for "centre" from its window on
  #energy = new Float64Array(1); // running sum of squares before each kept sample and after the last
  #best: { energy: number; wave: Float32Array } | null = null;

  constructor(
    readonly samples: number,
    readonly how: Fit,
    sampleRateHz: number,
  ) {
    this.#limit = CENTRE_LIMIT_S * sampleRateHz;
  }

  /** Take samples; throws ModelError, and changes nothing, where "centre" is asked of too long a recording. */
  push(wave: Float32Array): void {
    if (this.how === "centre" && this.#given + wave.length > this.#limit) {
      throw new ModelError(`the centre of more than ${CENTRE_LIMIT_S} s cannot be kept; cut the recording first`);
    }
    const before = this.#given - this.#kept.length;
    this.#given += wave.length;
    if (this.how === "start") {
      this.#kept = joined(this.#kept, wave.slice(0, this.samples - this.#kept.length));
    } else if (this.how === "centre") {
      const first = Math.max(0, Math.floor((this.#given - this.samples) / 2));
      this.#kept = joined(this.#kept, wave).slice(first - before);
    } else {
      this.#followEnergy(wave);
    }
  }

  /** Return the window: `samples` of them. */
  finish(): Float32Array {
    if (this.#best !== null) return this.#best.wave;
    const kept = this.#kept.subarray(0, this.samples);
    const whole = new Float32Array(this.samples);
    whole.set(kept, Math.floor((this.samples - kept.length) / 2));
    return whole;
  }

  #followEnergy(wave: Float32Array): void {
    const energy = new Float64Array(this.#energy.length + wave.length);
    energy.set(this.#energy);
    let sum = this.#energy[this.#energy.length - 1]!;
    for (let row = 0; row < wave.length; row += 1) {
      sum += wave[row]! * wave[row]!;
      energy[this.#energy.length + row] = sum;
    }
    const kept = joined(this.#kept, wave);
    let [highest, first] = [this.#best?.energy ?? -Infinity, -1];
    for (let row = 0; row + this.samples <= kept.length; row += 1) {
      const here = energy[row + this.samples]! - energy[row]!;
      if (here > highest) [highest, first] = [here, row];
    }
    if (first >= 0) this.#best = { energy: highest, wave: kept.slice(first, first + this.samples) };
    this.#kept = kept.slice(-this.samples);
    this.#energy = energy.slice(-this.samples - 1);
  }
}
