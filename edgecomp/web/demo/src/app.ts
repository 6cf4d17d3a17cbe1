// The page: checks the device, records, asks the model, says answer or ask, and keeps a history here.

import { asRow, BUNDLE_HASH, load, ModelError, readWav, VERSION, type Model, type Outcome, type SelfTest } from "bundle";

import { forget, keep } from "./history.js";
import { MicrophoneError } from "./microphone.js";
import { goOffline } from "./offline.js";
import { lengthS, record } from "./record.js";
import { speak, text, type Language } from "./texts.js";
import * as view from "./view.js";

const TESTED = "edgecomp.tested";
/** A recording whose highest sample stays below this is hardly there: -40 dB below full scale. */
const QUIET_PEAK = 0.01;

let model: Model | null = null;
let tested: SelfTest | null = null;
let stop: () => void = () => undefined;

/** Load the model and test it, and show the first screen, or why there is none. */
async function begin(): Promise<void> {
  view.show("checking");
  try {
    await goOffline(view.offline, view.update);
    model ??= await load({ base: "model/", wasm: "runtime/" });
    tested = remembered() ?? (await test(model));
    if (!tested.passed) {
      view.blocked(text("selfTestFailed", { worst: view.figure(tested.worst), tolerance: tested.tolerance }));
      return;
    }
    view.about(model.facts, tested);
    view.home(lengthS(model));
    view.history();
  } catch (why) {
    view.blocked(why instanceof ModelError ? why.message : String(why));
  }
}

/** Replay the golden clips, and remember that they passed for this version in this browser. */
async function test(checked: Model): Promise<SelfTest> {
  const found = await checked.selfTest(view.checked);
  try {
    if (found.passed) localStorage.setItem(TESTED, JSON.stringify({ of: tag(), found }));
    else localStorage.removeItem(TESTED);
  } catch {
    return found; // a private window: it is tested at every start
  }
  return found;
}

function remembered(): SelfTest | null {
  try {
    const told = JSON.parse(localStorage.getItem(TESTED) ?? "null") as { of: string; found: SelfTest } | null;
    return told?.of === tag() && told.found.passed === true ? told.found : null;
  } catch {
    return null;
  }
}

/** Another model, browser or number of threads is tested anew. */
function tag(): string {
  return `${BUNDLE_HASH} ${navigator.userAgent} ${globalThis.crossOriginIsolated}`;
}

async function take(): Promise<void> {
  if (model === null) return;
  view.recording(lengthS(model));
  const turn = record(model, view.progress);
  stop = turn.stop;
  try {
    const recorded = await turn.done;
    if (recorded === null) view.home(lengthS(model));
    else told(recorded.outcome, recorded.dropped, recorded.peak);
  } catch (why) {
    view.home(lengthS(model), why instanceof MicrophoneError ? text(why.key, { detail: why.detail }) : String((why as Error).message));
  }
}

async function read(file: File): Promise<void> {
  if (model === null) return;
  try {
    const { wave, rateHz } = readWav(await file.arrayBuffer());
    const peak = wave.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
    told(await model.answer(wave, rateHz), 0, peak);
  } catch (why) {
    view.home(lengthS(model), why instanceof ModelError ? why.message : String(why));
  }
}

function told(outcome: Outcome, dropped: number, peak: number): void {
  if (model === null) return;
  const row = asRow(model.facts, outcome);
  keep({ at: new Date().toISOString(), row, dropped });
  view.result(model.facts, outcome, dropped, peak < QUIET_PEAK);
  view.history();
}

view.on("record", () => void take());
view.on("again", () => void take());
view.on("stop", () => stop());
view.on("retry", () => void begin());
view.on("test-again", () => {
  localStorage.removeItem(TESTED);
  void begin();
});
view.onFile((file) => void read(file));
view.onForget(() => {
  forget();
  view.history();
});
view.onLanguage((language: Language) => {
  speak(language);
  view.translate();
  if (model !== null && tested !== null) view.about(model.facts, tested);
  if (model !== null && tested?.passed === true) view.home(lengthS(model));
  view.history();
});
view.translate();
void begin();
document.documentElement.dataset.version = VERSION;
