// The microphone: samples from an AudioWorklet through a ring, in order, and a count of those that were lost.

import { Ring } from "bundle";

const RING_S = 4;

/** The microphone cannot be used; its message is a key of the page's texts. */
export class MicrophoneError extends Error {
  constructor(
    readonly key: "noPermission" | "noMicrophone" | "noSecureContext",
    readonly detail: string,
  ) {
    super(`${key}: ${detail}`);
  }
}

/** An open microphone; `onWave` is called with every piece in order. */
export class Microphone {
  readonly #ring: Ring;
  #expected: number | null = null;
  #lostBefore = 0;
  #began = false;
  onWave: (wave: Float32Array) => void = () => undefined;

  private constructor(
    readonly context: AudioContext,
    readonly stream: MediaStream,
    readonly tap: AudioWorkletNode,
  ) {
    this.#ring = new Ring(RING_S * context.sampleRate);
    tap.port.onmessage = (message: MessageEvent<{ first: number; wave: Float32Array }>) => this.#take(message.data);
  }

  /** Ask for the microphone, without the processing that phones do for calls. Rejects with MicrophoneError. */
  static async open(): Promise<Microphone> {
    if (navigator.mediaDevices === undefined) throw new MicrophoneError("noSecureContext", location.origin);
    const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    const stream = await navigator.mediaDevices.getUserMedia({ audio: { ...plain, channelCount: 1 } }).catch((why: DOMException) => {
      throw new MicrophoneError(why.name === "NotAllowedError" ? "noPermission" : "noMicrophone", why.message);
    });
    const context = new AudioContext({ latencyHint: "interactive" });
    await context.audioWorklet.addModule("worklet.js");
    const tap = new AudioWorkletNode(context, "tap", { numberOfOutputs: 0 });
    context.createMediaStreamSource(stream).connect(tap);
    await context.resume();
    return new Microphone(context, stream, tap);
  }

  get rateHz(): number {
    return this.context.sampleRate;
  }

  /** How many samples were lost, by the ring or before it. */
  get dropped(): number {
    return this.#ring.dropped + this.#lostBefore;
  }

  /** Let go of the microphone. */
  async close(): Promise<void> {
    this.tap.port.onmessage = null;
    for (const track of this.stream.getTracks()) track.stop();
    await this.context.close();
  }

  #take({ first, wave }: { first: number; wave: Float32Array }): void {
    this.#began ||= wave.some((sample) => sample !== 0);
    // a gap in the digital silence before the first sound is the microphone starting up: nothing was heard before it
    if (this.#began && this.#expected !== null && first > this.#expected) this.#lostBefore += first - this.#expected;
    this.#expected = first + wave.length;
    this.#ring.write(wave);
    while (this.#ring.waiting > 0) this.onWave(this.#ring.read(this.#ring.capacity).wave);
  }
}
