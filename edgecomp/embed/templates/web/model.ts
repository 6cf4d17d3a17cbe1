// The model: asks about whole recordings, about recordings in pieces and about live sound, and tests itself.

import { isNumber, ModelError, readChecked, readObject, type Facts } from "./facts.js";
import { Window } from "./fit.js";
import { asWave, Listener, type Session } from "./listen.js";
import { decide, type Outcome } from "./outcome.js";
import { Resampler } from "./resample.js";
import { readWav } from "./wav.js";

/**
 * The golden clips replayed here.
 *
 * worst: largest difference of a probability or an uncertainty from what the bundle states; at most tolerance if passed
 */
export interface SelfTest {
  readonly passed: boolean;
  readonly worst: number;
  readonly tolerance: number;
  readonly clips: number;
}

interface Clip {
  readonly file: string;
  readonly sha256: string;
  readonly stated: readonly number[];
}

/** A loaded model; `load` of this module makes one. */
export class Model<L extends string = string> {
  constructor(
    readonly facts: Facts<L>,
    readonly session: Session,
    readonly base: URL,
  ) {}

  /** Answer a whole recording of one channel, full scale -1 to 1; rejects with ModelError where it cannot be used. */
  async answer(wave: Float32Array, rateHz: number): Promise<Outcome<L>> {
    const recording = this.recording(rateHz);
    recording.push(wave);
    return recording.finish();
  }

  /** Answer a WAV file of any rate, channels and length; rejects with ModelError where it cannot be read. */
  async answerFile(file: ArrayBuffer | Blob): Promise<Outcome<L>> {
    const { wave, rateHz } = readWav(file instanceof ArrayBuffer ? file : await file.arrayBuffer());
    return this.answer(wave, rateHz);
  }

  /** Begin a recording that comes in pieces, at its own rate. */
  recording(rateHz: number): Recording<L> {
    return new Recording(this.facts, this.session, rateHz);
  }

  /** Begin to listen to live sound at its own rate; see Listener. */
  listen(rateHz: number, pool = 3, hold = 1): Listener<L> {
    return new Listener(this.facts, this.session, rateHz, pool, hold);
  }

  /** Replay the golden clips on this device; rejects with ModelError where they are damaged. */
  async selfTest(onClip?: (done: number, of: number) => void): Promise<SelfTest> {
    const told = readObject(await readChecked(this.base, "golden/golden.json", this.facts.golden_sha256), "golden.json");
    const { clips, tolerance } = readGolden(told, this.facts.labels.length);
    let worst = 0;
    for (const [row, clip] of clips.entries()) {
      const content = await readChecked(this.base, `golden/${clip.file}`, clip.sha256);
      if (content.byteLength !== 4 * this.facts.samples) throw new ModelError(`golden/${clip.file} has another length`);
      const view = new DataView(content.buffer);
      const wave = Float32Array.from({ length: this.facts.samples }, (_, at) => view.getFloat32(4 * at, true));
      const said = await this.session(wave);
      const found = [...said.probabilities, said.uncertainty];
      const apart = Math.max(...found.map((value, at) => Math.abs(value - clip.stated[at]!)));
      worst = Number.isFinite(apart) ? Math.max(worst, apart) : NaN;
      onClip?.(row + 1, clips.length);
      if (Number.isNaN(worst)) break;
    }
    return { passed: worst <= tolerance, worst, tolerance, clips: clips.length };
  }
}

/** A recording that comes in pieces: `push` any number of samples, then `finish` once. */
export class Recording<L extends string = string> {
  readonly #resampler: Resampler;
  readonly #window: Window;
  #given = 0;
  #finished = false;

  /** Throws ModelError where the rate cannot be used. */
  constructor(
    readonly facts: Facts<L>,
    readonly session: Session,
    readonly rateHz: number,
  ) {
    this.#resampler = new Resampler(rateHz, facts.sample_rate_hz);
    this.#window = new Window(facts.samples, facts.fit, facts.sample_rate_hz);
  }

  /** Take samples; throws ModelError, and changes nothing, where one is no finite number. */
  push(chunk: Float32Array): void {
    if (this.#finished) throw new ModelError("this recording was finished; begin a new one");
    const wave = asWave(chunk);
    this.#given += wave.length;
    this.#window.push(this.#resampler.push(wave));
  }

  /** Return the outcome, bit for bit that of the whole recording; rejects with ModelError where nothing was pushed. */
  async finish(): Promise<Outcome<L>> {
    if (this.#finished) throw new ModelError("this recording was finished; begin a new one");
    if (this.#given === 0) throw new ModelError("the recording has no samples");
    this.#finished = true;
    this.#window.push(this.#resampler.finish());
    const said = await this.session(this.#window.finish());
    return decide(this.facts, said.probabilities, said.uncertainty);
  }
}

function readGolden(told: Record<string, unknown>, labels: number): { clips: Clip[]; tolerance: number } {
  const wrong = (what: string) => new ModelError(`golden.json cannot be read: ${what}`);
  const { clips, tolerance } = told;
  if (!isNumber(tolerance) || !Array.isArray(clips) || clips.length === 0) throw wrong("it has no clips or no tolerance");
  const read = clips.map((one: Record<string, unknown> | null): Clip => {
    const stated = [...(Array.isArray(one?.probabilities) ? one.probabilities : []), one?.uncertainty];
    if (typeof one?.file !== "string" || typeof one.sha256 !== "string") throw wrong("a clip has no file or no hash");
    if (stated.length !== labels + 1 || !stated.every(isNumber)) throw wrong(`a figure of ${one.file} is missing`);
    return { file: one.file, sha256: one.sha256, stated: stated as number[] };
  });
  return { clips: read, tolerance };
}
