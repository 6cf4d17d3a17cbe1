// The page: checks the device, records, asks the model, says answer or ask, and keeps a history here.

import { asRow, BUNDLE_HASH, load, ModelError, readWav, VERSION, type Model, type Outcome, type SelfTest } from "bundle";

import * as form from "./form.js";
import { forget, keep } from "./history.js";
import { MicrophoneError } from "./microphone.js";
import { goOffline } from "./offline.js";
import { lengthS, record } from "./record.js";
import { speak, text, type Language } from "./texts.js";
import * as view from "./view.js";

type Sound = ReturnType<typeof readWav>;

const TESTED = "edgecomp.tested";
/** A recording whose highest sample stays below this is hardly there: -40 dB below full scale. */
const QUIET_PEAK = 0.01;

let model: Model | null = null;
let tested: SelfTest | null = null;
let stop: () => void = () => undefined;
/** What was answered about the person who is being recorded; nothing of it is there for the next one. */
let answers: form.Answers | undefined;
/** A file's sound that waits for the answers; null where they are followed by a recording. */
let waiting: Sound | null = null;

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
    if (asksFirst()) view.recordsPeople();
    home();
    view.history(model.facts.questions);
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

function asksFirst(): boolean {
  return model !== null && model.facts.questions.length > 0;
}

/** Show the first screen; whoever comes back to it begins with somebody new. */
function home(problem = ""): void {
  answers = undefined;
  waiting = null;
  form.forgetForm();
  if (model !== null) view.home(lengthS(model), model.facts.questions.length, problem);
}

/** Ask the bundle's questions, if it has any, and then record, or ask the model about a file's sound. */
function begins(sound: Sound | null): void {
  if (model === null) return;
  if (!asksFirst()) return void (sound === null ? take() : hear(sound));
  [answers, waiting] = [undefined, sound];
  form.ask(model.facts.questions, sound === null);
  view.show("form");
  if (history.state !== "form") history.pushState("form", ""); // so that the browser's own Back leaves the form, not the page
}

function filledIn(): void {
  const given = form.answers();
  if (given === null) return;
  answers = given;
  if (waiting === null) void take();
  else void hear(waiting);
}

async function take(): Promise<void> {
  if (model === null) return;
  view.recording(lengthS(model));
  const given = answers;
  const turn = record(model, view.progress);
  stop = turn.stop;
  try {
    const recorded = await turn.done;
    if (recorded === null) home();
    else told(recorded.outcome, recorded.dropped, recorded.peak, given);
  } catch (why) {
    home(why instanceof MicrophoneError ? text(why.key, { detail: why.detail }) : String((why as Error).message));
  }
}

async function read(file: File): Promise<void> {
  try {
    begins(readWav(await file.arrayBuffer()));
  } catch (why) {
    home(why instanceof ModelError ? why.message : String(why));
  }
}

async function hear({ wave, rateHz }: Sound): Promise<void> {
  if (model === null) return;
  const given = answers;
  try {
    const peak = wave.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
    told(await model.answer(wave, rateHz), 0, peak, given);
  } catch (why) {
    home(why instanceof ModelError ? why.message : String(why));
  }
}

function told(outcome: Outcome, dropped: number, peak: number, given: form.Answers | undefined): void {
  if (model === null) return;
  const row = asRow(model.facts, outcome, given);
  keep({ at: new Date().toISOString(), row, dropped });
  view.result(model.facts, outcome, dropped, peak < QUIET_PEAK, given);
  view.history(model.facts.questions);
}

view.on("record", () => begins(null));
view.on("again", () => void take());
view.on("next", () => begins(null));
form.onForm(filledIn, () => history.back());
addEventListener("popstate", () => {
  stop();
  if (tested?.passed === true) home();
});
view.on("stop", () => stop());
view.on("retry", () => void begin());
view.on("test-again", () => {
  localStorage.removeItem(TESTED);
  void begin();
});
view.onFile((file) => void read(file));
view.onForget(() => {
  forget();
  view.history(model?.facts.questions);
});
view.onLanguage((language: Language) => {
  speak(language);
  view.translate();
  if (model !== null && tested !== null) view.about(model.facts, tested);
  if (view.isShown("form")) form.translateForm();
  else if (tested?.passed === true) home();
  view.history(model?.facts.questions);
});
view.translate();
void begin();
document.documentElement.dataset.version = VERSION;
