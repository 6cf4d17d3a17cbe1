// The bundle's facts, read from facts.json and checked; and the one error that this module throws.

import { FormError, readQuestions, type Question } from "./form.js";

/** The model cannot be loaded, or cannot be asked about what it was given; the message is for people. */
export class ModelError extends Error {
  override readonly name = "ModelError";
}

export type Fit = "loudest" | "centre" | "start";

/**
 * What the bundle states: see facts.json.
 *
 * positive, threshold: of a two-label decision by threshold; null where the most probable label is the answer
 * ask_above: the uncertainty above which the teacher is asked; null where every recording is left to the teacher
 * questions: what is asked about the person; the answers are kept beside the result and change nothing in it
 */
export interface Facts<L extends string = string> {
  readonly bundle: string;
  readonly version: string;
  readonly summary: string;
  readonly labels: readonly L[];
  readonly sample_rate_hz: number;
  readonly samples: number;
  readonly hop_samples: number;
  readonly fit: Fit;
  readonly threads: number;
  readonly positive: L | null;
  readonly threshold: number | null;
  readonly ask_above: number | null;
  readonly model_file: string;
  readonly model_sha256: string;
  readonly golden_sha256: string;
  readonly questions: readonly Question[];
}

const FITS = ["loudest", "centre", "start"];
const COUNTS = ["sample_rate_hz", "samples", "hop_samples", "threads"] as const;
const WORDS = ["bundle", "version", "model_file", "model_sha256", "golden_sha256"] as const;

/** Read facts.json; throws ModelError where it is not what a bundle states. */
export function readFacts<L extends string = string>(content: Uint8Array): Facts<L> {
  const told = readObject(content, "facts.json");
  const labels = told.labels;
  const isLabel = (one: unknown) => typeof one === "string" && one !== "";
  if (!(Array.isArray(labels) && labels.length > 1 && labels.every(isLabel))) {
    throw new ModelError(`facts.json states labels that are no list of names: ${shown(labels)}`);
  }
  if (new Set(labels).size < labels.length) throw new ModelError(`facts.json names a label twice: ${shown(labels)}`);
  for (const name of COUNTS) {
    const count = told[name];
    if (!(Number.isInteger(count) && (count as number) > 0 && (count as number) < 2 ** 31)) {
      throw new ModelError(`facts.json states ${name} ${shown(count)}, which cannot be`);
    }
  }
  for (const name of WORDS) {
    if (typeof told[name] !== "string" || told[name] === "") throw new ModelError(`facts.json lacks ${name}`);
  }
  if (!/^[\w.-]+$/.test(told.model_file as string)) throw new ModelError(`facts.json names no file: ${shown(told.model_file)}`);
  if (!FITS.includes(told.fit as string)) {
    throw new ModelError(`facts.json states fit ${shown(told.fit)}; allowed: ${FITS.join(", ")}`);
  }
  const { positive, threshold, ask_above: askAbove } = told;
  const byThreshold = positive !== null || threshold !== null;
  if (byThreshold && !(labels.length === 2 && labels.includes(positive) && isNumber(threshold))) {
    throw new ModelError(`facts.json states no decision: threshold ${shown(threshold)} for ${shown(positive)}`);
  }
  if (askAbove !== null && !isNumber(askAbove)) {
    throw new ModelError(`facts.json states ask_above ${shown(askAbove)}, which is no number`);
  }
  const summary = typeof told.summary === "string" ? told.summary : "";
  const questions = questionsOf(told);
  return Object.freeze({ ...told, summary, questions, labels: Object.freeze([...labels]) }) as unknown as Facts<L>;
}

function questionsOf(told: Readonly<Record<string, unknown>>): readonly Question[] {
  try {
    return Object.freeze([...readQuestions(told.questions)]);
  } catch (why) {
    if (why instanceof FormError) throw new ModelError(`facts.json states a question that cannot be asked: ${why.message}`);
    throw why;
  }
}

/** Read a JSON object; throws ModelError where it is none. */
export function readObject(content: Uint8Array, name: string): Record<string, unknown> {
  let told: unknown;
  try {
    told = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(content));
  } catch (why) {
    throw new ModelError(`${name} is no JSON: ${words(why)}`);
  }
  if (typeof told !== "object" || told === null || Array.isArray(told)) throw new ModelError(`${name} is no JSON object`);
  return told as Record<string, unknown>;
}

/** Fetch a file whose SHA-256 is stated; throws ModelError where it is not the one. */
export async function readChecked(base: URL, name: string, sha256: string): Promise<Uint8Array<ArrayBuffer>> {
  if (!globalThis.crypto?.subtle) {
    throw new ModelError("the model's hash cannot be checked here: open this page by HTTPS or on localhost");
  }
  let content: ArrayBuffer;
  try {
    const answer = await fetch(new URL(name, base));
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    content = await answer.arrayBuffer();
  } catch (why) {
    throw new ModelError(`${name} cannot be read: ${words(why)}; copy the whole folder again`);
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  const found = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== sha256) {
    const which = `SHA-256 ${found.slice(0, 12)}…, stated ${sha256.slice(0, 12)}…`;
    throw new ModelError(`${name} is damaged or was changed (${which}); copy the whole folder again`);
  }
  return new Uint8Array(content);
}

/** Say whether a JSON value is a finite number. */
export function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

/** Return an error's first line. */
export function words(why: unknown): string {
  return (why instanceof Error ? why.message : String(why)).split("\n")[0]!.slice(0, 300);
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 80);
}
