// The form: a bundle's questions as fields that a keyboard, a finger and a screen reader can fill in, and what was answered.

import { checkAnswers, faultOf, readNumber, said, type FormAnswer, type Question } from "bundle";

import { element, made } from "./dom.js";
import { language, text } from "./texts.js";

export type Answers = Readonly<Record<string, FormAnswer>>;

/** The value of the radio button that says that there is no answer; no option has it, since options have no blanks. */
const NONE = " ";
let questions: readonly Question[] = [];

/** Lay out a bundle's questions; what was typed for somebody else is gone. */
export function ask(those: readonly Question[], isRecording: boolean): void {
  questions = those;
  fill({});
  const next = isRecording ? "toRecording" : "toModel";
  element("submit").textContent = text(next);
  element("submit").dataset.text = next;
  element<HTMLButtonElement>("submit").disabled = false;
}

/** Say the questions again in the language that was chosen, with what was filled in so far. */
export function translateForm(): void {
  fill(typed());
}

export function onForm(submit: () => void, back: () => void): void {
  element("questions").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  element("back").addEventListener("click", back);
  element("asked").addEventListener("input", ({ target }) => {
    const one = questions.find((each) => each.id === (target as HTMLInputElement).name);
    if (one === undefined || element(`fault-${one.id}`).hidden) return;
    mark(one, valueOf(one)); // what was mended is no longer called wrong
    count([...element("asked").querySelectorAll(".fault:not([hidden])")].length);
  });
}

/**
 * Return the answers, or null where one is wrong or missing: then the page says so, and the first of these has the focus.
 * They are given once: a second press of the button would make a second result.
 */
export function answers(): Answers | null {
  const given = Object.fromEntries(questions.map((one) => [one.id, valueOf(one)]));
  const faults = questions.map((one) => mark(one, given[one.id]!)).filter(Boolean).length;
  count(faults);
  if (faults === 0) {
    element<HTMLButtonElement>("submit").disabled = true;
    return checkAnswers(questions, given);
  }
  element("asked").querySelector<HTMLElement>("[aria-invalid=true]")?.focus();
  return null;
}

/** Return the answers as a list that is read as question and answer; one of another version's questions stands as it was kept. */
export function told(known: readonly Question[], given: Answers = {}): HTMLElement[] {
  return Object.entries(given).flatMap(([id, answer]) => {
    const question = known.find((one) => one.id === id);
    const name = question === undefined ? made("dt", "", id) : worded(made("dt", ""), question.text);
    return [name, made("dd", "", spoken(question, answer))];
  });
}

/** Empty the form, so that the next person's begins without the last one's answers. */
export function forgetForm(): void {
  element("asked").replaceChildren();
}

/** Say above the form how many questions still need an answer. */
function count(faults: number): void {
  element("form-problem").textContent = faults === 0 ? "" : text("faults", { count: faults.toLocaleString(language()) });
  element("form-problem").hidden = faults === 0;
}

function fill(before: Readonly<Record<string, string>>): void {
  count(0);
  const field = (one: Question) => (one.kind === "number" ? numberField(one, before[one.id]) : choiceField(one, before[one.id]));
  element("asked").replaceChildren(...questions.map(field));
}

function choiceField(one: Question, before: string | undefined): HTMLElement {
  const known =
    one.kind === "choice"
      ? one.options.map(({ id, text: words }) => ({ value: id, label: worded(made("span", ""), words) }))
      : (["yes", "no"] as const).map((word) => ({ value: word, label: made("span", "", text(word)) }));
  const options = one.optional ? [...known, { value: NONE, label: made("span", "", text("noAnswer")) }] : known;
  const buttons = options.map(({ value, label }) => {
    const button = made("input", "");
    Object.assign(button, { type: "radio", name: one.id, value, checked: value === before, required: !one.optional });
    described(button, one);
    return made("label", "option", button, label);
  });
  const field = made("fieldset", "question", legend(made("legend", ""), one), ...help(one), ...buttons, problem(one));
  field.classList.toggle("pair", one.kind === "yes-no");
  return field;
}

