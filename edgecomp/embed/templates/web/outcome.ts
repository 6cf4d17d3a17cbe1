// What the model says of a recording: an answer, or that the teacher is to be asked.

import type { Facts } from "./facts.js";
import type { FormAnswer } from "./form.js";

/**
 * The model is sure enough: its label.
 *
 * probability:   that of the label
 * probabilities: of each label, in the order of LABELS
 * uncertainty:   0 where it is sure
 */
export interface Answer<L extends string = string> {
  readonly kind: "answer";
  readonly label: L;
  readonly probability: number;
  readonly probabilities: readonly number[];
  readonly uncertainty: number;
}

/**
 * The recording is to be left to the teacher, or to a person.
 *
 * bestGuess: what the model would answer by itself
 */
export interface AskTeacher<L extends string = string> {
  readonly kind: "ask";
  readonly reason: Reason;
  readonly bestGuess: L;
  readonly probability: number;
  readonly probabilities: readonly number[];
  readonly uncertainty: number;
}

/** Why: too unsure, because the bundle leaves every recording to the teacher, or a figure is no number. */
export type Reason = "unsure" | "always" | "not a number";

export type Outcome<L extends string = string> = Answer<L> | AskTeacher<L>;

/** An outcome as one JSON object; a figure that is no number is null. */
export interface Row {
  readonly label: string;
  readonly probability: number | null;
  readonly probabilities: Readonly<Record<string, number | null>>;
  readonly uncertainty: number | null;
  readonly ask: boolean;
  readonly reason: Reason | null;
  readonly bundle: string;
  readonly version: string;
  /** What was answered to the form, by question; not there where none was filled in. It has no part in the outcome. */
  readonly answers?: Readonly<Record<string, FormAnswer>>;
}

/** Return the bundle's decision; probabilities: one float32 for each label. */
export function decide<L extends string>(facts: Facts<L>, probabilities: Float32Array, uncertainty: number): Outcome<L> {
  const reason = reasonToAsk(facts, probabilities, uncertainty);
  let best = 0;
  if (facts.threshold === null) {
    for (let label = 1; label < probabilities.length; label += 1) {
      const [here, highest] = [probabilities[label]!, probabilities[best]!];
      if (here > highest || (Number.isNaN(highest) && here > -Infinity)) best = label;
    }
    if (!(probabilities[best]! > -Infinity)) best = 0;
  } else {
    const positive = facts.labels.indexOf(facts.positive as L);
    best = probabilities[positive]! >= Math.fround(facts.threshold) ? positive : 1 - positive;
  }
  const label = facts.labels[best]!;
  const told = { probability: probabilities[best]!, probabilities: [...probabilities], uncertainty };
  return reason === null ? { kind: "answer", label, ...told } : { kind: "ask", reason, bestGuess: label, ...told };
}

/** Return an outcome as it goes into files; figures have six places. answers: as checkAnswers gives them. */
export function asRow(facts: Facts, outcome: Outcome, answers?: Readonly<Record<string, FormAnswer>>): Row {
  return {
    label: outcome.kind === "ask" ? outcome.bestGuess : outcome.label,
    probability: figure(outcome.probability),
    probabilities: Object.fromEntries(facts.labels.map((name, row) => [name, figure(outcome.probabilities[row]!)])),
    uncertainty: figure(outcome.uncertainty),
    ask: outcome.kind === "ask",
    reason: outcome.kind === "ask" ? outcome.reason : null,
    bundle: facts.bundle,
    version: facts.version,
    ...(answers === undefined ? {} : { answers }),
  };
}

function reasonToAsk(facts: Facts, probabilities: Float32Array, uncertainty: number): Reason | null {
  if (![...probabilities, uncertainty].every(Number.isFinite)) return "not a number";
  if (facts.ask_above === null) return "always";
  return uncertainty > facts.ask_above ? "unsure" : null;
}

function figure(value: number): number | null {
  return Number.isFinite(value) ? Number(value.toFixed(6)) : null;
}
