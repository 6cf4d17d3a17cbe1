// Runs on the sound card's thread: passes the microphone's samples on, mixed to one channel, with their place in the stream.

declare const currentFrame: number;
declare function registerProcessor(name: string, processor: unknown): void;
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}

/** Frames in one message: about 20 ms at 48 kHz. */
const BLOCK = 1024;

class Tap extends AudioWorkletProcessor {
  #held = new Float32Array(BLOCK);
  #count = 0;
  #first = 0;

  process(inputs: Float32Array[][]): boolean {
    const [channels] = inputs;
    if (channels === undefined || channels.length === 0) return true; // no microphone yet
    const frames = channels[0]!.length;
    if (this.#count === 0) this.#first = currentFrame;
    for (let frame = 0; frame < frames; frame += 1) {
      let sum = 0;
      for (const channel of channels) sum = Math.fround(sum + channel[frame]!);
      this.#held[this.#count] = sum / channels.length;
      this.#count += 1;
    }
    if (this.#count + frames > BLOCK) {
      const wave = this.#held.slice(0, this.#count);
      this.port.postMessage({ first: this.#first, wave }, [wave.buffer]);
      this.#count = 0;
    }
    return true;
  }
}

registerProcessor("tap", Tap);
