// What is seen: one screen at a time, filled in with texts; it knows nothing of models and microphones.

import type { Facts, Outcome, Question, SelfTest } from "bundle";

import { element, made } from "./dom.js";
import { told, type Answers } from "./form.js";
import { entries } from "./history.js";
import type { Progress } from "./record.js";
import { language, text, type Key, type Language } from "./texts.js";

const SCREENS = ["checking", "blocked", "home", "form", "recording", "result"] as const;
type Screen = (typeof SCREENS)[number];

const FLOOR_DB = -60;
const QUIET_DB = -50;
/** A piece that comes this near to full scale is probably cut off. */
const LOUD_PEAK = 0.98;
/** How fast the word beside the meter forgets a sound, for each piece of about 20 ms: it would flicker between syllables. */
const FORGET_DB = 0.7;
/** How long a second press may take. */
const SURE_MS = 4000;

export function on(id: string, act: () => void): void {
  element(id).addEventListener("click", act);
}

/** Fill in all fixed texts in the language that is chosen. */
export function translate(): void {
  document.documentElement.lang = language();
  document.title = text("title");
  element<HTMLSelectElement>("language").value = language();
  for (const one of document.querySelectorAll<HTMLElement>("[data-text]")) one.textContent = text(one.dataset.text as Key);
}

/** Show one screen, and bring the reader of the screen to its heading. */
export function show(screen: Screen): void {
  for (const one of SCREENS) element(one).hidden = one !== screen;
  element("history").hidden = screen !== "home" && screen !== "result";
  element("test-again").hidden = screen !== "home" && screen !== "blocked";
  element(screen).querySelector<HTMLElement>("h2")?.focus({ preventScroll: true });
  scrollTo(0, 0);
}

export function checked(done: number, of: number): void {
  element<HTMLProgressElement>("checking-progress").value = done / of;
  element("checking-count").textContent = text("clipOf", { done, of });
}

export function blocked(why: string): void {
  element("blocked-why").textContent = why;
  show("blocked");
}

export function home(seconds: number, questions: number, problem = ""): void {
  const first = questions > 0 ? ` ${text("questionsFirst", { count: questions.toLocaleString(language()) })}` : "";
  element("home-hint").textContent = text("homeHint", { seconds: seconds.toLocaleString(language()) }) + first;
  element("home-problem").textContent = problem;
  element("home-problem").hidden = problem === "";
  show("home");
}

let heldDb = FLOOR_DB;

export function recording(seconds: number): void {
  heldDb = FLOOR_DB;
  progress({ levelDb: FLOOR_DB, peak: 0, leftS: seconds, ofS: seconds });
  show("recording");
}

export function progress({ levelDb, peak, leftS, ofS }: Progress): void {
  const tenths = { minimumFractionDigits: 1, maximumFractionDigits: 1 };
  element("left").textContent = leftS.toLocaleString(language(), tenths);
  element<HTMLProgressElement>("left-bar").value = 1 - leftS / ofS;
  const shown = Math.round(Math.min(0, Math.max(FLOOR_DB, levelDb)));
  heldDb = Math.max(levelDb, heldDb - FORGET_DB);
  const word: Key = peak >= LOUD_PEAK ? "tooLoud" : heldDb < QUIET_DB ? "tooQuiet" : "good";
  const meter = element("level");
  meter.setAttribute("aria-valuenow", String(shown));
  meter.setAttribute("aria-valuetext", `${shown} dB, ${text(word)}`);
  meter.dataset.word = word;
  element("level-bar").style.width = `${100 * (1 - shown / FLOOR_DB)}%`;
  element("level-word").textContent = text(word);
  if (leftS <= 0) element("level-word").textContent = text("thinking");
}

export function result(facts: Facts, outcome: Outcome, dropped: number, isQuiet: boolean, answers?: Answers): void {
  const asks = outcome.kind === "ask";
  element("verdict").dataset.kind = outcome.kind;
  element("sign-answer").toggleAttribute("hidden", asks);
  element("sign-ask").toggleAttribute("hidden", !asks);
  element("kind").textContent = text(outcome.kind);
  element("label").textContent = asks ? "" : named(outcome.label);
  const percent = whole(outcome.probability);
  const why = { unsure: "askUnsure", always: "askAlways", "not a number": "askBroken" } as const;
  element("says").textContent = asks ? text(why[outcome.reason]) : text("probability", { percent });
  const guesses = asks && outcome.reason !== "not a number";
  element("guess").textContent = guesses ? text("guess", { label: named(outcome.bestGuess), percent }) : "";
  const warning = dropped > 0 ? text("lost", { count: dropped }) : isQuiet ? text("quietWarning") : "";
  element("warning").textContent = warning;
  element("warning").hidden = warning === "";
  element("figures").replaceChildren(...facts.labels.map((label, row) => bar(named(label), outcome.probabilities[row]!)));
  const [value, limit] = [figure(outcome.uncertainty), facts.ask_above === null ? "" : figure(facts.ask_above)];
  element("uncertainty").textContent = limit === "" ? text("uncertaintyAlways", { value }) : text("uncertainty", { value, limit });
  element("lost").textContent = dropped > 0 ? text("lost", { count: dropped }) : text("notLost");
  element("given").hidden = answers === undefined;
  element("given-note").hidden = answers === undefined;
  element("answers").replaceChildren(...told(facts.questions, answers));
  show("result");
}

