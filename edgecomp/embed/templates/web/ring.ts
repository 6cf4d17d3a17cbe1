// A ring of samples between the microphone and the model: never blocks the writer, and counts what it loses.

/**
 * Holds the last `capacity` samples that were not read; the oldest go first, and `dropped` says how many.
 *
 * At every moment: written = read + dropped + waiting.
 */
export class Ring {
  readonly #held: Float32Array;
  #written = 0;
  #taken = 0;
  #dropped = 0;

  constructor(readonly capacity: number) {
    this.#held = new Float32Array(capacity);
  }

  /** How many samples the reader was too slow for. */
  get dropped(): number {
    return this.#dropped;
  }

  /** How many samples are there to be read. */
  get waiting(): number {
    return this.#written - this.#taken;
  }

  /** Take samples; return how many were lost by it. */
  write(wave: Float32Array): number {
    const tail = wave.subarray(Math.max(0, wave.length - this.capacity));
    let at = (this.#written + wave.length - tail.length) % this.capacity;
    const before = Math.min(tail.length, this.capacity - at);
    this.#held.set(tail.subarray(0, before), at);
    at = 0;
    this.#held.set(tail.subarray(before), at);
    this.#written += wave.length;
    const lost = Math.max(0, this.#written - this.#taken - this.capacity);
    this.#taken += lost;
    this.#dropped += lost;
    return lost;
  }

  /**
   * Return the index of the first sample since the beginning, and up to `most` samples.
   *
   * Where the index is not where the last read ended, the samples between are lost.
   */
  read(most: number): { first: number; wave: Float32Array } {
    const first = this.#taken;
    const count = Math.min(most, this.waiting);
    const wave = new Float32Array(count);
    const at = first % this.capacity;
    const before = Math.min(count, this.capacity - at);
    wave.set(this.#held.subarray(at, at + before));
    wave.set(this.#held.subarray(0, count - before), before);
    this.#taken += count;
    return { first, wave };
  }
}
