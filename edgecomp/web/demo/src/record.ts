// One recording: a fixed number of samples, with the level and the time left shown as they come.

import type { Model, Outcome } from "bundle";

import { Microphone } from "./microphone.js";

/** Beside the model's own length, so that a word that comes late is still whole. */
const MORE_S = 1;

export interface Progress {
  /** Loudness of the last piece: root of the mean square, in dB below full scale. */
  readonly levelDb: number;
  readonly peak: number;
  readonly leftS: number;
  readonly ofS: number;
}

export interface Recorded {
  readonly outcome: Outcome;
  readonly dropped: number;
  readonly peak: number;
}

export function lengthS(model: Model): number {
  return model.facts.samples / model.facts.sample_rate_hz + MORE_S;
}

/** Record and ask the model; resolves with null where `stop` was called first. Nothing of the sound is kept. */
export function record(model: Model, onProgress: (now: Progress) => void): { done: Promise<Recorded | null>; stop: () => void } {
  const stopped = new AbortController();
  return { done: run(model, onProgress, stopped.signal), stop: () => stopped.abort() };
}

async function run(model: Model, onProgress: (now: Progress) => void, stopped: AbortSignal): Promise<Recorded | null> {
  const microphone = await Microphone.open();
  try {
    const recording = model.recording(microphone.rateHz);
    const wanted = Math.round(lengthS(model) * microphone.rateHz);
    let [given, highest] = [0, 0];
    const whole = await new Promise<boolean>((resolve, reject) => {
      stopped.addEventListener("abort", () => resolve(false));
      if (stopped.aborted) resolve(false);
      microphone.onWave = (piece) => {
        const wave = piece.subarray(0, wanted - given);
        if (wave.length === 0) return;
        given += wave.length;
        const peak = wave.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
        highest = Math.max(highest, peak);
        try {
          recording.push(wave);
        } catch (why) {
          reject(why as Error);
        }
        onProgress({ levelDb: levelDb(wave), peak, leftS: (wanted - given) / microphone.rateHz, ofS: lengthS(model) });
        if (given === wanted) resolve(true);
      };
    });
    return whole ? { outcome: await recording.finish(), dropped: microphone.dropped, peak: highest } : null;
  } finally {
    await microphone.close();
  }
}

/** Return a piece's loudness in dB below full scale; digital silence is -120. */
export function levelDb(wave: Float32Array): number {
  const energy = wave.reduce((sum, sample) => sum + sample * sample, 0) / Math.max(1, wave.length);
  return Math.max(-120, 10 * Math.log10(energy + 1e-12));
}
