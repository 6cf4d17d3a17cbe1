// Read WAV files: 8, 16, 24 and 32-bit PCM and 32 or 64-bit floats, any number of channels.

import { ModelError } from "./facts.js";

const [PCM, FLOAT, EXTENSIBLE] = [1, 3, 0xfffe];
/** A length from here on was written to a pipe: it was never known. */
const UNKNOWN_LENGTH = 0x7ffff000;
/** By format and bits: how one sample is read, at full scale -1 to 1. */
const READERS: Readonly<Record<string, (view: DataView, at: number) => number>> = {
  [`${PCM} 8`]: (view, at) => (view.getUint8(at) - 128) / 128,
  [`${PCM} 16`]: (view, at) => view.getInt16(at, true) / 32768,
  [`${PCM} 24`]: (view, at) => ((view.getUint16(at, true) << 8) | (view.getUint8(at + 2) << 24)) / 2147483648,
  [`${PCM} 32`]: (view, at) => view.getInt32(at, true) / 2147483648,
  [`${FLOAT} 32`]: (view, at) => view.getFloat32(at, true),
  [`${FLOAT} 64`]: (view, at) => view.getFloat64(at, true),
};

interface Shape {
  readonly read: (view: DataView, at: number) => number;
  readonly channels: number;
  readonly bytes: number;
  readonly rateHz: number;
}

/** Return a file's sound, its channels averaged, and its rate; throws ModelError where it cannot be read. */
export function readWav(content: ArrayBuffer): { wave: Float32Array; rateHz: number } {
  const view = new DataView(content);
  const name = (at: number) => String.fromCharCode(...new Uint8Array(content, at, 4));
  if (content.byteLength < 12 || name(0) !== "RIFF" || name(8) !== "WAVE") {
    throw new ModelError("this is no WAV file; convert it to 16-bit PCM WAV");
  }
  let shape: Shape | null = null;
  for (let place = 12; place + 8 <= content.byteLength; ) {
    const length = view.getUint32(place + 4, true);
    const there = Math.min(length, content.byteLength - place - 8);
    if (name(place) === "fmt ") {
      shape = readShape(new DataView(content, place + 8, there));
    } else if (name(place) === "data") {
      if (shape === null) throw new ModelError("the WAV file is damaged: its sound comes before its format");
      if (there < length && length < UNKNOWN_LENGTH) {
        throw new ModelError(`truncated: ${there} of ${length} bytes of sound are there`);
      }
      const whole = length === 0 ? content.byteLength - place - 8 : there;
      return { wave: mono(new DataView(content, place + 8, whole), shape), rateHz: shape.rateHz };
    }
    place += 8 + length + (length % 2);
  }
  throw new ModelError("the WAV file is damaged: it has no sound");
}

function readShape(body: DataView): Shape {
  if (body.byteLength < 16) throw new ModelError("the WAV file is damaged: its format is cut off");
  let form = body.getUint16(0, true);
  const [channels, rateHz, bits] = [body.getUint16(2, true), body.getUint32(4, true), body.getUint16(14, true)];
  if (form === EXTENSIBLE && body.byteLength >= 26) form = body.getUint16(24, true);
  const read = READERS[`${form} ${bits}`];
  if (read === undefined || channels < 1) {
    throw new ModelError(`WAV format ${form} with ${bits} bits and ${channels} channels is not read; use 16-bit PCM`);
  }
  return { read, channels, bytes: bits / 8, rateHz };
}

function mono(sound: DataView, { read, channels, bytes }: Shape): Float32Array {
  const frames = Math.floor(sound.byteLength / (channels * bytes));
  if (frames === 0) throw new ModelError("the recording has no samples");
  const wave = new Float32Array(frames);
  let bad = 0;
  for (let frame = 0, at = 0; frame < frames; frame += 1) {
    let sum = 0;
    for (let channel = 0; channel < channels; channel += 1, at += bytes) {
      const sample = Math.fround(read(sound, at));
      if (!Number.isFinite(sample)) bad += 1;
      sum = Math.fround(sum + sample);
    }
    wave[frame] = sum / channels;
  }
  if (bad > 0) throw new ModelError(`${bad} of ${frames * channels} samples are NaN or infinite`);
  return wave;
}