function numberField(one: Question & { kind: "number" }, before: string | undefined): HTMLElement {
  const input = made("input", "number");
  const name = `q-${one.id}`;
  const keys = one.min < 0 ? "text" : (one.decimals ?? 0) > 0 ? "decimal" : "numeric";
  Object.assign(input, { type: "text", id: name, name: one.id, value: before ?? "", inputMode: keys, required: !one.optional });
  described(input, one);
  const label = made("label", "legend");
  legend(label, one).setAttribute("for", name);
  const unit = one.unit === undefined ? [] : [worded(made("span", "unit"), one.unit)];
  unit.forEach((each) => (each.id = `unit-${one.id}`));
  return made("div", "question", label, ...help(one), made("div", "figure", input, ...unit), problem(one));
}

/** Write what a field is called, and whether it may be left out. */
function legend(place: HTMLElement, one: Question): HTMLElement {
  worded(place, one.text);
  if (one.optional) place.append(made("span", "optional", ` (${text("optional")})`));
  return place;
}

function help(one: Question): HTMLElement[] {
  if (one.help === undefined) return [];
  const place = worded(made("p", "help"), one.help);
  place.id = `help-${one.id}`;
  return [place];
}

function problem(one: Question): HTMLElement {
  const place = made("p", "fault");
  Object.assign(place, { id: `fault-${one.id}`, hidden: true });
  return place;
}

function described(input: HTMLInputElement, one: Question): void {
  const unit = one.kind === "number" && one.unit !== undefined ? [`unit-${one.id}`] : [];
  const by = [...unit, ...(one.help === undefined ? [] : [`help-${one.id}`]), `fault-${one.id}`];
  input.setAttribute("aria-describedby", by.join(" "));
}

/** Say beside a question what is wrong with its answer; returns whether anything is. */
function mark(one: Question, given: FormAnswer | undefined): boolean {
  const fault = faultOf(one, given);
  const place = element(`fault-${one.id}`);
  place.textContent = fault === null ? "" : why(one, fault);
  place.hidden = fault === null;
  for (const input of inputs(one)) {
    if (fault === null) input.removeAttribute("aria-invalid");
    else input.setAttribute("aria-invalid", "true");
  }
  return fault !== null;
}

function why(one: Question, fault: NonNullable<ReturnType<typeof faultOf>>): string {
  if (one.kind !== "number" || fault === "missing" || fault === "unknown") return text("faultMissing");
  if (fault === "no number") return text("faultNumber");
  if (fault === "out of range") return text("faultRange", { min: figure(one.min), max: figure(one.max) });
  return one.decimals ? text("faultDecimals", { count: one.decimals }) : text("faultWhole");
}

/** Return the answer as it is kept; what is no number stays a text, which answers no such question. */
function valueOf(one: Question): FormAnswer {
  const value = typed()[one.id] ?? "";
  if (one.kind === "number") return value.trim() === "" ? null : (readNumber(value) ?? value);
  if (value === "" || value === NONE) return null;
  return one.kind === "choice" ? value : value === "yes";
}

/** Return what stands in the fields, by question. */
function typed(): Record<string, string> {
  const filled = (input: HTMLInputElement) => input.type !== "radio" || input.checked;
  return Object.fromEntries(questions.flatMap((one) => inputs(one).filter(filled).map((input) => [one.id, input.value])));
}

function inputs(one: Question): HTMLInputElement[] {
  return [...element("asked").querySelectorAll<HTMLInputElement>("input")].filter((input) => input.name === one.id);
}

function spoken(question: Question | undefined, answer: FormAnswer): string {
  if (answer === null) return text("noAnswer");
  if (typeof answer === "boolean") return text(answer ? "yes" : "no");
  if (typeof answer === "string") {
    const option = question?.kind === "choice" ? question.options.find((one) => one.id === answer) : undefined;
    return option === undefined ? answer : said(option.text, language()).text;
  }
  const unit = question?.kind === "number" && question.unit !== undefined ? said(question.unit, language()).text : "";
  return `${figure(answer)} ${unit}`.trim();
}

/** Write a text of the bundle, and which language it is in where that is another one than the page's. */
function worded(place: HTMLElement, words: Readonly<Record<string, string>>): HTMLElement {
  const found = said(words, language());
  place.textContent = found.text;
  if (found.language !== language() && found.language !== "und") place.lang = found.language;
  return place;
}

function figure(value: number): string {
  return value.toLocaleString(language(), { maximumFractionDigits: 6 });
}
