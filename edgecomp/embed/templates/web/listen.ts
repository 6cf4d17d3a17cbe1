// Live listening: overlapping windows, pooled over the last few, and one announcement for each change.

import { ModelError, type Facts } from "./facts.js";
import { decide, type Outcome } from "./outcome.js";
import { joined, Resampler } from "./resample.js";

/** What a model file says of a waveform: float32 probabilities, and a float32 uncertainty. */
export interface Said {
  readonly probabilities: Float32Array;
  readonly uncertainty: number;
}

/** An opened model file; calls wait for one another. */
export type Session = (wave: Float32Array) => Promise<Said>;

/**
 * One window and what is heard up to it.
 *
 * firstSample: of the window, at the model's rate, since the beginning or the end of the last gap
 * changed:     this outcome has now come `hold` times in a row, and another one was announced before
 */
export interface Heard<L extends string = string> {
  readonly firstSample: number;
  readonly outcome: Outcome<L>;
  readonly changed: boolean;
}

/** Asks the model about every window of a live stream; how the stream is cut changes nothing. */
export class Listener<L extends string = string> {
  #resampler!: Resampler;
  #kept = new Float32Array(0) as Float32Array;
  #first = 0;
  #pooled: Said[] = [];
  #announced: string | null = null;
  #key = "";
  #times = 0;
  #turn: Promise<unknown> = Promise.resolve();

  /**
   * rateHz: of what is pushed
   * pool:   over how many of the last windows probabilities and uncertainty are averaged
   * hold:   how many times in a row an outcome must come before it is announced
   */
  constructor(
    readonly facts: Facts<L>,
    readonly session: Session,
    readonly rateHz: number,
    readonly pool = 3,
    readonly hold = 1,
  ) {
    if (!(Number.isInteger(pool) && Number.isInteger(hold) && pool >= 1 && hold >= 1)) {
      throw new ModelError(`pool ${pool} and hold ${hold} must be 1 or more`);
    }
    this.#begin();
  }

  /** Take samples; return what was heard in them. Rejects with ModelError where a sample is no finite number. */
  async push(chunk: Float32Array): Promise<Heard<L>[]> {
    const wave = asWave(chunk);
    return this.#after(() => this.#hear(wave));
  }

  /** Begin anew after samples were lost; what was announced stays. */
  gap(): Promise<void> {
    return this.#after(async () => this.#begin());
  }

  /** Run a step when all earlier ones are done, so that calls that nobody waits for keep their order. */
  #after<T>(step: () => Promise<T>): Promise<T> {
    const next = this.#turn.then(step);
    this.#turn = next.catch(() => undefined);
    return next;
  }

  #begin(): void {
    this.#resampler = new Resampler(this.rateHz, this.facts.sample_rate_hz);
    this.#kept = new Float32Array(0);
    this.#first = 0;
    this.#pooled = [];
    this.#key = "";
    this.#times = 0;
  }

  async #hear(wave: Float32Array): Promise<Heard<L>[]> {
    this.#kept = joined(this.#kept, this.#resampler.push(wave));
    const heard: Heard<L>[] = [];
    while (this.#kept.length >= this.facts.samples) {
      heard.push(await this.#ask(this.#kept.slice(0, this.facts.samples)));
      this.#kept = this.#kept.slice(this.facts.hop_samples);
      this.#first += this.facts.hop_samples;
    }
    return heard;
  }

  async #ask(window: Float32Array): Promise<Heard<L>> {
    this.#pooled = [...this.#pooled, await this.session(window)].slice(-this.pool);
    const total = new Float64Array(this.facts.labels.length);
    let unsure = 0;
    for (const one of this.#pooled) {
      for (let label = 0; label < total.length; label += 1) total[label]! += one.probabilities[label]!;
      unsure += one.uncertainty;
    }
    const mean = Float32Array.from(total, (sum) => sum / this.#pooled.length);
    const outcome = decide(this.facts, mean, Math.fround(unsure / this.#pooled.length));
    const key = outcome.kind === "ask" ? "ask" : `label ${outcome.label}`;
    this.#times = key === this.#key ? this.#times + 1 : 1;
    this.#key = key;
    const changed = this.#times >= this.hold && key !== this.#announced;
    if (changed) this.#announced = key;
    return { firstSample: this.#first, outcome, changed };
  }
}

/** Return a copy of a chunk; throws ModelError where it is no sound of finite samples. */
export function asWave(chunk: Float32Array): Float32Array {
  if (!(chunk instanceof Float32Array)) {
    throw new ModelError("a chunk is a Float32Array of one channel, from -1 to 1 (16-bit samples divided by 32768)");
  }
  const bad = chunk.reduce((count, sample) => count + (Number.isFinite(sample) ? 0 : 1), 0);
  if (bad > 0) throw new ModelError(`${bad} of ${chunk.length} samples are NaN or infinite`);
  return chunk.slice();
}
