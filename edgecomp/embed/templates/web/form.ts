// The questions about the person: read and checked, and what answers them; the answers change no decision.

/** A text by language. */
export type Words = Readonly<Record<string, string>>;

interface Asked {
  readonly id: string;
  readonly text: Words;
  readonly help?: Words;
  /** It may be left without an answer, which is null. */
  readonly optional: boolean;
}
export interface YesNo extends Asked {
  readonly kind: "yes-no";
}
export interface Choice extends Asked {
  readonly kind: "choice";
  readonly options: readonly { readonly id: string; readonly text: Words }[];
}
/** From min to max, with at most so many decimals (none by default). */
export interface Figure extends Asked {
  readonly kind: "number";
  readonly min: number;
  readonly max: number;
  readonly decimals?: number;
  readonly unit?: Words;
}
export type Question = YesNo | Choice | Figure;

/** True or false, the id of an option, a number, or null where an optional question was left out. */
export type FormAnswer = boolean | string | number | null;

/** What is wrong with an answer. */
export type Fault = "missing" | "unknown" | "no number" | "out of range" | "too fine";

/** A question that cannot be asked, or an answer that does not answer one; the message is for people. */
export class FormError extends Error {
  override readonly name: string = "FormError";
}

/** Return a text in a language and that language; or in its language without the region, in English, or the first that there is. */
export function said(words: Words, language: string): { readonly text: string; readonly language: string } {
  const wished = [language, language.split("-")[0]!, "en"];
  const found = wished.find((one) => Object.hasOwn(words, one)) ?? Object.keys(words)[0]!;
  return { text: words[found]!, language: found };
}

/** Return what is wrong with an answer to a question, or null. */
export function faultOf(question: Question, answer: unknown): Fault | null {
  if (answer === null || answer === undefined) return question.optional ? null : "missing";
  if (question.kind === "yes-no") return typeof answer === "boolean" ? null : "unknown";
  if (question.kind === "choice") return question.options.some((one) => one.id === answer) ? null : "unknown";
  if (typeof answer !== "number" || !Number.isFinite(answer)) return "no number";
  if (answer < question.min || answer > question.max) return "out of range";
  return Number(answer.toFixed(question.decimals ?? 0)) === answer ? null : "too fine";
}

/** Return an answer to every question in the questions' order; throws FormError where one is wrong, missing or of no question. */
export function checkAnswers(questions: readonly Question[], given: unknown): Record<string, FormAnswer> {
  if (!isObject(given)) throw new FormError("the answers are no object of question and answer");
  const unknown = Object.keys(given).find((name) => !questions.some((one) => one.id === name));
  if (unknown !== undefined) throw new FormError(`there is no question ${unknown.slice(0, 40)}`);
  for (const one of questions) {
    const fault = faultOf(one, given[one.id]);
    if (fault !== null) throw new FormError(`${one.id}: ${fault}`);
  }
  return Object.fromEntries(questions.map((one) => [one.id, (given[one.id] ?? null) as FormAnswer]));
}

/** Read a number as people type it: ASCII or Devanagari digits, a point or a comma; null where it is none. */
export function readNumber(typed: string): number | null {
  const plain = typed.trim().replace(/[०-९]/g, (digit) => String(digit.charCodeAt(0) - 0x966)).replace(",", ".");
  return /^-?[0-9]{1,15}(\.[0-9]{1,15})?$/.test(plain) ? Number(plain) : null;
}

/** Read the questions of facts.json; throws FormError where they are none. */
export function readQuestions(told: unknown): readonly Question[] {
  if (!Array.isArray(told)) throw new FormError("they are no list");
  const wrong = told.find((one) => !isQuestion(one));
  if (wrong !== undefined) throw new FormError(JSON.stringify(wrong).slice(0, 80));
  if (new Set(told.map((one: Question) => one.id)).size < told.length) throw new FormError("two have the same id");
  return told as Question[];
}

function isQuestion(one: unknown): boolean {
  if (!isObject(one) || !isWord(one.id) || !isWords(one.text) || typeof one.optional !== "boolean") return false;
  if (one.help !== undefined && !isWords(one.help)) return false;
  if (one.kind === "yes-no") return true;
  if (one.kind === "choice") {
    const options = one.options;
    if (!Array.isArray(options) || !options.every((each) => isObject(each) && isWord(each.id) && isWords(each.text))) return false;
    return options.length > 1 && new Set(options.map((each: { id: string }) => each.id)).size === options.length;
  }
  const { min, max, decimals = 0, unit } = one;
  const isRange = Number.isFinite(min) && Number.isFinite(max) && (min as number) < (max as number);
  const areDecimals = Number.isInteger(decimals) && (decimals as number) >= 0 && (decimals as number) <= 6;
  return one.kind === "number" && isRange && areDecimals && (unit === undefined || isWords(unit));
}

function isWords(one: unknown): one is Words {
  return isObject(one) && Object.keys(one).length > 0 && Object.values(one).every(isWord);
}

function isWord(one: unknown): one is string {
  return typeof one === "string" && one !== "";
}

function isObject(one: unknown): one is Record<string, unknown> {
  return typeof one === "object" && one !== null && !Array.isArray(one);
}
