// What was asked on this device: the last entries, in this browser's own storage and nowhere else.

import type { Row } from "bundle";

const KEY = "edgecomp.history";
const MOST = 100;

export interface Entry {
  readonly at: string;
  readonly row: Row;
  readonly dropped: number;
}

/** Return the entries, the newest first; what cannot be read counts as none. */
export function entries(): Entry[] {
  try {
    const told: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(told) ? told.filter(isEntry) : [];
  } catch {
    return [];
  }
}

/** Keep an entry; returns false where the browser keeps nothing (a private window, a full storage). */
export function keep(entry: Entry): boolean {
  try {
    localStorage.setItem(KEY, JSON.stringify([entry, ...entries()].slice(0, MOST)));
    return true;
  } catch {
    return false;
  }
}

export function forget(): void {
  localStorage.removeItem(KEY);
}

function isEntry(one: unknown): one is Entry {
  const entry = one as Partial<Entry> | null;
  return typeof entry?.at === "string" && typeof entry.row?.label === "string" && typeof entry.row.ask === "boolean";
}