export function history(questions: readonly Question[] = []): void {
  const kept = entries();
  element("history-empty").hidden = kept.length > 0;
  element("forget").hidden = kept.length === 0;
  const when = new Intl.DateTimeFormat(region(), { dateStyle: "short", timeStyle: "short" });
  element("entries").replaceChildren(
    ...kept.map(({ at, row }) => {
      const time = made("time", "", when.format(new Date(at)));
      time.setAttribute("datetime", at);
      const mark = made("span", `mark ${row.ask ? "ask" : "answer"}`, text(row.ask ? "ask" : "answer"));
      const answered = row.answers === undefined ? [] : [folded(text("given"), made("dl", "", ...told(questions, row.answers)))];
      return made("li", "", mark, made("span", "", row.ask ? "" : named(row.label)), time, ...answered);
    }),
  );
}

/**
 * Fit the page to a bundle with a form. After a result the next person comes first: the same one again is pressed on purpose,
 * since that takes the answers over.
 */
export function recordsPeople(): void {
  element("next").hidden = false;
  element("again").className = "second";
  element("again").dataset.text = "recordSame";
  element("record").querySelector("svg")?.remove();
  element("record").querySelector<HTMLElement>("span")!.dataset.text = "begin";
  translate();
}

export function isShown(screen: Screen): boolean {
  return !element(screen).hidden;
}

export function about(facts: Facts, tested: SelfTest): void {
  const summary = facts.summary.charAt(0).toUpperCase() + facts.summary.slice(1);
  element("about").textContent = [summary, text("knows", { labels: facts.labels.map(named).join(", ") })].filter(Boolean).join(". ");
  const { worst, tolerance, clips } = tested;
  element("self-test").textContent = text("selfTest", { worst: figure(worst), tolerance, clips });
  element("version").textContent = text("version", { name: facts.bundle, version: facts.version });
}

export function offline(): void {
  element("offline").dataset.text = "offline";
  element("offline").textContent = text("offline");
}

export function update(use: () => void): void {
  element("update").hidden = false;
  element("use-update").onclick = use;
}

export function onFile(act: (file: File) => void): void {
  const input = element<HTMLInputElement>("file");
  input.addEventListener("change", () => {
    const [file] = input.files ?? [];
    if (file !== undefined) act(file);
    input.value = "";
  });
}

/** Deleting takes two presses. */
export function onForget(act: () => void): void {
  const button = element("forget");
  let isSure = false;
  button.addEventListener("click", () => {
    if (isSure) act();
    isSure = !isSure;
    button.textContent = text(isSure ? "forgetSure" : "forget");
    setTimeout(() => {
      isSure = false;
      button.textContent = text("forget");
    }, SURE_MS);
  });
}

export function onLanguage(act: (language: Language) => void): void {
  const select = element<HTMLSelectElement>("language");
  select.addEventListener("change", () => act(select.value as Language));
}

/** Return a figure between 0 and 1 as people read it. */
export function figure(value: number): string {
  return value.toLocaleString(language(), { maximumSignificantDigits: 2, maximumFractionDigits: 6, roundingPriority: "lessPrecision" } as object);
}

/** Return the reader's own region where the browser names one of the language that is chosen. */
function region(): string {
  return navigator.languages.find((one) => one.split("-")[0] === language()) ?? language();
}

/** Return a share as whole percents that never claim certainty. */
function whole(share: number): string {
  const percent = Math.round(100 * share);
  if (percent >= 100) return "> 99";
  return percent <= 0 ? "< 1" : String(percent);
}

function named(label: string): string {
  return label.replaceAll("_", " ");
}

function bar(name: string, share: number): HTMLElement {
  const inner = made("div", "");
  inner.style.width = `${100 * share}%`;
  const percent = share.toLocaleString(language(), { style: "percent", maximumFractionDigits: 1 });
  return made("li", "", made("span", "", name), made("span", "", percent), made("div", "bar", inner));
}

function folded(title: string, content: HTMLElement): HTMLElement {
  return made("details", "", made("summary", "", title), content);
}
